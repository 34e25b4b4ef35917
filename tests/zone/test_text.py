"""A zone as text: read back by dnspython, in canonical order."""

from __future__ import annotations

import dns.name
import dns.rdata
import dns.zone

from dnsd.cluster.objects import Key, ServiceSubject
from dnsd.dns.text import canonical
from dnsd.zone.change import Cause
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.text import zone_text
from dnsd.zone.zone import Zone
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
    def test_dnspython_reads_the_text_as_the_same_rrsets(self) -> None:
        zone = filled()
        seen = set()
        for apex in zone.apexes():
            seen |= as_dnspython_reads("".join(zone_text(zone, apex)), apex)
        assert seen == {
            (one.name, one.type, one.ttl, frozenset(one.rdatas)) for one in zone.rrsets()
        }
        assert len(zone.apexes()) == 4

    def test_the_soa_is_first_and_names_follow_in_canonical_order(self) -> None:
        lines = list(zone_text(filled(), Z))
        assert lines[0].split()[3] == "SOA"
        owners = [line.split()[0] for line in lines]
        assert owners[:3] == ["cluster.local.", "cluster.local.", "ns.dns.cluster.local."]
        order = [canonical(wire(dns.name.from_text(owner))) for owner in owners]
        assert order == sorted(order)

    def test_the_text_does_not_depend_on_the_order_of_edits(self) -> None:
        zone, again = filled(), Zone(filled().config, 77)
        for text in ("db", "out", "web"):
            key = Key("Service", "default", text)
            assert again.replace(key, zone.contribution(key), Cause(key)) is not None
        again.serial = zone.serial
        assert ["".join(zone_text(zone, apex)) for apex in sorted(zone.apexes())] == [
            "".join(zone_text(again, apex)) for apex in sorted(again.apexes())
        ]

    def test_a_zone_that_does_not_exist_has_no_text(self) -> None:
        assert list(zone_text(filled(), name("org."))) == []
