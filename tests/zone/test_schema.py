"""Every row of the schema: what a subject owns, as text.

Names are written relative to cluster.local; `name -` is a marker: the name exists and
nothing more.
"""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import EndpointSlice, Namespace, Pod, Service, ServiceSubject, Subject
from dnsd.dns.names import MAX_NAME, name_from_text, name_of
from dnsd.dns.types import Type
from dnsd.zone.schema import apex, examine
from dnsd.zone.settings import SchemaConfig
from tests.zone.made import (
    CONFIG,
    Z,
    endpoint,
    headless,
    name,
    names_of,
    packed,
    piece,
    rrsets,
    table,
)
from tests.zone.made import service as make

WEB = "web.default.svc"
DOT = f"{WEB}.cluster.local."


def alone(service: Service, *pieces: EndpointSlice) -> ServiceSubject:
    return ServiceSubject(service, pieces)


class TestZone:
    def test_an_apex_has_ns_server_and_version(self) -> None:
        config = SchemaConfig(zones=(Z,), ns_addresses=packed("10.96.0.10", "fd00::a"))
        assert table(apex(config)) == {
            "cluster.local. NS": ["ns.dns.cluster.local."],
            "ns.dns.cluster.local. A": ["10.96.0.10"],
            "ns.dns.cluster.local. AAAA": ["fd00::a"],
            "dns-version.cluster.local. TXT": ['"1.1.0"'],
        }

    def test_server_name_exists_without_addresses(self) -> None:
        assert table(apex(CONFIG))["ns.dns.cluster.local. -"] == []

    def test_version_is_kept_for_eight_hours(self) -> None:
        ttls = {one.type: one.ttl for one in apex(CONFIG)}
        assert ttls[Type.TXT] == 28800
        assert ttls[Type.NS] == 5

    def test_every_zone_has_an_apex(self) -> None:
        config = SchemaConfig(zones=(Z, name_from_text("example.org.")))
        assert {"cluster.local. NS", "example.org. NS"} <= set(table(apex(config)))

    def test_configured_reverse_zones_exist_always(self) -> None:
        config = SchemaConfig(zones=(Z,), reverse_zones=("10.96.0.0/15", "fd00::/8"))
        assert table(apex(config)) | {
            "96.10.in-addr.arpa. NS": ["ns.dns.cluster.local."],
            "97.10.in-addr.arpa. NS": ["ns.dns.cluster.local."],
            "d.f.ip6.arpa. NS": ["ns.dns.cluster.local."],
        } == table(apex(config))


class TestNamespace:
    def test_a_namespace_exists_without_records(self) -> None:
        assert names_of(Namespace("team")) == {"team.svc -": []}

    @pytest.mark.parametrize("mode", ["verified", "insecure"])
    def test_a_namespace_exists_below_pod_with_pod_names(self, mode: str) -> None:
        assert names_of(Namespace("team"), pods=mode) == {"team.svc -": [], "team.pod -": []}


class TestPods:
    POD = Pod("default", "p", packed("10.1.0.1", "fd00::1"), phase="Running")

    def test_a_running_pod_has_a_name_with_verified(self) -> None:
        assert names_of(self.POD, pods="verified") == {
            "10-1-0-1.default.pod A": ["10.1.0.1"],
            "fd00--1.default.pod AAAA": ["fd00::1"],
        }

    @pytest.mark.parametrize("mode", ["disabled", "insecure"])
    def test_pods_have_no_records_in_other_modes(self, mode: str) -> None:
        assert names_of(self.POD, pods=mode) == {}

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_a_finished_pod_has_no_name(self, phase: str) -> None:
        assert names_of(Pod("default", "p", packed("10.1.0.1"), phase), pods="verified") == {}

    def test_pods_on_the_network_of_their_node_have_names(self) -> None:
        pod = Pod("default", "p", packed("10.1.0.1"), "Running", host_network=True)
        assert set(names_of(pod, pods="verified")) == {"10-1-0-1.default.pod A"}

    @pytest.mark.parametrize("mode", ["verified", "insecure"])
    @pytest.mark.parametrize(
        "subject",
        [
            alone(make("web", "10.96.0.7")),
            alone(make("web", type="ExternalName", external_name="a.example")),
            headless(),
        ],
    )
    def test_a_service_makes_its_namespace_exist(self, subject: Subject, mode: str) -> None:
        assert "default.pod -" in names_of(subject, pods=mode)
        assert "default.pod -" not in names_of(subject)


class TestSeveralZones:
    CONFIG = SchemaConfig(zones=(Z, name_from_text("example.org.")))

    def test_each_zone_has_the_same_names_and_its_own_targets(self) -> None:
        found = table(rrsets(headless(piece("10.1.0.1", ports=["http/TCP/80"])), self.CONFIG))
        for zone in ("cluster.local.", "example.org."):
            assert found[f"{WEB}.{zone} A"] == ["10.1.0.1"]
            assert found[f"{WEB}.{zone} SRV"] == [f"0 100 80 10-1-0-1.{WEB}.{zone}"]

    def test_pointers_lead_into_the_first_zone(self) -> None:
        found = table(rrsets(alone(make("web", "10.96.0.7")), self.CONFIG))
        assert found["7.0.96.10.in-addr.arpa. PTR"] == [DOT]

    def test_a_zone_may_end_with_the_octets_of_another(self) -> None:
        config = SchemaConfig(zones=(Z, name("svc")))
        found = table(rrsets(alone(make("web", "10.96.0.7")), config))
        assert found["7.0.96.10.in-addr.arpa. PTR"] == [DOT]
        assert f"{WEB}.svc.cluster.local. A" in found


