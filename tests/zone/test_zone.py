from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Key, Namespace, Pod, ServiceSubject, Subject
from dnsd.dns.names import Name, is_below, name_from_text, parent_of, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.text import rdata_text
from dnsd.dns.types import Type
from dnsd.zone.building import marker
from dnsd.zone.change import Cause, Change
from dnsd.zone.merge import APEX_KEY
from dnsd.zone.schema import apex
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.zone import Zone
from tests.zone.made import (
    CONFIG,
    Z,
    endpoint,
    headless,
    name,
    packed,
    piece,
    put,
    rrsets,
    service,
    table,
)

A, B, C = (Key("Service", "ns", letter) for letter in "abc")
WEB = name("web.default.svc")
REVERSE_10 = name("10.in-addr.arpa.")


def cause(contributor: Key) -> Cause:
    return Cause(contributor)


def replace(zone: Zone, contributor: Key, *sets: RRset) -> Change | None:
    return zone.replace(contributor, sets, cause(contributor))


def address(at: str, *ips: str, ttl: int = 5) -> RRset:
    return RRset(name(at), Type.A, ttl, tuple(sorted(packed(*ips))))


def alias(at: str, target: str) -> RRset:
    return RRset(name(at), Type.CNAME, 5, (name(target),))


def pointer(ip: str, *targets: str, ttl: int = 5) -> RRset:
    reverse = ".".join(reversed(ip.split("."))) + ".in-addr.arpa."
    return RRset(name(reverse), Type.PTR, ttl, tuple(sorted(name(one) for one in targets)))


def texts(names: Iterable[Name]) -> set[str]:
    return {text_of(one).replace(".cluster.local.", "") for one in names}


class TestEmptyZone:
    def test_an_empty_zone_has_the_names_of_its_apex(self) -> None:
        zone = Zone(CONFIG, 7)
        assert texts(zone.names()) == {"cluster.local.", "ns.dns", "dns", "dns-version"}
        assert len(zone) == 4
        assert zone.apexes() == (Z,)
        assert zone.serial == 7

    def test_the_soa_has_the_serial_and_the_ttl_of_the_zone(self) -> None:
        zone = Zone(SchemaConfig(zones=(Z,), ttl=9), 7)
        soa = zone.soa(Z)
        assert zone.rrset(Z, Type.SOA) == soa
        assert soa.ttl == 9
        assert rdata_text(Type.SOA, soa.rdatas[0]) == (
            "ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 9"
        )

    def test_soa_of_a_reverse_zone_names_the_primary_server(self) -> None:
        zone = Zone(SchemaConfig(zones=(Z,), reverse_zones=("10.0.0.0/8",)), 7)
        assert rdata_text(Type.SOA, zone.soa(REVERSE_10).rdatas[0]).startswith(
            "ns.dns.cluster.local. hostmaster.cluster.local. 7 "
        )

    def test_types_at_the_apex(self) -> None:
        zone = Zone(CONFIG, 1)
        assert zone.types(Z) == (Type.NS, Type.SOA)
        assert zone.types(name("dns")) == ()
        assert zone.types(name("nobody")) == ()

    def test_an_empty_non_terminal_exists_without_records(self) -> None:
        zone = Zone(CONFIG, 1)
        (ns,) = zone.at(Z)  # the SOA is made when it is queried
        assert ns == zone.rrset(Z, Type.NS)
        assert zone.at(name("dns")) == zone.at(name("nobody")) == ()

    def test_the_apex_contributes_the_records_of_the_zone(self) -> None:
        zone = Zone(CONFIG, 1)
        assert zone.contributors(Z) == (APEX_KEY,)
        assert list(zone.contribution(APEX_KEY)) == apex(CONFIG)


