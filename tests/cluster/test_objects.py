"""Objects are stripped to what DNS needs, and held to the API server's rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import (
    KINDS,
    BadObject,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Key,
    LoadBalancerIngress,
    Namespace,
    Node,
    Object,
    Pod,
    Service,
    ServicePort,
    ServiceSubject,
    from_json,
    from_plain,
    is_host_name,
)
from dnsd.dns.addresses import address_text, is_address, pack_address


def one(plain: dict[str, Any], origin: str = "") -> Object:
    """The object both decoders make of `plain`."""
    (from_yaml,) = from_plain(plain, origin)
    assert from_json(plain["kind"], json.dumps(plain).encode(), origin) == [from_yaml]
    return from_yaml


def refused(plain: dict[str, Any]) -> BadObject:
    with pytest.raises(BadObject) as caught:
        from_plain(plain)
    assert (caught.value.kind, caught.value.problem != "") == (plain["kind"], True)
    return caught.value


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name}, "spec": spec}


def a_service(**spec: Any) -> Service:
    made = one(service(**spec))
    assert isinstance(made, Service)
    return made


def a_slice(endpoints: Any, **more: Any) -> EndpointSlice:
    plain = {"kind": "EndpointSlice", "metadata": {"name": "s"}, "endpoints": endpoints} | more
    made = one(plain)
    assert isinstance(made, EndpointSlice)
    return made


class TestKeys:
    def test_of_every_kind(self) -> None:
        assert Service("d", "a").key == Key("Service", "d", "a")
        assert EndpointSlice("d", "a", "s").key == Key("EndpointSlice", "d", "a")
        assert Pod("d", "a").key == Key("Pod", "d", "a")
        assert Namespace("a").key == Key("Namespace", "", "a")
        assert Node("a").key == Key("Node", "", "a")
        assert (Namespace("a").namespace, Node("a").namespace) == ("", "")
        assert ServiceSubject(Service("d", "a")).key == Key("Service", "d", "a")

    def test_as_text(self) -> None:
        assert str(Key("Service", "d", "a")) == "Service d/a"
        assert str(Key("Node", "", "a")) == "Node a"


class TestService:
    def test_every_field(self) -> None:
        plain = {
            "kind": "Service",
            "metadata": {
                "name": "web",
                "namespace": "team-a",
                "uid": "u",
                "resourceVersion": "42",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "web"},
                "annotations": {
                    "external-dns.alpha.kubernetes.io/hostname": "a.example, b.example,",
                    "coredns.io/hostname": "c.example",
                    "other": "x",
                },
            },
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.1",
                "clusterIPs": ["10.96.0.1", "fd00::1"],
                "ports": [
                    {"name": "http", "port": 80, "nodePort": 30080},
                    {"name": "dns", "protocol": "UDP", "port": 53},
                ],
                "publishNotReadyAddresses": True,
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
                "externalIPs": ["192.0.2.1"],
                "loadBalancerIP": "192.0.2.2",
                "externalTrafficPolicy": "Local",
            },
            "status": {
                "loadBalancer": {"ingress": [{"ip": "192.0.2.3"}, {"hostname": "lb.example"}]}
            },
        }
        assert one(plain, "web.yaml#1") == Service(
            namespace="team-a",
            name="web",
            type="LoadBalancer",
            cluster_ips=(pack_address("10.96.0.1"), pack_address("fd00::1")),
            ports=(ServicePort("http", "TCP", 80, 30080), ServicePort("dns", "UDP", 53)),
            publish_not_ready=True,
            ip_families=("IPv4", "IPv6"),
            ip_family_policy="RequireDualStack",
            external_ips=(pack_address("192.0.2.1"),),
            load_balancer_ip=pack_address("192.0.2.2"),
            ingress=(
                LoadBalancerIngress(ip=pack_address("192.0.2.3")),
                LoadBalancerIngress(hostname="lb.example"),
            ),
            external_traffic_policy="Local",
            hostnames=("a.example", "b.example", "c.example"),
            labels={"app": "web"},
            uid="u",
            version="42",
            created="2026-01-01T00:00:00Z",
            origin="web.yaml#1",
        )

    def test_the_least_there_can_be(self) -> None:
        assert one({"kind": "Service", "metadata": {"name": "a"}}) == Service("default", "a")

    def test_nulls_are_absent(self) -> None:
        assert a_service(type=None, clusterIP=None, ports=None, externalIPs=None) == Service(
            "default", "web"
        )

    def test_headless(self) -> None:
        for spec in ({"clusterIP": "None"}, {"clusterIP": "None", "clusterIPs": ["None"]}):
            made = a_service(**spec)
            assert (made.headless, made.cluster_ips) == (True, ())

    def test_the_type_decides_not_what_is_left_over(self) -> None:
        external = a_service(type="ExternalName", externalName="a.example.", clusterIP="10.0.0.1")
        assert (external.external_name, external.cluster_ips, external.headless) == (
            "a.example.",
            (),
            False,
        )
        inside = a_service(type="ClusterIP", externalName="a.example", clusterIP="10.0.0.1")
        assert (inside.external_name, inside.cluster_ips) == ("", (pack_address("10.0.0.1"),))

    def test_an_address_as_external_name_is_a_service_all_the_same(self) -> None:
        assert a_service(type="ExternalName", externalName="192.0.2.1").external_name == "192.0.2.1"

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"type": "Clusterip"}, "spec.type"),
            ({"type": "ExternalName"}, "spec.externalName"),
            ({"type": "ExternalName", "externalName": "a b"}, "spec.externalName"),
            ({"type": "NodePort", "clusterIP": "None"}, "spec.clusterIP"),
            ({"clusterIP": "10.0.0.256"}, "spec.clusterIP"),
            ({"clusterIPs": ["10.0.0.1", "ten"]}, "spec.clusterIPs[1]"),
            ({"clusterIPs": ["10.0.0.1", "10.0.0.2"]}, "spec.clusterIPs"),
            ({"clusterIPs": ["10.0.0.1", "fd00::1", "fd00::2"]}, "spec.clusterIPs"),
            ({"clusterIP": "fe80::1%eth0"}, "spec.clusterIP"),
            ({"ports": [{}]}, "spec.ports[0].port"),
            ({"ports": [{"port": 0}]}, "spec.ports[0].port"),
            ({"ports": [{"port": 65536}]}, "spec.ports[0].port"),
            ({"ports": [{"port": "80"}]}, "spec.ports[0].port"),
            ({"ports": [{"port": 80, "nodePort": -1}]}, "spec.ports[0].nodePort"),
            ({"ports": [{"port": 80, "protocol": "tcp"}]}, "spec.ports[0].protocol"),
            ({"ports": [{"port": 80, "name": "Http"}]}, "spec.ports[0].name"),
            ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name"),
            (
                {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
                "spec.ports[1].name",
            ),
            ({"externalIPs": ["x"]}, "spec.externalIPs[0]"),
            ({"loadBalancerIP": "x"}, "spec.loadBalancerIP"),
            ({"publishNotReadyAddresses": "yes"}, "spec.publishNotReadyAddresses"),
        ],
    )
    def test_what_is_refused(self, spec: dict[str, Any], field: str) -> None:
        error = refused(service(**spec))
        assert error.field == field
        assert str(error).startswith(("Service default/web: ", "Service web: "))

    @pytest.mark.parametrize("name", ["", "Web", "1web", "web_", "-a", "a-", "a.b", "a" * 64])
    def test_names(self, name: str) -> None:
        assert refused(service(name)).field == "metadata.name"

    @pytest.mark.parametrize("namespace", ["Team", "a.b", "-a", "a" * 64])
    def test_namespaces(self, namespace: str) -> None:
        plain = service() | {"metadata": {"name": "a", "namespace": namespace}}
        assert refused(plain).field == "metadata.namespace"

    def test_too_long_says_how_long(self) -> None:
        problem = refused(service("a" * 64)).problem
        assert "64" in problem
        assert "63" in problem
        assert isinstance(one(service("a" * 63)), Service)


class TestEndpointSlice:
    def test_every_field(self) -> None:
        plain = {
            "kind": "EndpointSlice",
            "metadata": {
                "name": "db-x",
                "namespace": "team-a",
                "labels": {"kubernetes.io/service-name": "db"},
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "now"},
                "uid": "u",
                "resourceVersion": "7",
            },
            "addressType": "IPv4",
            "ports": [{"name": "pg", "port": 5432}, {"port": None, "protocol": "SCTP"}],
            "endpoints": [
                {
                    "addresses": ["10.0.0.1", "10.0.0.2"],
                    "hostname": "db-0",
                    "conditions": {"ready": False},
                    "targetRef": {"kind": "Pod", "name": "db-0"},
                    "nodeName": "n1",
                },
                {"addresses": ["10.0.0.3"], "targetRef": {"kind": "Node", "name": "n"}},
            ],
        }
        assert one(plain, "o") == EndpointSlice(
            namespace="team-a",
            name="db-x",
            service="db",
            endpoints=(
                Endpoint(
                    (pack_address("10.0.0.1"), pack_address("10.0.0.2")),
                    "db-0",
                    False,
                    "db-0",
                    "n1",
                ),
                Endpoint((pack_address("10.0.0.3"),)),
            ),
            ports=(EndpointPort("pg", "TCP", 5432), EndpointPort("", "SCTP", 0)),
            trigger_time="now",
            uid="u",
            version="7",
            origin="o",
        )

    @pytest.mark.parametrize(
        ("conditions", "ready"),
        [
            (None, True),
            ({}, True),
            ({"ready": None}, True),
            ({"ready": True}, True),
            ({"ready": False, "serving": True}, False),
        ],
    )
    def test_ready_unless_it_says_no(self, conditions: Any, ready: bool) -> None:
        made = a_slice([{"addresses": ["10.0.0.1"], "conditions": conditions}])
        assert made.endpoints[0].ready is ready

    def test_without_endpoints(self) -> None:
        assert a_slice(None).endpoints == ()
        assert a_slice([], ports=None).ports == ()

    def test_host_names_have_no_addresses(self) -> None:
        assert a_slice([{"addresses": ["a.example"]}], addressType="FQDN").endpoints == ()

    @pytest.mark.parametrize(
        ("more", "field"),
        [
            ({"addressType": "IPX"}, "addressType"),
            ({"addressType": "IPv6"}, "endpoints[0].addresses"),
            ({"endpoints": [{"addresses": ["x"]}]}, "endpoints[0].addresses[0]"),
            ({"endpoints": [{"addresses": [], "hostname": "A"}]}, "endpoints[0].hostname"),
            ({"ports": [{"port": 70000}]}, "ports[0].port"),
            ({"ports": [{"name": "A", "port": 1}]}, "ports[0].name"),
            ({"ports": [{"protocol": "X", "port": 1}]}, "ports[0].protocol"),
            ({"metadata": {}}, "metadata.name"),
            ({"metadata": {"name": "a", "namespace": "A"}}, "metadata.namespace"),
            ({"metadata": {"name": "a", "labels": {"x": 1}}}, "metadata.labels[x]"),
        ],
    )
    def test_what_is_refused(self, more: dict[str, Any], field: str) -> None:
        endpoints = [{"addresses": ["10.0.0.1"]}]
        plain = {"kind": "EndpointSlice", "metadata": {"name": "s"}, "endpoints": endpoints}
        assert refused(plain | more).field == field


class TestEndpoints:
    def test_a_slice_a_subset(self) -> None:
        plain = {
            "kind": "Endpoints",
            "metadata": {"name": "db", "namespace": "d"},
            "subsets": [
                {
                    "addresses": [{"ip": "10.0.0.1", "hostname": "db-0", "nodeName": "n"}],
                    "notReadyAddresses": [
                        {"ip": "10.0.0.2", "targetRef": {"kind": "Pod", "name": "p"}}
                    ],
                    "ports": [{"name": "pg", "port": 5432}],
                },
                {"addresses": [{"ip": "fd00::1"}]},
            ],
        }
        first, second = from_plain(plain)
        assert first == EndpointSlice(
            "d",
            "endpoints/db/0",
            "db",
            (
                Endpoint((pack_address("10.0.0.1"),), "db-0", True, "", "n"),
                Endpoint((pack_address("10.0.0.2"),), "", False, "p"),
            ),
            (EndpointPort("pg", "TCP", 5432),),
        )
        assert second.key == Key("EndpointSlice", "d", "endpoints/db/1")

    def test_none(self) -> None:
        assert from_plain({"kind": "Endpoints", "metadata": {"name": "a"}}) == []

    def test_a_bad_address(self) -> None:
        subsets = [{"notReadyAddresses": [{"ip": "x"}]}]
        plain = {"kind": "Endpoints", "metadata": {"name": "a"}, "subsets": subsets}
        assert refused(plain).field == "subsets[0].notReadyAddresses[0].ip"


class TestOthers:
    def test_namespace(self) -> None:
        plain = {"kind": "Namespace", "metadata": {"name": "a", "labels": {"x": "y"}, "uid": "u"}}
        assert one(plain) == Namespace("a", {"x": "y"}, "u")
        assert refused({"kind": "Namespace", "metadata": {"name": "A"}}).field == "metadata.name"

    def test_pod(self) -> None:
        plain = {
            "kind": "Pod",
            "metadata": {"name": "p.1", "namespace": "d"},
            "spec": {
                "hostNetwork": True,
                "dnsPolicy": "None",
                "dnsConfig": {"searches": ["a.example"]},
            },
            "status": {
                "phase": "Running",
                "podIP": "10.0.0.1",
                "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            },
        }
        ips = (pack_address("10.0.0.1"), pack_address("fd00::1"))
        pod = Pod("d", "p.1", ips, "Running", True, "None", ("a.example",))
        assert one(plain) == pod
        assert pod.running

    def test_an_old_pod_has_one_address(self) -> None:
        made = one({"kind": "Pod", "metadata": {"name": "p"}, "status": {"podIP": "10.0.0.1"}})
        assert isinstance(made, Pod)
        assert made.ips == (pack_address("10.0.0.1"),)

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_a_finished_pod_does_not_run(self, phase: str) -> None:
        assert not Pod("d", "p", phase=phase).running

    def test_bad_pods(self) -> None:
        bad = {"kind": "Pod", "metadata": {"name": "p"}, "status": {"podIP": "x"}}
        assert refused(bad).field == "status.podIP"
        bad = {"kind": "Pod", "metadata": {"name": "p"}, "status": {"podIPs": [{"ip": "x"}]}}
        assert refused(bad).field == "status.podIPs[0].ip"
        assert refused({"kind": "Pod", "metadata": {}}).field == "metadata.name"

    def test_node(self) -> None:
        plain = {
            "kind": "Node",
            "metadata": {"name": "n"},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": "192.168.0.1"},
                    {"type": "ExternalIP", "address": "192.0.2.1"},
                    {"type": "Hostname", "address": "n"},
                ],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        inside, external = pack_address("192.168.0.1"), pack_address("192.0.2.1")
        assert one(plain) == Node("n", (inside,), (external,), True)
        assert one({"kind": "Node", "metadata": {"name": "n"}}) == Node("n")

    def test_bad_nodes(self) -> None:
        status = {"addresses": [{"type": "InternalIP", "address": "x"}]}
        bad = {"kind": "Node", "metadata": {"name": "n"}, "status": status}
        assert refused(bad).field == "status.addresses[0].address"
        assert refused({"kind": "Node", "metadata": {}}).field == "metadata.name"


class TestText:
    @pytest.mark.parametrize("text", ["10.0.0.1", "fd00::1", "::"])
    def test_addresses_there_and_back(self, text: str) -> None:
        assert address_text(pack_address(text)) == text
        assert is_address(text)

    @pytest.mark.parametrize("text", ["", "10.0.0", "010.0.0.1", "fe80::1%1", "a", "1"])
    def test_what_is_no_address(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"address|identifier"):
            pack_address(text)

    @pytest.mark.parametrize(
        "text", ["a", "a.b.", "_spf.Example", "1.2", "a" * 63, "x." * 126 + "y"]
    )
    def test_host_names(self, text: str) -> None:
        assert is_host_name(text)

    @pytest.mark.parametrize(
        "text", ["", ".", "a..b", "-a", "a b", "a" * 64, "é", "x." * 127 + "y"]
    )
    def test_what_is_no_host_name(self, text: str) -> None:
        assert not is_host_name(text)


_KEYS = """
metadata name namespace labels spec type clusterIP clusterIPs ports port protocol nodePort
externalName endpoints addresses hostname conditions ready targetRef kind subsets ip status
podIP podIPs addressType loadBalancer ingress annotations address nodeName ipFamilies
"""
_keys = st.sampled_from(_KEYS.split())
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["a", "None", "10.0.0.1", "fd00::1", "ClusterIP", "ExternalName", "TCP", "Pod"]
    ),
    st.text(max_size=6),
)
_structures = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=6)
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(KINDS), st.dictionaries(_keys, _structures, max_size=6))
def test_any_structure_is_an_object_or_refused(kind: str, plain: dict[str, Any]) -> None:
    data = json.dumps(plain).encode()
    assert _outcome(lambda: from_json(kind, data)) == _outcome(
        lambda: from_plain(plain | {"kind": kind})
    )


def _outcome(decode: Callable[[], list[Object]]) -> list[Object] | None:
    try:
        return decode()
    except (BadObject, msgspec.DecodeError):
        return None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), st.binary(max_size=40))
def test_any_bytes_are_an_object_or_refused(kind: str, data: bytes) -> None:
    with pytest.raises((BadObject, msgspec.DecodeError)):
        from_json(kind, data)  # 40 random bytes hold no metadata with a name


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.ip_addresses().map(str),
        st.text(alphabet="0123456789.", max_size=16),
        st.text(alphabet="0123456789abcdef:.%", max_size=12),
    )
)
def test_addresses_are_what_the_standard_library_says(text: str) -> None:
    try:
        expected = ip_address(text).packed if "%" not in text else None
    except ValueError:
        expected = None
    if expected is None:
        with pytest.raises(ValueError, match=r"address|identifier"):
            pack_address(text)
    else:
        assert pack_address(text) == expected


def test_text_of_mapped_addresses_is_the_same_on_every_python() -> None:
    assert address_text(ip_address("::ffff:1.2.3.4").packed) == "::ffff:102:304"
