"""The line that serve prints: what dnsd answers for, and a command that gets an answer."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import Service
from dnsd.control.greeting import greeting
from dnsd.dns.addresses import pack_address
from dnsd.sources.source import Batch
from tests.control.planes import plane

EXTERNAL = Service("a", "else", type="ExternalName", external_name="example.com")


@pytest.mark.parametrize(
    ("services", "what", "example"),
    [
        ((), "0 Services, ", "cluster.local SOA"),
        ((EXTERNAL,), "1 Service, ", "cluster.local SOA"),
        (
            (EXTERNAL, Service("b", "web", cluster_ips=(pack_address("10.96.0.1"),))),
            "2 Services, ",
            "web.b.svc.cluster.local",
        ),
        (
            (Service("b", "web", cluster_ips=(pack_address("fd00::1"),)),),
            "1 Service, ",
            "web.b.svc.cluster.local AAAA",
        ),
    ],
)
async def test_the_example_has_an_answer(
    services: tuple[Service, ...], what: str, example: str
) -> None:
    async with plane() as it:
        it.publish(Batch(services, synced=True))
        first, second = greeting(it, 0.125).splitlines()
        port = it.addresses[0].port
        assert f"answers on 127.0.0.1:{port} (UDP and TCP): {what}" in first
        assert first.endswith("in 0.12 s")
        assert ("only the zone itself" in first) == (not services)
        assert second == f"try: dig -p {port} @127.0.0.1 {example}"