class TestReplace:
    def test_a_change_has_the_names_and_rrsets_that_were_added(self) -> None:
        zone = Zone(CONFIG, 7)
        why = Cause(A, "42", "web.yaml", 1.5)
        change = zone.replace(A, [address("web.default.svc", "10.0.0.1")], why)
        assert change == Change(
            serial=8,
            contributor=A,
            removed=(),
            added=(address("web.default.svc", "10.0.0.1"),),
            born=(WEB, name("default.svc"), name("svc")),
            died=(),
            zones_born=(),
            zones_died=(),
            cause=why,
        )
        assert zone.serial == 8

    def test_a_change_has_the_names_and_rrsets_that_were_removed(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, address("web.default.svc", "10.0.0.1"))
        change = replace(zone, A)
        assert change is not None
        assert change.removed == (address("web.default.svc", "10.0.0.1"),)
        assert (change.added, change.born) == ((), ())
        assert change.died == (WEB, name("default.svc"), name("svc"))
        assert list(zone.contribution(A)) == []

    def test_an_rrset_that_changed_is_in_both(self) -> None:
        zone = Zone(CONFIG, 7)
        old, new = address("web.default.svc", "10.0.0.1"), address("web.default.svc", "10.0.0.2")
        other = RRset(WEB, Type.AAAA, 5, packed("fd00::1"))
        replace(zone, A, old, other)
        change = replace(zone, A, new, other)
        assert change is not None
        assert (change.removed, change.added) == ((old,), (new,))
        assert change.born == change.died == ()

    def test_equal_rrsets_are_not_a_change(self) -> None:
        zone = Zone(CONFIG, 7)
        sets = [address("web.default.svc", "10.0.0.1"), marker(name("other.svc"))]
        assert replace(zone, A, *sets)
        assert replace(zone, A, *reversed(sets)) is None
        assert replace(zone, B) is None
        assert zone.serial == 8

    def test_a_name_that_moves_within_a_contributor_keeps_its_parents(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, address("a.web.default.svc", "10.0.0.1"))
        change = replace(zone, A, address("b.web.default.svc", "10.0.0.1"))
        assert change is not None
        assert texts(change.born) == {"b.web.default.svc"}
        assert texts(change.died) == {"a.web.default.svc"}

    def test_several_sets_of_one_name_and_type_are_joined(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, address("web", "10.0.0.2", ttl=9), address("web", "10.0.0.1"))
        assert zone.rrset(name("web"), Type.A) == address("web", "10.0.0.1", "10.0.0.2")

    def test_a_name_outside_every_zone_is_not_served(self) -> None:
        zone = Zone(CONFIG, 7)
        before = set(zone.names())
        external = (address("example.org.", "10.0.0.1"), marker(name("example.com.")))
        assert replace(zone, A, *external) is None
        assert set(zone.names()) == before
        assert replace(zone, A) is None


class TestMemory:
    """Contributions are packed, and unpacked on demand."""

    def filled(self, *, unpacked: bool) -> tuple[Zone, dict[Key, list[RRset]]]:
        zone, given = Zone(CONFIG, 7, unpacked=unpacked), {}
        for number in range(50):
            some = (f"10.1.{number}.{one}" for one in range(1, 9))
            subject = headless(piece(*some, ports=["http/TCP/80"]), name=f"db-{number}")
            given[subject.key] = rrsets(subject, CONFIG)
            put(zone, subject)
        return zone, given

    @pytest.mark.parametrize("unpacked", [False, True])
    def test_every_contributor_keeps_its_rrsets(self, unpacked: bool) -> None:
        zone, given = self.filled(unpacked=unpacked)
        for _ in zone.compact_all():
            pass
        for contributor, sets in given.items():
            assert list(zone.contribution(contributor)) == sets
            for one in sets:
                if one.type:
                    assert zone.rrset(one.name, one.type) == one
                    assert zone.contributors(one.name) == (contributor,)
        assert {contributor: list(sets) for contributor, sets, _ in zone.contributions()} == given

    def test_changes_during_compact_all_are_kept(self) -> None:
        zone, given = self.filled(unpacked=True)
        first, *_, last = given
        going = zone.compact_all()
        next(going)
        replace(zone, last)
        replace(zone, first, address("web", "10.0.0.1"))
        replace(zone, A, address("web", "10.0.0.2"))
        for _ in going:
            pass
        assert zone.contribution(last) == ()
        assert zone.contribution(first) == (address("web", "10.0.0.1"),)
        assert zone.rrset(name("web"), Type.A) == address("web", "10.0.0.1", "10.0.0.2")


