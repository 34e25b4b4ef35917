"""An Ingress is stripped to its DNS fields and checked."""

from __future__ import annotations

from dnsd.cluster.objects import Ingress, LoadBalancerIngress
from tests.cluster.objects.decoding import point, strip


def test_hosts_of_rules_and_tls_and_addresses_of_the_status_are_kept() -> None:
    found = strip(
        "Ingress",
        spec={
            "rules": [{"host": "a.example"}, {"http": {}}, {"host": "b.example"}],
            "tls": [{"hosts": ["b.example", "c.example"]}, {}],
        },
        status={"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}},
    )
    assert found == Ingress(
        "team",
        "one",
        ("a.example", "b.example", "c.example"),
        (point("192.0.2.1"), LoadBalancerIngress(hostname="lb.example")),
        uid="u",
        version="7",
        created="2026-01-01T00:00:00Z",
    )


def test_null_spec_and_status_are_empty() -> None:
    found = strip("Ingress", spec=None, status=None)
    assert isinstance(found, Ingress)
    assert (found.hosts, found.ingress) == ((), ())
