"""The status of a load balancer is checked."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import BadObject
from tests.cluster.objects.decoding import strip


@pytest.mark.parametrize(
    ("point", "field"),
    [({"ip": "nonsense"}, "ingress[0].ip"), ({"hostname": "-"}, "ingress[0].hostname")],
)
def test_a_bad_address_or_host_is_refused_by_its_path(point: dict[str, str], field: str) -> None:
    with pytest.raises(BadObject) as caught:
        strip("Ingress", status={"loadBalancer": {"ingress": [point]}})
    assert field in caught.value.field