class TestNames:
    """RFC 8020: a name exists when anything below it does."""

    def test_empty_non_terminals_come_and_go(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, address("_http._tcp.web.default.svc", "10.0.0.1"))
        for text in ("_tcp.web.default.svc", "web.default.svc", "default.svc", "svc"):
            assert zone.exists(name(text))
            assert zone.types(name(text)) == ()
            assert zone.contributors(name(text)) == ()
        replace(zone, A)
        assert not zone.exists(name("svc"))

    def test_a_name_with_records_stays_when_those_below_it_go(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, address("web", "10.0.0.1"))
        replace(zone, B, address("x.web", "10.0.0.1"))
        replace(zone, B)
        assert zone.exists(name("web"))
        replace(zone, A)
        assert not zone.exists(name("web"))

    def test_a_marker_keeps_a_name_without_records(self) -> None:
        zone = Zone(CONFIG, 7)
        change = replace(zone, A, marker(name("team.svc")))
        assert change is not None
        assert change.added == ()
        assert texts(change.born) == {"team.svc", "svc"}
        assert zone.types(name("team.svc")) == ()

    def test_a_marked_name_exists_until_its_last_marker_goes(self) -> None:
        zone = Zone(CONFIG, 7)
        assert replace(zone, A, marker(name("team.svc")))
        assert replace(zone, B, marker(name("team.svc"))) is None
        assert replace(zone, A) is None
        assert zone.exists(name("team.svc"))
        assert replace(zone, B)
        assert not zone.exists(name("svc"))


class TestSeveralContributors:
    def test_pointers_are_united(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, pointer("10.0.0.1", "a"))
        change = replace(zone, B, pointer("10.0.0.1", "b", ttl=3))
        assert change is not None
        both = pointer("10.0.0.1", "a", "b", ttl=3)
        assert (change.removed, change.added) == ((pointer("10.0.0.1", "a"),), (both,))
        assert zone.contributors(both.name) == (A, B)
        replace(zone, A)
        assert zone.rrset(both.name, Type.PTR) == pointer("10.0.0.1", "b", ttl=3)
        assert zone.contributors(both.name) == (B,)

    @pytest.mark.parametrize("order", [(A, B, C), (C, B, A), (B, A, C)])
    def test_a_cname_of_the_first_contributor_is_alone(self, order: tuple[Key, ...]) -> None:
        said = {A: alias("web", "x"), B: address("web", "10.0.0.1"), C: alias("web", "y")}
        zone = Zone(CONFIG, 7)
        for contributor in order:
            replace(zone, contributor, said[contributor])
        assert zone.types(name("web")) == (Type.CNAME,)
        assert zone.rrset(name("web"), Type.CNAME) == said[A]
        replace(zone, A)
        assert zone.types(name("web")) == (Type.A,)  # now B comes first, and C's CNAME is left out
        replace(zone, B)
        assert zone.rrset(name("web"), Type.CNAME) == said[C]

    def test_the_apex_comes_before_all(self) -> None:
        zone = Zone(CONFIG, 7)
        assert replace(zone, A, alias("@", "x")) is None
        assert zone.types(Z) == (Type.NS, Type.SOA)
        assert zone.contributors(Z) == (APEX_KEY, A)

    def test_an_edit_that_serves_the_same_is_not_a_change(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, address("web", "10.0.0.1", "10.0.0.2"))
        assert replace(zone, B, address("web", "10.0.0.1")) is None
        assert replace(zone, B) is None


