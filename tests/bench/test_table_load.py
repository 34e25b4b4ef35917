"""The load of a table by a worker, with changes during it."""

from __future__ import annotations

from bench import table_load
from dnsd.cluster.objects import EndpointSlice


async def test_the_worker_loads_the_table_and_the_zone_is_rebuilt() -> None:
    result = await table_load.measure(1, 20, 2)
    assert result.load > 0
    assert result.took > 0
    assert result.changes >= 1
    assert result.batch > 0
    assert result.reload > 0


def test_each_service_has_an_endpointslice_with_its_endpoints() -> None:
    found = list(table_load.objects(3, 2))
    assert [type(one).__name__ for one in found] == ["Service", "EndpointSlice"] * 3
    slices = [one for one in found if isinstance(one, EndpointSlice)]
    addresses = {at for one in slices for each in one.endpoints for at in each.addresses}
    assert len(addresses) == 6
