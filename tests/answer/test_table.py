"""The answer table: zones that are added and removed, and the cost of a frame."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.table import Table
from dnsd.dns.names import Name, name_from_text
from dnsd.zone.frame import Apex, Frame, Node
from tests.helpers import lines_of

# Some are below others. One ends with the octets of another one, but not with its labels.
ZONES = [
    name_from_text(text)
    for text in (
        *("test.", "a.test.", "b.a.test.", "other.", "10.in-addr.arpa.", "in-addr.arpa."),
        *(r"\004test.", r"x\004test.", r"y.x\004test."),
    )
]


def apex(name: Name, ttl: int = 5) -> Apex:
    return Apex(name, b"\x02ns" + name, b"\x04root" + name, bytes(12) + ttl.to_bytes(4, "big"), ttl)


def node(name: Name, zone: int = 0) -> Node:
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01"
    return Node(name, zone, singles=((1, record),))


def frame(serial: int, **parts: object) -> bytes:
    return msgspec.msgpack.encode(Frame(serial, **parts))  # type: ignore[arg-type]


def table_of(zones: list[Name]) -> Table:
    """A table of these zones, each with a name `web` that has an address."""
    table = Table()
    apexes = tuple(map(apex, zones))
    nodes = tuple(node(b"\x03web" + zone, i) for i, zone in enumerate(zones))
    table.apply(frame(1, reset=True, zones=apexes, ttl=5))
    table.apply(frame(1, zones=apexes, nodes=nodes))
    table.apply(frame(1, complete=True))
    return table


class TestZones:
    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["come", "go", "again", "again and go"]),
                st.sampled_from(ZONES),
                st.integers(1, 3),
            ),
            max_size=15,
        )
    )
    def test_zones_that_come_and_go_leave_nothing_behind(
        self, steps: list[tuple[str, Name, int]]
    ) -> None:
        """A table is as if only the zones that are there had ever been added.

        Negative replies are made all along, so that those of an older serial would be found.
        """
        table = table_of([])
        there: dict[Name, int] = {}
        for i, (what, zone, ttl) in enumerate(steps):
            serial = 2 + i
            if what == "come":
                there[zone] = ttl
                found = node(b"\x03web" + zone)
                table.apply(frame(serial, zones=(apex(zone, ttl),), nodes=(found,)))
            elif what == "go":
                there.pop(zone, None)
                table.apply(frame(serial, zones_gone=(zone,), gone=(b"\x03web" + zone,)))
            else:  # another generation, filled beside the one that answers
                if what == "again and go":
                    there.pop(zone, None)
                apexes = tuple(apex(name, ttl) for name, ttl in there.items())
                nodes = tuple(node(b"\x03web" + name, i) for i, name in enumerate(there))
                table.apply(frame(serial, reset=True, zones=apexes, ttl=5))
                self.check_negatives(table, serial, dict(table.zone_refs))
                table.apply(frame(serial, zones=apexes, nodes=nodes))
                table.apply(frame(serial, complete=True))
            self.check(table, serial, there)

    def check(self, table: Table, serial: int, there: dict[Name, int]) -> None:
        assert table.serial == serial
        assert {name: zone_ref.apex.ttl for name, zone_ref in table.zone_refs.items()} == there
        assert table.depths == sorted({labels(name) for name in there}, reverse=True)
        apart = not any(a != b and a.endswith(b) for a in there for b in there)
        assert dict(table.apart) == (table.zone_refs if apart else {})
        self.check_negatives(table, serial, dict(table.zone_refs))
        for name in there:
            assert table.zone_above(b"\x03web" + name) is table.zone_refs[name]

    @staticmethod
    def check_negatives(table: Table, serial: int, zone_refs: dict[Name, object]) -> None:
        for name in zone_refs:
            zone_ref = table.zone_refs[name]
            for sibling in zone_ref.siblings.values():
                denial = sibling.negative(4 + len(name))
                assert denial[-20:-16] == serial.to_bytes(4, "big")
                assert denial[6:10] == zone_ref.apex.ttl.to_bytes(4, "big")

    def test_zoned_grows_when_a_zone_is_added_or_removed(self) -> None:
        table = table_of(ZONES[:2])
        before = table.zoned
        table.apply(frame(2, zones=(apex(ZONES[0]),), nodes=(node(b"\x03new" + ZONES[0]),)))
        table.apply(frame(3, zones_gone=(ZONES[5],)))
        assert table.zoned == before
        table.apply(frame(4, zones_gone=(ZONES[1],)))
        assert table.zoned == before + 1

    def test_with_many_zones_the_zone_of_a_name_is_found_by_its_labels(self) -> None:
        """Comparing with each apex would take longer than looking up each label."""
        zones = [name_from_text(f"z{i}.test.") for i in range(200)]
        table = table_of(zones)
        assert table.apart == ()
        for zone in zones:
            assert table.zone_above(b"\x03web" + zone) is table.zone_refs[zone]


def labels(name: Name) -> int:
    count = position = 0
    while name[position]:
        count, position = count + 1, position + 1 + name[position]
    return count


class TestCost:
    """The cost of a frame depends on what it touches, not on the number of zones."""

    @pytest.mark.parametrize("what", ["a name", "a name that goes", "a zone", "a zone that goes"])
    def test_a_frame_costs_the_same_with_more_zones(self, what: str) -> None:
        costs = []
        for count in (40, 1_000):
            zones = [name_from_text(f"z{i}.test.") for i in range(count)]
            table = table_of(zones)
            first = zones[0]
            table.zone_refs[first].negative(20)
            new = name_from_text("new.test.")
            step = {
                "a name": frame(2, zones=(apex(first),), nodes=(node(b"\x03new" + first),)),
                "a name that goes": frame(2, gone=(b"\x03web" + first,)),
                "a zone": frame(2, zones=(apex(new),), nodes=(node(b"\x03web" + new),)),
                "a zone that goes": frame(2, zones_gone=(first,), gone=(b"\x03web" + first,)),
            }[what]
            costs.append(lines_of(partial(table.apply, step)))
        assert costs[0] == costs[1]

    def test_negative_replies_are_dropped_once(self) -> None:
        """The first frame drops the negative replies of every zone, the next frame none."""
        zones = [name_from_text(f"z{i}.test.") for i in range(1_000)]
        table = table_of(zones)
        for zone_ref in table.zone_refs.values():
            zone_ref.negative(20)
        gone = (b"\x03web" + zones[0],)
        first, second = (
            lines_of(partial(table.apply, frame(serial, gone=gone))) for serial in (2, 3)
        )
        assert first > 1_000 > 10 * second