class TestReverseZonesAsNeeded:
    def test_a_reverse_zone_comes_with_the_first_pointer_and_goes_with_the_last(self) -> None:
        zone = Zone(CONFIG, 7)
        ns = RRset(REVERSE_10, Type.NS, 5, (name("ns.dns"),))
        change = replace(zone, A, pointer("10.0.0.1", "a"))
        assert change is not None
        assert change.zones_born == (REVERSE_10,)
        assert ns in change.added
        assert REVERSE_10 in change.born
        assert zone.apexes() == (Z, REVERSE_10)
        assert zone.types(REVERSE_10) == (Type.NS, Type.SOA)
        assert not zone.exists(name("in-addr.arpa."))

        assert replace(zone, B, pointer("10.9.9.9", "b"))
        second = replace(zone, A)
        assert second is not None
        assert second.zones_died == ()
        last = replace(zone, B)
        assert last is not None
        assert last.zones_died == (REVERSE_10,)
        assert ns in last.removed
        assert zone.apexes() == (Z,)
        assert zone.zone_of(pointer("10.0.0.1", "a").name) is None

    def test_a_name_that_moves_within_a_reverse_zone_keeps_the_zone(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, pointer("10.0.0.1", "a"))
        change = replace(zone, A, pointer("10.9.9.9", "a"))
        assert change is not None
        assert change.zones_born == change.zones_died == ()

    def test_172_16_is_sixteen_zones(self) -> None:
        zone = Zone(CONFIG, 7)
        replace(zone, A, pointer("172.16.0.1", "a"), pointer("172.31.0.1", "a"))
        assert texts(zone.apexes()[1:]) == {"16.172.in-addr.arpa.", "31.172.in-addr.arpa."}

    def test_configured_reverse_zones_stay_without_names(self) -> None:
        zone = Zone(SchemaConfig(zones=(Z,), reverse_zones=("10.0.0.0/8",)), 7)
        assert zone.apexes() == (Z, REVERSE_10)
        replace(zone, A, pointer("10.0.0.1", "a"))
        change = replace(zone, A)
        assert change is not None
        assert change.zones_died == ()
        assert zone.exists(REVERSE_10)

    def test_a_reverse_zone_of_one_address_holds_its_pointer(self) -> None:
        zone = Zone(SchemaConfig(zones=(Z,), reverse_zones=("192.0.2.4/32",)), 7)
        one = pointer("192.0.2.4", "a")
        replace(zone, A, one)
        assert zone.types(one.name) == (Type.NS, Type.SOA, Type.PTR)


class TestZoneOf:
    INNER = name_from_text("a.b.cluster.local.")

    def test_the_longest_apex_wins(self) -> None:
        zone = Zone(SchemaConfig(zones=(Z, self.INNER)), 7)
        assert zone.zone_of(name("x.a.b")) == self.INNER
        assert zone.zone_of(self.INNER) == self.INNER
        assert zone.zone_of(name("x.b")) == Z
        assert zone.zone_of(name("org.")) is None

    def test_names_between_two_apexes_exist(self) -> None:
        zone = Zone(SchemaConfig(zones=(Z, self.INNER)), 7)
        assert zone.exists(name("b"))

    def test_a_configured_zone_may_be_above_the_reverse_zones(self) -> None:
        zone = Zone(SchemaConfig(zones=(Z, name("arpa."))), 7)
        replace(zone, A, pointer("10.0.0.1", "a"))
        assert zone.zone_of(pointer("10.0.0.1", "a").name) == REVERSE_10
        assert zone.exists(name("in-addr.arpa."))
        replace(zone, A)
        assert not zone.exists(name("in-addr.arpa."))


class TestSerial:
    """RFC 1982."""

    def test_the_serial_wraps(self) -> None:
        zone = Zone(CONFIG, 2**32 - 1)
        change = replace(zone, A, address("web", "10.0.0.1"))
        assert change is not None
        assert change.serial == zone.serial == 0
        assert rdata_text(Type.SOA, zone.soa(Z).rdatas[0]).split()[2] == "0"


# -- properties: any order of edits ends where a build from scratch does


def model(config: SchemaConfig, said: dict[Key, list[RRset]]) -> tuple[set[RRset], set[Name]]:
    """What a zone with these contributions serves, computed the plain way: everything anew."""
    zone = Zone(config, 0)  # for its apexes alone
    tops = [*zone.apexes(), *(_private_apexes() if not config.reverse_zones else ())]
    sets = {Key("", "", ""): apex(config), **said}  # sorts first, as the apex does
    by_name: dict[Name, dict[Key, list[RRset]]] = {}
    names: set[Name] = set()
    for contributor, some in sets.items():
        for one in some:
            above = [top for top in tops if is_below(one.name, top)]
            if not above:
                continue
            top = min(above, key=len)
            step = one.name
            names.add(top)
            while step != top:
                names.add(step)
                step = parent_of(step)
            if one.type:
                by_name.setdefault(one.name, {}).setdefault(contributor, []).append(one)
    served: set[RRset] = set()
    for top in set(tops) - set(zone.apexes()):
        if top in names:
            served.add(RRset(top, Type.NS, config.ttl, (name("ns.dns"),)))
    for at, by_owner in by_name.items():
        first = by_owner[min(by_owner)]
        everything = [one for some in by_owner.values() for one in some]
        if any(one.type == Type.CNAME for one in first):
            served.update(first)
            continue
        for type_ in {one.type for one in everything} - {Type.CNAME}:
            same = [one for one in everything if one.type == type_]
            rdatas = {rdata for one in same for rdata in one.rdatas}
            served.add(RRset(at, type_, min(one.ttl for one in same), tuple(sorted(rdatas))))
    return served, names


