"""Merging: the RRsets of a name with several contributors."""

from __future__ import annotations

from dnsd.cluster.objects import Key
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.building import marker
from dnsd.zone.merge import APEX_KEY, HOSTS, OVERRIDES, YIELDS, merged, precedence, won
from tests.zone.made import (
    Z,
)
from tests.zone.test_zone import address, alias

SERVICE, OTHER = Key("Service", "default", "a"), Key("Service", "default", "b")


class TestMerged:
    def test_rdatas_are_united_with_the_smallest_ttl(self) -> None:
        one, two = address("web", "10.0.0.1", ttl=9), address("web", "10.0.0.2", ttl=3)
        assert merged({OTHER: (two,), SERVICE: (one,)}) == (
            address("web", "10.0.0.1", "10.0.0.2", ttl=3),
        )

    def test_a_cname_of_the_first_contributor_is_alone_and_others_are_left_out(self) -> None:
        cname, record = alias("web", "x"), address("web", "10.0.0.1")
        assert merged({SERVICE: (cname,), OTHER: (record,)}) == (cname,)
        assert merged({SERVICE: (record,), OTHER: (cname,)}) == (record,)

    def test_the_apex_has_precedence(self) -> None:
        assert sorted([SERVICE, APEX_KEY], key=precedence) == [APEX_KEY, SERVICE]


AGES = {SERVICE: "2026-02-01T00:00:00Z", OTHER: "2026-01-01T00:00:00Z"}


class TestWon:
    YOUNG, OLD = address("web", "10.0.0.1"), address("web", "10.0.0.2")

    def test_the_oldest_contributor_has_the_name_and_the_others_are_in_dispute(self) -> None:
        served, dispute = won({SERVICE: (self.YOUNG,), OTHER: (self.OLD,)}, AGES)
        assert (served, dispute) == ((self.OLD,), (OTHER, SERVICE))

    def test_a_contributor_without_an_age_comes_last(self) -> None:
        served, _ = won({SERVICE: (self.YOUNG,), OTHER: (self.OLD,)}, {SERVICE: "2026"})
        assert served == (self.YOUNG,)

    def test_equal_records_are_not_a_dispute(self) -> None:
        assert won({SERVICE: (self.OLD,), OTHER: (self.OLD,)}, AGES) == ((self.OLD,), ())

    def test_the_records_of_the_zone_stay_and_the_oldest_adds_other_types(self) -> None:
        own, added = address("@", "10.0.0.9"), marker(Z)
        six = RRset(Z, Type.AAAA, 5, (bytes(16),))
        served, _ = won({APEX_KEY: (own,), SERVICE: (address("@", "10.0.0.1"), six)}, AGES)
        assert served == (own, six)
        assert added not in served


class TestHosts:
    RECORD = (address("web", "10.0.0.1"),)
    PINNED = (address("web", "192.0.2.1"),)

    def test_a_name_of_hosts_yields_to_other_contributors(self) -> None:
        pin = Key(HOSTS, YIELDS, "web")
        assert merged({pin: self.PINNED, SERVICE: self.RECORD}) == self.RECORD
        assert merged({pin: self.PINNED}) == self.PINNED

    def test_a_name_of_hosts_override_replaces_the_others(self) -> None:
        pin = Key(HOSTS, OVERRIDES, "web")
        assert merged({pin: self.PINNED, SERVICE: self.RECORD}) == self.PINNED
        assert won({pin: self.PINNED, SERVICE: self.RECORD}, {})[0] == self.PINNED
