from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Key
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.change import Cause, Change
from dnsd.zone.journal import Journal, weight
from dnsd.zone.zone import Zone
from tests.zone.made import CONFIG, name, packed

CONTRIBUTOR = Key("Service", "default", "web")


def change(serial: int, rdatas: int = 1) -> Change:
    one = RRset(
        name("web"), Type.A, 5, tuple(bytes([10, 0, i // 256, i % 256]) for i in range(rdatas))
    )
    return Change(serial, CONTRIBUTOR, (), (one,), (), (), (), (), Cause(CONTRIBUTOR))


def serials(found: list[Change] | None) -> list[int] | None:
    return None if found is None else [one.serial for one in found]


class TestSince:
    def test_the_changes_after_a_serial_are_in_order(self) -> None:
        journal = Journal(10, 10**6)
        for serial in (5, 6, 7):
            journal.append(change(serial))
        assert serials(journal.since(4)) == [5, 6, 7]
        assert serials(journal.since(6)) == [7]
        assert journal.since(7) == []

    def test_a_serial_that_is_too_old_or_unknown_has_no_changes(self) -> None:
        journal = Journal(10, 10**6)
        for serial in (5, 6, 7):
            journal.append(change(serial))
        assert journal.since(3) is None
        assert journal.since(8) is None
        assert Journal(10, 10**6).since(0) is None

    def test_changes_across_the_wrap_of_the_serial_are_in_order(self) -> None:
        journal = Journal(10, 10**6)
        for serial in (2**32 - 1, 0, 1):
            journal.append(change(serial))
        assert serials(journal.since(2**32 - 2)) == [2**32 - 1, 0, 1]
        assert serials(journal.since(0)) == [1]

    def test_a_gap_in_the_serials_drops_the_older_changes(self) -> None:
        journal = Journal(10, 10**6)
        journal.append(change(5))
        journal.append(change(9))
        assert serials(journal.since(8)) == [9]
        assert journal.since(5) is None
        assert len(journal) == 1

    def test_the_latest_changes_are_newest_first(self) -> None:
        journal = Journal(2, 10**6)
        for serial in (5, 6, 7):
            journal.append(change(serial))
        assert serials(list(journal.latest())) == [7, 6]

    def test_a_cleared_journal_has_no_changes(self) -> None:
        journal = Journal(10, 10**6)
        journal.append(change(5))
        journal.clear()
        assert journal.since(5) is None
        assert (len(journal), journal.bytes) == (0, 0)


class TestBounds:
    def test_the_oldest_changes_leave_over_the_limit_in_number(self) -> None:
        journal = Journal(3, 10**6)
        for serial in range(10):
            journal.append(change(serial))
        assert serials(journal.since(6)) == [7, 8, 9]
        assert journal.since(5) is None

    def test_the_oldest_changes_leave_over_the_limit_in_octets(self) -> None:
        journal = Journal(100, 3 * weight(change(0)))
        for serial in range(10):
            journal.append(change(serial))
        assert len(journal) == 3
        assert journal.bytes == 3 * weight(change(0))

    def test_a_change_over_the_limit_is_not_kept(self) -> None:
        journal = Journal(100, 2 * weight(change(0)))
        journal.append(change(4))
        journal.append(change(5, rdatas=1000))
        assert len(journal) == 0
        assert journal.since(5) == []
        assert journal.since(4) is None
        journal.append(change(6))
        assert serials(journal.since(5)) == [6]

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.integers(1, 60), max_size=40), st.integers(0, 6), st.integers(0, 20_000))
    def test_the_limits_hold_and_the_rest_is_consecutive(
        self, sizes: list[int], most: int, most_bytes: int
    ) -> None:
        journal = Journal(most, most_bytes)
        for serial, size in enumerate(sizes):
            journal.append(change(serial, size))
            assert len(journal) <= most
            assert journal.bytes <= most_bytes
            left = len(journal)
            assert serials(journal.since(serial - left)) == [*range(serial - left + 1, serial + 1)]
            assert journal.since(serial - left - 1) is None


def test_replaying_a_journal_leads_to_the_zone() -> None:
    zone, journal = Zone(CONFIG, 0), Journal(100, 10**6)
    served = {one for one in zone.rrsets() if one.type != Type.SOA}
    for i in (1, 2, 3, 3, 1):
        one = RRset(name("web"), Type.A, 5, packed(f"10.0.0.{i}"))
        if (what := zone.replace(CONTRIBUTOR, [one], Cause(CONTRIBUTOR))) is not None:
            journal.append(what)
    found = journal.since(0)
    assert found is not None
    for what in found:
        served = (served - set(what.removed)) | set(what.added)
    assert served == {one for one in zone.rrsets() if one.type != Type.SOA}
    assert len(found) == 4  # 3 again was no Change