def _private_apexes() -> list[Name]:
    four = ["10", "168.192", *[f"{i}.172" for i in range(16, 32)]]
    four += [f"{i}.100" for i in range(64, 128)]
    six = ["c.f.ip6.arpa.", "d.f.ip6.arpa."]
    return [name(text) for text in [*(f"{one}.in-addr.arpa." for one in four), *six]]


class Mirror:
    """A consumer that has only the Changes after its start."""

    def __init__(self, zone: Zone) -> None:
        self.sets = {one for one in zone.rrsets() if one.type != Type.SOA}
        self.names = set(zone.names())
        self.apexes = set(zone.apexes())
        self.serial = zone.serial

    def follow(self, change: Change | None) -> None:
        if change is None:
            return
        assert change.serial == self.serial + 1
        self.serial = change.serial
        for have, gone, come in (
            (self.sets, change.removed, change.added),
            (self.names, change.died, change.born),
            (self.apexes, change.zones_died, change.zones_born),
        ):
            assert len(set(gone)) == len(gone)
            assert len(set(come)) == len(come)
            assert set(gone) <= have
            have.difference_update(gone)
            assert not set(come) & have
            have.update(come)  # type: ignore[arg-type]

    def agrees(self, zone: Zone) -> None:
        assert self.sets == {one for one in zone.rrsets() if one.type != Type.SOA}
        assert self.names == set(zone.names())
        assert self.apexes == set(zone.apexes())
        assert self.serial == zone.serial


ips = st.sampled_from(["10.1.0.1", "10.1.0.2", "172.20.0.1", "fd00::1", "203.0.113.1"])
endpoints = st.builds(
    endpoint,
    ips,
    hostname=st.sampled_from(["", "", "h1", "h2"]),
    ready=st.sampled_from([True, True, False]),
    pod=st.sampled_from(["", "p-1"]),
)
pieces = st.builds(
    lambda some, ports: piece(*some, ports=ports),
    st.lists(endpoints, max_size=3),
    st.sampled_from([(), ("http/TCP/80",), ("a/TCP/1", "b/UDP/2"), ("/TCP/0",)]),
)
services = st.one_of(
    st.builds(lambda some: headless(*some), st.lists(pieces, max_size=2)),
    st.builds(
        lambda addresses, some: ServiceSubject(
            service("web", *addresses, ports=["http/TCP/80"]), tuple(some)
        ),
        st.sampled_from([("10.96.0.1",), ("10.1.0.1", "fd00::1"), ()]),
        st.lists(pieces, max_size=2),
    ),
    st.sampled_from(["a.example", "web.default.svc.cluster.local", "192.0.2.1"]).map(
        lambda target: ServiceSubject(service("web", type="ExternalName", external_name=target))
    ),
)
pods = st.builds(
    lambda some: Pod("default", "p", packed(*some), "Running"), st.lists(ips, max_size=2)
)

KEYS = [Key("Service", "default", text) for text in ("web", "db")]
KEYS += [Key("Service", "team", "web"), Key("Namespace", "", "team")]
KEYS += [Key("Pod", "default", "p"), Key("Pod", "default", "q")]


def subject_of(key: Key, some: Any) -> Subject:
    """A subject drawn for any key, given that key's name."""
    if key.kind == "Namespace":
        return Namespace(key.name)
    if key.kind == "Pod":
        return Pod(key.namespace, key.name, some.ips, some.phase)
    renamed = {"namespace": key.namespace, "name": key.name}
    fields = {part: getattr(some.service, part) for part in some.service.__struct_fields__}
    return ServiceSubject(type(some.service)(**{**fields, **renamed}), some.slices)


