"""The names of a Service: ClusterIP, headless, and ExternalName."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import EndpointSlice, Service, ServiceSubject
from dnsd.zone.schema import examine
from dnsd.zone.settings import SchemaConfig
from tests.zone.made import (
    CONFIG,
    Z,
    endpoint,
    headless,
    names_of,
    piece,
    rrsets,
)
from tests.zone.made import service as make

WEB = "web.default.svc"
DOT = f"{WEB}.cluster.local."


def alone(service: Service, *pieces: EndpointSlice) -> ServiceSubject:
    return ServiceSubject(service, pieces)


class TestClusterIP:
    @pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
    def test_a_cluster_ip_has_an_address_record_and_a_pointer(self, kind: str) -> None:
        assert names_of(alone(make("web", "10.96.0.7", type=kind))) == {
            f"{WEB} A": ["10.96.0.7"],
            "7.0.96.10.in-addr.arpa. PTR": [DOT],
        }

    def test_a_dual_stack_service_has_a_and_aaaa_records(self) -> None:
        assert names_of(alone(make("web", "10.96.0.7", "fd00::7"))) == {
            f"{WEB} A": ["10.96.0.7"],
            f"{WEB} AAAA": ["fd00::7"],
            "7.0.96.10.in-addr.arpa. PTR": [DOT],
            f"7.{'0.' * 29}d.f.ip6.arpa. PTR": [DOT],
        }

    def test_a_named_port_has_srv_records_at_its_name_and_at_the_bare_name(self) -> None:
        found = names_of(alone(make("web", "10.96.0.7", ports=["http/TCP/80"])))
        assert found[f"_http._tcp.{WEB} SRV"] == [f"0 100 80 {DOT}"]
        assert found[f"{WEB} SRV"] == [f"0 100 80 {DOT}"]

    def test_an_unnamed_port_is_at_the_bare_name_only(self) -> None:
        found = names_of(alone(make("web", "10.96.0.7", ports=["/TCP/80"])))
        assert [key for key in found if key.endswith("SRV")] == [f"{WEB} SRV"]

    def test_each_named_port_has_its_srv_and_the_bare_name_has_each_number_once(self) -> None:
        ports = ["dns/UDP/53", "dns-tcp/TCP/53", "metrics/TCP/9153", "sig/SCTP/2905"]
        found = names_of(alone(make("web", "10.96.0.7", ports=ports)))
        # At the bare name, which has no protocol, 53 over UDP and 53 over TCP are one target.
        assert found[f"{WEB} SRV"] == [f"0 33 53 {DOT}", f"0 33 2905 {DOT}", f"0 33 9153 {DOT}"]
        assert found[f"_dns._udp.{WEB} SRV"] == [f"0 100 53 {DOT}"]
        assert found[f"_dns-tcp._tcp.{WEB} SRV"] == [f"0 100 53 {DOT}"]
        assert found[f"_sig._sctp.{WEB} SRV"] == [f"0 100 2905 {DOT}"]

    def test_endpoints_have_names_and_pointers(self) -> None:
        subject = alone(
            make("web", "10.96.0.7"), piece("10.1.0.1", endpoint("10.1.0.2", hostname="b"))
        )
        assert names_of(subject) == {
            f"{WEB} A": ["10.96.0.7"],
            f"10-1-0-1.{WEB} A": ["10.1.0.1"],
            f"b.{WEB} A": ["10.1.0.2"],
            "7.0.96.10.in-addr.arpa. PTR": [DOT],
            "1.0.1.10.in-addr.arpa. PTR": [f"10-1-0-1.{DOT}"],
            "2.0.1.10.in-addr.arpa. PTR": [f"b.{DOT}"],
        }

    def test_endpoint_names_can_be_turned_off(self) -> None:
        subject = alone(make("web", "10.96.0.7"), piece("10.1.0.1"))
        assert set(names_of(subject, endpoint_records=False)) == {
            f"{WEB} A",
            "7.0.96.10.in-addr.arpa. PTR",
        }

    def test_a_cluster_ip_without_endpoints_is_served(self) -> None:
        assert f"{WEB} A" in names_of(alone(make("web", "10.96.0.7")))

    def test_a_cluster_ip_without_ready_endpoints_has_no_name_by_option(self) -> None:
        empty = alone(make("web", "10.96.0.7"), piece(endpoint("10.1.0.1", ready=False)))
        # Its namespace still exists.
        assert names_of(empty, empty_services="nxdomain") == {"default.svc -": []}
        busy = alone(empty.service, piece("10.1.0.1"))
        assert names_of(busy, empty_services="nxdomain") == names_of(busy)

    def test_a_service_whose_ip_is_not_allocated_is_a_name_without_records(self) -> None:
        pending = alone(make("web", type="LoadBalancer", ports=["http/TCP/80"]))
        assert names_of(pending) == {f"{WEB} -": []}

    def test_ttl_is_the_configured_one(self) -> None:
        subject = alone(make("web", "10.96.0.7", ports=["http/TCP/80"]), piece("10.1.0.1"))
        assert {one.ttl for one in rrsets(subject, SchemaConfig(zones=(Z,), ttl=30))} == {30}


class TestHeadless:
    def test_a_headless_service_has_each_ready_address_once(self) -> None:
        subject = headless(
            piece("10.1.0.2", "10.1.0.1", endpoint("10.1.0.9", ready=False), name="a"),
            piece("10.1.0.1", "fd00::1", name="b"),
        )
        found = names_of(subject)
        assert found[f"{WEB} A"] == ["10.1.0.1", "10.1.0.2"]
        assert found[f"{WEB} AAAA"] == ["fd00::1"]
        assert f"10-1-0-9.{WEB} A" not in found
        assert f"{WEB} SRV" not in found  # no ports, no SRV

    def test_an_endpoint_is_named_by_its_hostname_or_its_address(self) -> None:
        found = names_of(
            headless(piece("10.1.0.1", "fd00::1", endpoint("10.1.0.3", hostname="db-0")))
        )
        assert found[f"10-1-0-1.{WEB} A"] == ["10.1.0.1"]
        assert found[f"fd00--1.{WEB} AAAA"] == ["fd00::1"]
        assert found[f"db-0.{WEB} A"] == ["10.1.0.3"]

    def test_one_hostname_with_several_addresses_has_all_of_them(self) -> None:
        found = names_of(
            headless(
                piece(endpoint("10.1.0.1", hostname="db-0"), name="a"),
                piece(endpoint("10.1.0.2", hostname="db-0"), name="b"),
                piece(endpoint("fd00::1", hostname="db-0"), name="c"),
            )
        )
        assert found[f"db-0.{WEB} A"] == ["10.1.0.1", "10.1.0.2"]
        assert found[f"db-0.{WEB} AAAA"] == ["fd00::1"]
        assert found["2.0.1.10.in-addr.arpa. PTR"] == [f"db-0.{DOT}"]

    def test_one_endpoint_with_several_addresses_and_no_hostname(self) -> None:
        found = names_of(headless(piece(endpoint("10.1.0.1", "10.1.0.2"))))
        assert found[f"10-1-0-1.{WEB} A"] == ["10.1.0.1"]
        assert found[f"10-1-0-2.{WEB} A"] == ["10.1.0.2"]

    def test_an_endpoint_is_named_by_its_pod_by_option(self) -> None:
        subject = headless(
            piece(
                endpoint("10.1.0.1", pod="web-5d9"),
                endpoint("10.1.0.2", pod="web-x", hostname="h"),
                endpoint("10.1.0.3"),
                endpoint("10.1.0.4", pod="a.b"),
            )
        )
        found = names_of(subject, endpoint_names="pod")
        assert {key for key in found if key.endswith(f".{WEB} A")} == {
            f"web-5d9.{WEB} A",
            f"h.{WEB} A",
            f"10-1-0-3.{WEB} A",
            f"a.b.{WEB} A",  # Pod names may have dots: two labels
        }

    def test_each_named_port_has_an_srv_for_each_endpoint(self) -> None:
        found = names_of(headless(piece("10.1.0.1", "10.1.0.2", ports=["http/TCP/8080"])))
        expected = [f"0 50 8080 10-1-0-{i}.{DOT}" for i in (1, 2)]
        assert found[f"_http._tcp.{WEB} SRV"] == expected
        assert found[f"{WEB} SRV"] == expected

    def test_ports_are_those_of_the_slice_of_the_endpoint(self) -> None:
        found = names_of(
            headless(
                piece("10.1.0.1", ports=["http/TCP/8080", "m/TCP/9"], name="a"),
                piece("10.1.0.2", ports=["http/TCP/8081"], name="b"),
                ports=["http/TCP/80"],
            )
        )
        assert found[f"_http._tcp.{WEB} SRV"] == [
            f"0 50 8080 10-1-0-1.{DOT}",
            f"0 50 8081 10-1-0-2.{DOT}",
        ]
        assert found[f"{WEB} SRV"] == [
            f"0 33 9 10-1-0-1.{DOT}",
            f"0 33 8080 10-1-0-1.{DOT}",
            f"0 33 8081 10-1-0-2.{DOT}",
        ]

    def test_a_port_without_a_number_has_no_srv(self) -> None:
        found = names_of(headless(piece("10.1.0.1", ports=["/TCP/80", "all/TCP/0"])))
        assert {key: value for key, value in found.items() if key.endswith("SRV")} == {
            f"{WEB} SRV": [f"0 100 80 10-1-0-1.{DOT}"]
        }

    def test_an_srv_weight_is_at_least_1(self) -> None:
        many = [f"10.1.{i // 250}.{i % 250}" for i in range(200)]
        found = names_of(headless(piece(*many, ports=["http/TCP/80"])))
        assert len(found[f"{WEB} SRV"]) == 200
        assert {text.split()[1] for text in found[f"{WEB} SRV"]} == {"1"}

    def test_an_endpoint_has_one_pointer_to_its_name(self) -> None:
        found = names_of(headless(piece("10.1.0.1", name="a"), piece("10.1.0.1", name="b")))
        assert found["1.0.1.10.in-addr.arpa. PTR"] == [f"10-1-0-1.{DOT}"]

    def test_an_address_points_to_each_of_its_hostnames(self) -> None:
        found = names_of(
            headless(piece(endpoint("10.1.0.1", hostname="b"), endpoint("10.1.0.1", hostname="a")))
        )
        assert found["1.0.1.10.in-addr.arpa. PTR"] == [f"a.{DOT}", f"b.{DOT}"]

    @pytest.mark.parametrize(
        "pieces",
        [(), (piece(),), (piece(endpoint("10.1.0.1", ready=False)),), (piece(endpoint()),)],
    )
    def test_without_a_ready_endpoint_a_headless_service_has_no_name(
        self, pieces: tuple[EndpointSlice, ...]
    ) -> None:
        assert names_of(headless(*pieces, ports=["http/TCP/80"])) == {"default.svc -": []}

    def test_addresses_that_are_not_ready_are_published_by_option(self) -> None:
        waiting = piece(endpoint("10.1.0.1", ready=False), ports=["http/TCP/80"])
        assert names_of(headless(waiting, publish_not_ready=True)) == names_of(
            headless(piece("10.1.0.1", ports=["http/TCP/80"]))
        )

    def test_endpoint_names_stay_when_those_of_cluster_ips_are_off(self) -> None:
        subject = headless(piece("10.1.0.1"))
        assert names_of(subject, endpoint_records=False) == names_of(subject)


class TestExternalName:
    @pytest.mark.parametrize("target", ["google.com", "google.com.", "Google.COM"])
    def test_an_external_name_is_a_cname(self, target: str) -> None:
        subject = alone(make("web", type="ExternalName", external_name=target))
        assert names_of(subject) == {f"{WEB} CNAME": ["google.com."]}

    def test_ports_and_endpoints_of_an_external_name_have_no_names(self) -> None:
        subject = alone(
            make("web", type="ExternalName", external_name="a.example", ports=["http/TCP/80"]),
            piece("10.1.0.1", ports=["http/TCP/80"]),
        )
        assert set(names_of(subject)) == {f"{WEB} CNAME"}

    @pytest.mark.parametrize("target", ["192.0.2.1", "2001:db8::1", "192.0.2.1."])
    def test_an_address_as_external_name_is_a_name_without_records(self, target: str) -> None:
        subject = alone(make("web", type="ExternalName", external_name=target))
        assert names_of(subject) == {f"{WEB} -": []}
        assert "is an address, which a CNAME cannot hold" in examine(subject, CONFIG)[1][0]

    @pytest.mark.parametrize("target", ["", "a..b", "x" * 64 + ".example"])
    def test_an_external_name_that_is_not_a_domain_name_is_a_problem(self, target: str) -> None:
        subject = alone(make("web", type="ExternalName", external_name=target))
        _, (problem,) = examine(subject, CONFIG)
        assert problem.startswith("Service default/web: spec.externalName")
        assert names_of(subject) == {f"{WEB} -": []}

    def test_the_type_decides_where_fields_of_another_type_are_set(self) -> None:
        # The API server lets externalName stay in an object that became ClusterIP.
        subject = alone(make("web", "10.96.0.7", external_name="google.com"))
        assert f"{WEB} CNAME" not in names_of(subject)
        assert names_of(subject)[f"{WEB} A"] == ["10.96.0.7"]
