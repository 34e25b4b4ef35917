"""A Gateway or a route is stripped to its DNS fields and checked."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.cluster.objects import (
    BadObject,
    Gateway,
    Listener,
    LoadBalancerIngress,
    Parent,
    Route,
)
from tests.cluster.objects.decoding import point, strip


def parent(status: str, **ref: Any) -> dict[str, Any]:
    return {
        "parentRef": {"name": "gate"} | ref,
        "conditions": [{"type": "Accepted", "status": status}],
    }


class TestGateway:
    def test_listeners_and_addresses_are_kept(self) -> None:
        found = strip(
            "Gateway",
            spec={"listeners": [{"name": "web", "hostname": "*.x", "port": 80}, {"name": "any"}]},
            status={
                "addresses": [
                    {"value": "192.0.2.1"},
                    {"type": "IPAddress", "value": "2001:db8::1"},
                    {"type": "Hostname", "value": "lb.example"},
                    {"type": "example.net/own", "value": "something"},
                ]
            },
        )
        assert isinstance(found, Gateway)
        assert found.listeners == (Listener("web", "*.x", 80), Listener("any"))
        assert found.ingress == (
            point("192.0.2.1"),
            point("2001:db8::1"),
            LoadBalancerIngress(hostname="lb.example"),
        )


class TestRoutes:
    @pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute", "TLSRoute"])
    def test_parents_are_the_gateways_that_accepted_the_route(self, kind: str) -> None:
        found = strip(
            kind,
            spec={"hostnames": ["a.example", "a.example"], "parentRefs": [{"name": "pending"}]},
            status={
                "parents": [
                    parent("True"),
                    parent("True"),
                    parent("True", namespace="infra", sectionName="https", port=443),
                    parent("False", name="refused"),
                    parent("True", kind="Service", group=""),
                    {"parentRef": {"name": "silent"}},
                ]
            },
        )
        assert isinstance(found, Route)
        assert found.kind == found.key.kind == kind
        assert found.hostnames == ("a.example",)
        assert found.parents == (Parent("team", "gate"), Parent("infra", "gate", "https", 443))

    def test_in_a_manifest_parents_are_those_of_the_spec(self) -> None:
        spec = {"parentRefs": [{"name": "gate"}, {"name": "svc", "kind": "Service", "group": ""}]}
        written = strip("HTTPRoute", "site.yaml#1", spec=spec)
        assert isinstance(written, Route)
        assert written.parents == (Parent("team", "gate"),)
        served = strip("HTTPRoute", spec=spec)
        assert isinstance(served, Route)
        assert served.parents == ()


def test_a_port_out_of_range_is_refused() -> None:
    with pytest.raises(BadObject, match=r"spec\.listeners\[1\]\.port: 65536 is not in 1 to 65535"):
        strip("Gateway", spec={"listeners": [{"name": "a", "port": 80}, {"port": 65536}]})
    with pytest.raises(BadObject, match=r"spec\.parentRefs\[0\]\.port"):
        strip("HTTPRoute", "site.yaml#1", spec={"parentRefs": [{"name": "gate", "port": 2**70}]})
    status = {
        "parents": [
            {
                "parentRef": {"name": "gate", "port": -1},
                "conditions": [{"type": "Accepted", "status": "True"}],
            }
        ]
    }
    with pytest.raises(BadObject, match=r"status\.parents\[0\]\.parentRef\.port"):
        strip("HTTPRoute", status=status)
