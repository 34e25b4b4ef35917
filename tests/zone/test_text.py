from __future__ import annotations

import dns.name
import dns.rdata
import dns.rdataclass
import dns.zone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Key, ServiceSubject
from dnsd.dns.names import labels_of, name_of
from dnsd.dns.types import Type
from dnsd.zone.schema import SchemaConfig
from dnsd.zone.text import canonical, rdata_text, rrset_text, zone_text
from dnsd.zone.zone import Cause, Zone
from tests.zone.made import Z, endpoint, headless, name, packed, piece, put, service


def filled() -> Zone:
    config = SchemaConfig(zones=(Z, name("inner")), ns_addresses=packed("10.96.0.10", "fd00::a"))
    zone = Zone(config, 77)
    ports = ["http/TCP/80", "dns/UDP/53"]
    put(zone, ServiceSubject(service("web", "10.96.0.7", "fd00::7", ports=ports)))
    put(zone, ServiceSubject(service("out", type="ExternalName", external_name="_x.Example.com")))
    put(
        zone, headless(piece(endpoint("10.1.0.1", hostname="a"), "fd00::1", ports=ports), name="db")
    )
    return zone


def wire(thing: dns.name.Name | dns.rdata.Rdata) -> bytes:
    out = thing.to_wire()
    assert out is not None
    return out


def as_dnspython_reads(text: str, apex: bytes) -> set[tuple[bytes, int, int, frozenset[bytes]]]:
    origin = dns.name.from_wire(apex, 0)[0]
    parsed = dns.zone.from_text(text, origin=origin, relativize=False)
    return {
        (
            at.to_wire() or b"",
            int(sets.rdtype),
            sets.ttl,
            frozenset(one.to_wire() or b"" for one in sets),
        )
        for at, sets in parsed.iterate_rdatasets()
    }


class TestZoneText:
    def test_reads_back_as_the_same_rrsets(self) -> None:
        zone = filled()
        seen = set()
        for apex in zone.apexes():
            seen |= as_dnspython_reads("".join(zone_text(zone, apex)), apex)
        assert seen == {
            (one.name, one.type, one.ttl, frozenset(one.rdatas)) for one in zone.rrsets()
        }
        assert len(zone.apexes()) == 4

    def test_soa_first_then_canonical_order(self) -> None:
        lines = list(zone_text(filled(), Z))
        assert lines[0].split()[3] == "SOA"
        owners = [line.split()[0] for line in lines]
        assert owners[:3] == ["cluster.local.", "cluster.local.", "ns.dns.cluster.local."]
        order = [canonical(wire(dns.name.from_text(owner))) for owner in owners]
        assert order == sorted(order)

    def test_the_same_whatever_came_first(self) -> None:
        zone, again = filled(), Zone(filled().config, 77)
        for text in ("db", "out", "web"):
            key = Key("Service", "default", text)
            assert again.replace(key, zone.contribution(key), Cause(key)) is not None
        again.serial = zone.serial
        assert ["".join(zone_text(zone, apex)) for apex in sorted(zone.apexes())] == [
            "".join(zone_text(again, apex)) for apex in sorted(again.apexes())
        ]

    def test_a_zone_that_is_not_there_has_no_text(self) -> None:
        assert list(zone_text(filled(), name("org."))) == []


class TestCanonicalOrder:
    def test_the_example_of_rfc4034_6_1(self) -> None:
        example = "example. a.example. yljkjljk.a.example. Z.a.example. zABC.a.EXAMPLE. "
        example += "z.example. \\001.z.example. *.z.example. \\200.z.example."
        names = [
            dns.name.from_text(text).canonicalize().to_wire() or b"" for text in example.split()
        ]
        assert sorted(names, key=canonical) == names


class TestRdataText:
    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("A", "10.0.0.1"),
            ("AAAA", "fd00::1"),
            ("NS", "ns.dns.cluster.local."),
            ("CNAME", "a\\.b.example."),
            ("SRV", "0 100 80 web.default.svc.cluster.local."),
            ("TXT", '"1.1.0"'),
            ("TXT", '"say \\"hi\\"" "\\\\" "\\001\\255" ""'),
            ("MX", "10 mail.example."),
            ("CAA", '0 issue "ca.example"'),
            ("TYPE65300", "\\# 3 0a0b0c"),
            ("TYPE65300", "\\# 0"),
        ],
    )
    def test_is_what_was_meant(self, kind: str, text: str) -> None:
        parsed = dns.rdata.from_text("IN", kind, text)
        assert rdata_text(parsed.rdtype, wire(parsed)) == text

    def test_an_rdata_that_is_not_what_its_type_says(self) -> None:
        assert rdata_text(Type.MX, b"\x00") == "\\# 1 00"

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.binary(max_size=30), min_size=1, max_size=3))
    def test_any_txt_reads_back(self, strings: list[bytes]) -> None:
        rdata = b"".join(bytes([len(one)]) + one for one in strings)
        text = rdata_text(Type.TXT, rdata)
        assert dns.rdata.from_text("IN", "TXT", text).to_wire() == rdata

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.binary(min_size=1, max_size=20), max_size=5))
    def test_any_target_reads_back(self, labels: list[bytes]) -> None:
        target = name_of(*labels)
        assert len(list(labels_of(target))) == len(labels)
        rdata = b"\x00\x01\x00\x02\x00\x03" + target
        assert dns.rdata.from_text("IN", "SRV", rdata_text(Type.SRV, rdata)).to_wire() == rdata


def test_one_line_a_record() -> None:
    zone = filled()
    owner = "db.default.svc.cluster.local."
    found = zone.rrset(name("db.default.svc"), Type.SRV)
    assert found is not None
    assert [line.split("\t") for line in rrset_text(found)] == [
        [owner, "5", "IN", "SRV", f"0 25 {port} {host}.{owner}\n"]
        for port, host in ((53, "a"), (53, "fd00--1"), (80, "a"), (80, "fd00--1"))
    ]