steps = st.sampled_from(KEYS).flatmap(
    lambda key: st.tuples(
        st.just(key), st.none() | (pods if key.kind == "Pod" else services).map(lambda s: (s,))
    )
)
configs = st.sampled_from(
    [
        CONFIG,
        SchemaConfig(zones=(Z, name("svc"), name("other.")), pods="verified"),
        SchemaConfig(zones=(Z,), reverse_zones=("10.1.0.0/30", "fc00::/7"), endpoint_names="pod"),
        SchemaConfig(
            zones=(Z,), pods="insecure", empty_services="nxdomain", ns_addresses=(b"1234",)
        ),
    ]
)


ips4 = ips.filter(lambda ip: ":" not in ip)
spots = st.sampled_from(["@", "w", "x.w", "y.x.w"])
records = st.one_of(
    st.builds(address, spots, ips4, ttl=st.sampled_from([3, 5])),
    st.builds(alias, spots, st.sampled_from(["t", "u"])),
    st.builds(pointer, ips4, st.sampled_from(["w", "x.w"])),
    st.sampled_from(["w", "y.x.w", "org."]).map(lambda text: marker(name(text))),
)


def consistent(sets: list[RRset]) -> list[RRset]:
    """One contributor's RRsets, of which a CNAME is alone at its name, as the schema's are."""
    aliases = {one.name: one for one in sets if one.type == Type.CNAME}
    return [one for one in sets if not one.type or aliases.get(one.name, one) == one]


tangled = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.lists(records, max_size=4).map(consistent)),
    max_size=12,
)


class TestOrderIndependence:
    @settings(deadline=None, max_examples=120)
    @given(configs, st.lists(steps, max_size=14), st.randoms(use_true_random=False))
    def test_the_order_of_subjects_does_not_matter(
        self, config: SchemaConfig, edits: list[Any], random: Any
    ) -> None:
        zone, now = Zone(config, 0), dict[Key, list[RRset]]()
        mirror = Mirror(zone)
        for key, some in edits:
            sets = rrsets(subject_of(key, some[0]), config) if some else []
            now[key] = sets
            mirror.follow(zone.replace(key, sets, cause(key)))
        mirror.agrees(zone)
        self.equals_model(zone, now)
        self.equals_scratch(zone, now, random)
        self.empties(zone, now, mirror)

    @settings(deadline=None, max_examples=120)
    @given(tangled, st.randoms(use_true_random=False))
    def test_the_order_of_contributors_at_one_name_does_not_matter(
        self, edits: list[Any], random: Any
    ) -> None:
        self.follows(Zone(CONFIG, 0), edits, random)

    @settings(deadline=None, max_examples=300)
    @given(tangled, st.integers(1, 6), st.randoms(use_true_random=False))
    def test_the_order_of_names_with_one_hash_does_not_matter(
        self, edits: list[Any], hashes: int, random: Any
    ) -> None:
        self.follows(Zone(CONFIG, 0, digest=lambda name: crc32(name) % hashes), edits, random)

    def follows(self, zone: Zone, edits: list[Any], random: Any) -> None:
        now = dict[Key, list[RRset]]()
        mirror = Mirror(zone)
        for key, sets in edits:
            now[key] = sets
            mirror.follow(zone.replace(key, sets, cause(key)))
        mirror.agrees(zone)
        self.equals_model(zone, now)
        self.equals_scratch(zone, now, random)
        self.empties(zone, now, mirror)

    def equals_model(self, zone: Zone, now: dict[Key, list[RRset]]) -> None:
        served, names = model(zone.config, now)
        assert {one for one in zone.rrsets() if one.type != Type.SOA} == served
        assert set(zone.names()) == names
        assert len(zone) == len(names)

    def equals_scratch(self, zone: Zone, now: dict[Key, list[RRset]], random: Any) -> None:
        again, order = Zone(zone.config, 0, unpacked=True), list(now)
        random.shuffle(order)
        for key in order:
            again.replace(key, now[key], cause(key))
        for _ in again.compact_all():
            pass
        again.serial = zone.serial
        assert len(again) == len(zone)
        assert set(again.rrsets()) == set(zone.rrsets())
        assert set(again.apexes()) == set(zone.apexes())
        for one in zone.names():
            assert again.contributors(one) == zone.contributors(one)
            assert again.zone_of(one) == zone.zone_of(one)

    def empties(self, zone: Zone, now: dict[Key, list[RRset]], mirror: Mirror) -> None:
        for key in now:
            mirror.follow(zone.replace(key, [], cause(key)))
        mirror.agrees(zone)
        fresh = Zone(zone.config, zone.serial)
        assert set(zone.names()) == set(fresh.names())
        assert set(zone.rrsets()) == set(fresh.rrsets())


