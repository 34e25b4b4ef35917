"""Ingress, Gateway, routes and DNSEndpoint: from the API's JSON to what DNS needs of them."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.cluster.objects import (
    BadObject,
    DNSEndpoint,
    Gateway,
    Ingress,
    Listener,
    LoadBalancerIngress,
    Object,
    Parent,
    Route,
    StatedRecords,
    from_plain,
)
from dnsd.dns.addresses import pack_address
from dnsd.sources.manifests.file import parse

META = {"name": "one", "namespace": "team", "resourceVersion": "7", "uid": "u"}
META["creationTimestamp"] = "2026-01-01T00:00:00Z"


def strip(kind: str, origin: str = "", **fields: Any) -> Object:
    (one,) = from_plain({"kind": kind, "metadata": META, **fields}, origin)
    return one


def ip(text: str) -> LoadBalancerIngress:
    return LoadBalancerIngress(pack_address(text))


class TestIngress:
    def test_hosts_of_rules_and_tls_and_addresses_of_the_status(self) -> None:
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
            (ip("192.0.2.1"), LoadBalancerIngress(hostname="lb.example")),
            "u",
            "7",
            "2026-01-01T00:00:00Z",
        )

    def test_bare(self) -> None:
        found = strip("Ingress", spec=None, status=None)
        assert isinstance(found, Ingress)
        assert (found.hosts, found.ingress) == ((), ())

    @pytest.mark.parametrize(
        ("point", "field"),
        [({"ip": "nonsense"}, "ingress[0].ip"), ({"hostname": "-"}, "ingress[0].hostname")],
    )
    def test_a_bad_status_is_refused(self, point: dict[str, str], field: str) -> None:
        with pytest.raises(BadObject) as caught:
            strip("Ingress", status={"loadBalancer": {"ingress": [point]}})
        assert field in caught.value.field


class TestGateway:
    def test_listeners_and_addresses(self) -> None:
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
            ip("192.0.2.1"),
            ip("2001:db8::1"),
            LoadBalancerIngress(hostname="lb.example"),
        )


def parent(status: str, **ref: Any) -> dict[str, Any]:
    return {
        "parentRef": {"name": "gate"} | ref,
        "conditions": [{"type": "Accepted", "status": status}],
    }


class TestRoutes:
    @pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute", "TLSRoute"])
    def test_parents_are_those_that_have_accepted_it(self, kind: str) -> None:
        found = strip(
            kind,
            spec={"hostnames": ["a.example", "a.example"], "parentRefs": [{"name": "unheard"}]},
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

    def test_in_a_manifest_those_it_names(self) -> None:
        spec = {"parentRefs": [{"name": "gate"}, {"name": "svc", "kind": "Service", "group": ""}]}
        written = strip("HTTPRoute", "site.yaml#1", spec=spec)
        assert isinstance(written, Route)
        assert written.parents == (Parent("team", "gate"),)
        served = strip("HTTPRoute", spec=spec)
        assert isinstance(served, Route)
        assert served.parents == ()


class TestDNSEndpoint:
    def test_records_as_they_are_written(self) -> None:
        records = [
            {"dnsName": "a.example", "recordType": "A", "recordTTL": 60, "targets": ["192.0.2.1"]},
            {"dnsName": "b.example", "targets": ["192.0.2.2"]},
        ]
        found = strip("DNSEndpoint", spec={"endpoints": records})
        assert isinstance(found, DNSEndpoint)
        assert found.records == (
            StatedRecords("a.example", "A", ("192.0.2.1",), 60),
            StatedRecords("b.example", "A", ("192.0.2.2",)),
        )

    def test_a_ttl_out_of_range_is_refused(self) -> None:
        with pytest.raises(BadObject, match="recordTTL"):
            strip("DNSEndpoint", spec={"endpoints": [{"dnsName": "a", "recordTTL": -1}]})


def test_manifests_know_them_by_their_group() -> None:
    text = b"""
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {name: new}
---
kind: Ingress
apiVersion: extensions/v1beta1
metadata: {name: old}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: of-others}
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: site}
spec: {parentRefs: [{name: gate}]}
"""
    file = parse("all.yaml", text)
    assert [entry.object.name for entry in file.entries] == ["new", "site"]
    assert file.skipped == {"Ingress.extensions": 1, "Gateway.networking.istio.io": 1}


@pytest.mark.parametrize("kind", ["Ingress", "Gateway", "HTTPRoute", "DNSEndpoint"])
def test_a_nameless_object_is_refused(kind: str) -> None:
    with pytest.raises(BadObject, match=r"metadata\.name"):
        from_plain({"kind": kind, "metadata": {}})


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
