"""EndpointSlices and Endpoints are stripped to slices and checked."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.cluster.objects import Endpoint, EndpointPort, EndpointSlice, Key, from_plain
from dnsd.dns.addresses import pack_address
from tests.cluster.objects.decoding import one, refused


def a_slice(endpoints: Any, **more: Any) -> EndpointSlice:
    plain = {"kind": "EndpointSlice", "metadata": {"name": "s"}, "endpoints": endpoints} | more
    made = one(plain)
    assert isinstance(made, EndpointSlice)
    return made


class TestEndpointSlice:
    def test_every_field_that_dns_needs_is_kept(self) -> None:
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
    def test_an_endpoint_is_ready_unless_its_condition_is_false(
        self, conditions: Any, ready: bool
    ) -> None:
        made = a_slice([{"addresses": ["10.0.0.1"], "conditions": conditions}])
        assert made.endpoints[0].ready is ready

    def test_null_endpoints_and_ports_are_empty(self) -> None:
        assert a_slice(None).endpoints == ()
        assert a_slice([], ports=None).ports == ()

    def test_a_slice_of_host_names_has_no_endpoints(self) -> None:
        assert a_slice([{"addresses": ["a.example"]}], addressType="FQDN").endpoints == ()

    @pytest.mark.parametrize(
        ("more", "field"),
        [
            ({"addressType": "IPX"}, "addressType"),
            ({"addressType": ""}, "addressType"),
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
    def test_an_invalid_field_is_refused_by_its_path(
        self, more: dict[str, Any], field: str
    ) -> None:
        endpoints = [{"addresses": ["10.0.0.1"]}]
        plain = {"kind": "EndpointSlice", "metadata": {"name": "s"}, "endpoints": endpoints}
        assert refused(plain | more).field == field


class TestEndpoints:
    def test_each_subset_becomes_a_slice(self) -> None:
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

    def test_endpoints_without_subsets_have_no_slices(self) -> None:
        assert from_plain({"kind": "Endpoints", "metadata": {"name": "a"}}) == []

    def test_a_bad_address_is_refused_by_its_path(self) -> None:
        subsets = [{"notReadyAddresses": [{"ip": "x"}]}]
        plain = {"kind": "Endpoints", "metadata": {"name": "a"}, "subsets": subsets}
        assert refused(plain).field == "subsets[0].notReadyAddresses[0].ip"
