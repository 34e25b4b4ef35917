"""Zones: the names, records, and zones of one generation of a table."""

from __future__ import annotations

import pytest

from dnsd.answer.zones import Generation, Zones
from dnsd.dns.names import Name, name_from_text
from dnsd.zone.frame import ALIAS, APEX, PLAIN, PODS, Apex

ZONE, OTHER = name_from_text("test."), name_from_text("a.test.")
WEB = name_from_text("web.test.")


def apex(name: Name, ttl: int = 30, minimum: int = 5) -> Apex:
    return Apex(name, b"\2ns" + name, b"\4root" + name, bytes(12) + minimum.to_bytes(4, "big"), ttl)


def test_a_zone_is_one_reference_for_each_kind_of_name() -> None:
    zones, generation = Zones(5), Generation()
    zone_ref = zones.zone_ref(apex(ZONE), generation)
    assert zone_ref is zones.zone_ref(apex(ZONE), generation)
    assert {one.kind for one in zone_ref.siblings.values()} == {PLAIN, APEX, ALIAS, PODS}
    assert zone_ref.siblings[PLAIN] is zone_ref


def test_changes_count_zones_that_are_added_or_removed() -> None:
    zones, generation = Zones(5), Generation()
    zones.zone_ref(apex(ZONE), generation)
    zones.zone_ref(apex(OTHER), generation)
    zones.zone_ref(apex(OTHER, ttl=60), generation)
    assert (zones.changes, zones.depths) == (2, {1: 1, 2: 1})
    zones.remove_zone(OTHER)
    zones.remove_zone(OTHER)
    assert (zones.changes, zones.depths) == (3, {1: 1})


def test_a_negative_reply_has_the_serial_and_the_smaller_ttl() -> None:
    """RFC 2308 3 and 5: the TTL is that of the SOA record, and at most its minimum."""
    zones, generation = Zones(5), Generation()
    generation.begin(7)
    zone_ref = zones.zone_ref(apex(ZONE, ttl=30, minimum=5), generation)
    negative = zone_ref.negative(len(WEB))
    assert negative[:2] == (0xC000 | 12 + len(WEB) - len(ZONE)).to_bytes(2, "big")
    assert negative[6:10] == (5).to_bytes(4, "big")
    assert negative[-20:-16] == (7).to_bytes(4, "big")
    assert zone_ref.negative(len(WEB)) is negative
    generation.begin(8)
    assert zone_ref.negative(len(WEB))[-20:-16] == (8).to_bytes(4, "big")


def test_another_apex_changes_the_negative_replies_of_all_kinds() -> None:
    zones, generation = Zones(5), Generation()
    zone_ref = zones.zone_ref(apex(ZONE, minimum=5), generation)
    before = [one.negative(9) for one in zone_ref.siblings.values()]
    zones.zone_ref(apex(ZONE, minimum=6), generation)
    after = [one.negative(9) for one in zone_ref.siblings.values()]
    assert all(one != other for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("type_", [1, 12, 28, 33, 16])
def test_removing_a_name_removes_its_records_of_every_type(type_: int) -> None:
    zones = Zones(5)
    zones.sets(type_)[0][WEB] = b"\x0a\0\0\1"
    zones.sets(99)[2][WEB] = b"record"
    zones.names[WEB] = zones.zone_ref(apex(ZONE), Generation())
    assert zones.exists(WEB)
    zones.remove(WEB)
    assert not zones.exists(WEB)
    assert not any(WEB in one for sets in zones.types.values() for one in sets)


def test_a_record_of_a_leaf_type_makes_a_name_exist() -> None:
    zones = Zones(5)
    for type_, kind in ((1, 0), (33, 3), (12, 0), (28, 0)):
        sets = zones.sets(type_)[kind]
        assert isinstance(sets, dict)
        sets[WEB] = b""  # type: ignore[assignment]
        assert zones.exists(WEB)
        del sets[WEB]
    assert not zones.exists(WEB)


@pytest.mark.parametrize(("text", "count"), [(".", 0), ("test.", 1), (r"x\.y.test.", 2)])
def test_depths_count_the_labels_of_an_apex_without_the_root(text: str, count: int) -> None:
    zones, name = Zones(), name_from_text(text)
    zones.zone_ref(apex(name), Generation())
    assert zones.depths == {count: 1}
    zones.remove_zone(name)
    assert zones.depths == {}
