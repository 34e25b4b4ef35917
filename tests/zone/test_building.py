"""The parts of names and RRsets: labels of addresses, names of ports, and SRV sets."""

from __future__ import annotations

import pytest

from dnsd.dns.names import name_of
from dnsd.zone.building import address_label, plan_of, port_name, srv
from dnsd.zone.settings import SchemaConfig
from tests.zone.made import (
    Z,
    name,
    packed,
)


class TestAddressLabel:
    @pytest.mark.parametrize(
        ("address", "label"),
        [
            ("10.0.0.7", "10-0-0-7"),
            ("fd00:10::1:2", "fd00-10--1-2"),
            ("::1", "--1"),
            ("fd00::", "fd00--"),
        ],
    )
    def test_an_address_is_written_with_dashes(self, address: str, label: str) -> None:
        assert name_of(label)[:-1] == address_label(packed(address)[0])


class TestPortName:
    def test_an_unnamed_port_has_no_name(self) -> None:
        assert port_name("", "TCP", Z, []) is None

    def test_a_port_name_of_63_octets_does_not_fit_with_its_underscore(self) -> None:
        problems: list[str] = []
        assert port_name("p" * 63, "TCP", Z, problems) is None
        assert "it has 64 octets" in problems[0]

    def test_the_name_is_in_lower_case_below_the_service(self) -> None:
        assert port_name("http", "TCP", name("web"), []) == name("_http._tcp.web")


class TestSrv:
    def test_the_weight_is_100_divided_by_the_targets_and_at_least_1(self) -> None:
        (one,) = srv(Z, [(80, name("a"))], 5).rdatas
        assert one[:6] == b"\0\0\0\x64\0\x50"
        many = srv(Z, [(80, name(f"t{n}")) for n in range(150)], 5)
        assert {rdata[3] for rdata in many.rdatas} == {1}

    def test_equal_rdatas_are_shared(self) -> None:
        first = srv(name("a"), [(80, Z)], 5)
        assert srv(name("b"), [(80, Z)], 5, first).rdatas is first.rdatas


class TestPlan:
    def test_the_suffixes_follow_the_zones_and_the_pod_names(self) -> None:
        other = name("other.")
        plan = plan_of(SchemaConfig(zones=(Z, other), pods="verified"))
        assert plan.suffixes == (name("svc"), name("svc.other."))
        assert plan.pod_suffixes == (name("pod"), name("pod.other."))
        assert plan_of(SchemaConfig(zones=(Z,))).pod_suffixes == ()