class TestReverse:
    def pointers(self, ip: str, *cidrs: str) -> list[str]:
        config = SchemaConfig(zones=(Z,), reverse_zones=cidrs)
        found = table(rrsets(alone(make("web", ip)), config))
        return [key for key in found if key.endswith("PTR")]

    @pytest.mark.parametrize(
        "ip",
        [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.9.9",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.0.1",
            "fc00::1",
            "fdff::1",
        ],
    )
    def test_private_ranges_are_covered(self, ip: str) -> None:
        assert len(self.pointers(ip)) == 1

    @pytest.mark.parametrize(
        "ip", ["11.0.0.1", "172.32.0.1", "172.15.0.1", "192.169.0.1", "100.128.0.1", "2001:db8::1"]
    )
    def test_other_ranges_are_not_covered(self, ip: str) -> None:
        assert self.pointers(ip) == []

    def test_configured_cidrs_replace_the_private_ranges(self) -> None:
        assert self.pointers("203.0.113.5", "203.0.113.0/24")
        assert not self.pointers("10.0.0.1", "203.0.113.0/24")

    @pytest.mark.parametrize("ip", ["10.96.0.1", "10.111.255.255"])
    def test_a_cidr_between_octets_covers_exactly_itself(self, ip: str) -> None:
        assert self.pointers(ip, "10.96.0.0/12")
        assert not self.pointers("10.112.0.1", "10.96.0.0/12")
        assert not self.pointers("10.95.255.255", "10.96.0.0/12")

    def test_a_cidr_smaller_than_an_octet_is_a_zone_for_each_address(self) -> None:
        assert self.pointers("192.0.2.6", "192.0.2.4/30")
        assert not self.pointers("192.0.2.8", "192.0.2.4/30")

    @pytest.mark.parametrize("cidr", ["10.0.0.1/8", "10.0.0.0/33", "pods"])
    def test_the_error_has_the_text_that_is_not_a_cidr(self, cidr: str) -> None:
        with pytest.raises(ValueError, match=cidr.split("/")[0]):
            apex(SchemaConfig(zones=(Z,), reverse_zones=(cidr,)))


class TestLimits:
    """RFC 1035 2.3.4: what grows too long is left out and reported, the rest is served."""

    LONG = name_of("a" * 63, "b" * 57, below=Z)  # 137 octets

    def test_an_endpoint_name_over_255_octets(self) -> None:
        short, long = endpoint("10.1.0.1", hostname="h"), endpoint("10.1.0.2", hostname="x" * 63)
        subject = headless(piece(short, long, ports=["p/TCP/80"], service="s" * 50), name="s" * 50)
        sets, found = examine(subject, SchemaConfig(zones=(self.LONG,)))
        assert all(len(one.name) <= MAX_NAME for one in sets)
        assert len(found) == 1
        assert "has 264 octets" in found[0]
        # Its address still counts, and no SRV or PTR leads to the name that is not there.
        at_service = {one.type: one for one in sets if one.name.startswith(b"\x32s")}
        assert len(at_service[Type.A].rdatas) == 2
        assert len(at_service[Type.SRV].rdatas) == 1
        assert [len(one.rdatas) for one in sets if one.type == Type.PTR] == [1]

    def test_a_service_name_over_255_octets_is_missing_in_that_zone_only(self) -> None:
        subject = alone(make("s" * 63, "10.96.0.7", namespace="n" * 63))
        sets, found = examine(subject, SchemaConfig(zones=(self.LONG, Z)))
        assert len(found) == 1
        assert {one.type for one in sets} == {Type.A}  # and no PTR: the primary has no such name

    def test_a_port_name_that_has_no_room_for_its_underscore(self) -> None:
        subject = alone(make("web", "10.96.0.7", ports=["p" * 63 + "/TCP/80"]))
        assert f"{WEB} SRV" in names_of(subject)
        assert "64 octets" in examine(subject, CONFIG)[1][0]

    def test_a_pod_name_that_is_too_long_gives_way_to_the_address(self) -> None:
        subject = headless(piece(endpoint("10.1.0.1", pod="p" * 64)))
        config = SchemaConfig(zones=(Z,), endpoint_names="pod")
        assert f"10-1-0-1.{WEB}.cluster.local. A" in table(rrsets(subject, config))
        assert "named by its address, because" in examine(subject, config)[1][0]

    def test_a_usual_subject_has_no_problems(self) -> None:
        assert examine(headless(piece("10.1.0.1")), CONFIG)[1] == []