class TestCost:
    """A Change costs what it touches, counted in executed instructions and allocated bytes."""

    def filled(self, count: int) -> Zone:
        zone = Zone(CONFIG, 0)
        for i in range(count):
            ip, pod = f"10.96.{i // 250}.{i % 250}", f"10.1.{i // 250}.{i % 250}"
            made = service(f"s{i}", ip, ports=["http/TCP/80"])
            put(zone, ServiceSubject(made, (piece(pod, ports=["http/TCP/80"]),)))
        return zone

    @staticmethod
    def edits(zone: Zone) -> Callable[[], None]:
        before = headless(piece("10.1.0.1", "10.1.0.2", ports=["http/TCP/80"]), name="it")
        after = headless(piece("10.1.0.1", "10.1.0.3", ports=["http/TCP/80"]), name="it")
        sets = [rrsets(subject, CONFIG) for subject in (before, after)]
        key = before.key

        def run() -> None:
            for some in (*sets, []):
                assert zone.replace(key, some, Cause(key)) is not None

        return run

    def test_a_change_costs_the_same_in_a_small_and_a_large_zone(self) -> None:
        counted = []
        for count in (100, 10_000):
            run = self.edits(self.filled(count))
            run()  # so that no table has to grow while we count
            counted.append((steps(run), allocated(run)))
        (few, little), (many, much) = counted
        assert few == many
        assert much <= little + 512  # not a byte a name: 10,000 Services are 60,000 names
        assert few > 100


def steps(run: Callable[[], None]) -> int:
    """How many calls and lines of Python `run` executes."""
    count = 0

    def trace(_frame: FrameType, _event: str, _: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(previous)
    return count


def allocated(run: Callable[[], None]) -> int:
    """The most memory that `run` held beyond what there was, in bytes."""
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run()
        return tracemalloc.get_traced_memory()[1] - base
    finally:
        tracemalloc.stop()


def test_the_table_of_a_whole_zone() -> None:
    """Everything together, once, to be read."""
    zone = Zone(CONFIG, 3)
    put(zone, ServiceSubject(service("web", "10.96.0.7", ports=["http/TCP/80"])))
    put(zone, headless(piece("10.1.0.1"), name="db"))
    soa = "ns.dns.cluster.local. hostmaster.cluster.local. 5 7200 1800 86400 5"
    srv = "0 100 80 web.default.svc.cluster.local."
    assert table(zone.rrsets()) == {
        "cluster.local. SOA": [soa],
        "10.in-addr.arpa. SOA": [soa],
        "cluster.local. NS": ["ns.dns.cluster.local."],
        "10.in-addr.arpa. NS": ["ns.dns.cluster.local."],
        "dns-version.cluster.local. TXT": ['"1.1.0"'],
        "web.default.svc.cluster.local. A": ["10.96.0.7"],
        "web.default.svc.cluster.local. SRV": [srv],
        "_http._tcp.web.default.svc.cluster.local. SRV": [
            "0 100 80 web.default.svc.cluster.local."
        ],
        "7.0.96.10.in-addr.arpa. PTR": ["web.default.svc.cluster.local."],
        "db.default.svc.cluster.local. A": ["10.1.0.1"],
        "10-1-0-1.db.default.svc.cluster.local. A": ["10.1.0.1"],
        "1.0.1.10.in-addr.arpa. PTR": ["10-1-0-1.db.default.svc.cluster.local."],
    }
