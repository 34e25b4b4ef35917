"""The cache: which entries it holds, for how long, and which it evicts. Virtual time."""

from __future__ import annotations

import tracemalloc

import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.dns.message import Rcode
from dnsd.dns.names import name_from_text
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.cache import Cache, Entry, key_of
from dnsd.upstream.chain import Answer

A_IN = b"\x00\x01\x00\x01"


def key(number: int) -> bytes:
    return key_of(name_from_text(f"n{number}.example."), A_IN, False, False)


def entry(
    number: int, ttl: int = 60, now: float = 0.0, records: int = 1, prefetch: bool = False
) -> Entry:
    name = name_from_text(f"n{number}.example.")
    answer = tuple(
        Record(name, Type.A, ttl, bytes((192, 0, n >> 8 & 255, n & 255))) for n in range(records)
    )
    return Entry(key(number), Answer(Rcode.NOERROR, answer), ttl, now, prefetch)


def touch(cache: Cache, number: int) -> bool:
    """Looks up an entry as the resolver does, and adds a missing one; whether it was there."""
    found = cache.get(key(number), 0.0)
    if found is None:
        cache.put(entry(number))
        return False
    found.hits += 1
    return True


class TestTime:
    def test_an_entry_past_its_end_is_kept_for_the_stale_time(self) -> None:
        cache = Cache(10, 1 << 20, stale_for=100)
        cache.put(entry(1))
        assert cache.get(key(1), 159.9) is not None
        assert cache.get(key(1), 160.1) is None
        assert (len(cache), cache.bytes) == (0, 0)

    def test_a_failure_is_never_stale(self) -> None:
        cache = Cache(10, 1 << 20, stale_for=100)
        cache.put(Entry(key(1), Answer(Rcode.SERVFAIL), 5, 0.0, prefetch=False))
        assert cache.get(key(1), 4.9) is not None
        assert cache.get(key(1), 5.1) is None

    @given(st.lists(st.integers(0, 59), max_size=8))
    @settings(deadline=None, max_examples=50)
    def test_ttls_count_down_the_same_whatever_was_patched_before(self, ages: list[int]) -> None:
        kept = entry(1, ttl=60)
        for age in ages:
            answer = kept.answer(kept.body_at(float(age)))
            assert [record.ttl for record in answer.answer] == [60 - age]

    def test_a_body_is_the_sections_after_a_question(self) -> None:
        kept = entry(7, records=3)
        wire = b"\x12\x34" + kept.head + kept.key[:-1] + kept.body
        reply = dns.message.from_wire(wire)
        assert reply.answer[0].to_text().splitlines()[0] == "n7.example. 60 IN A 192.0.0.0"
        assert len(reply.answer[0]) == 3

    def test_prefetch_time_is_the_last_tenth_of_long_ttls(self) -> None:
        assert entry(1, ttl=100, prefetch=True).fast_until == 90
        assert entry(1, ttl=4, prefetch=True).fast_until == 4
        assert entry(1, ttl=100, prefetch=False).fast_until == 100


class TestBounds:
    @given(st.lists(st.integers(0, 60), max_size=300))
    @settings(deadline=None, max_examples=40)
    def test_entries_and_octets_stay_within_their_bounds(self, numbers: list[int]) -> None:
        limit = 12 * entry(1).cost
        cache = Cache(15, limit)
        for number in numbers:
            if number % 7 == 3:
                cache.forget(key(number + 1))
            cache.put(entry(number, records=1 + number % 3))
            assert len(cache) <= 15
            assert cache.bytes <= limit
            assert cache.bytes == sum(one.cost for one in cache.entries.values())

    def test_an_entry_over_a_quarter_of_the_space_is_not_cached(self) -> None:
        cache = Cache(100, 20_000)
        cache.put(entry(1))
        cache.put(entry(1, records=1_000))  # drops the older entry too, which is out of date
        assert len(cache) == 0

    def test_a_cache_without_space_stores_nothing(self) -> None:
        cache = Cache(0, 0)
        cache.put(entry(1))
        assert cache.get(key(1), 0.0) is None

    def test_dropped_entries_do_not_fill_the_memory(self) -> None:
        cache = Cache(50, 1 << 20)
        tracemalloc.start()
        try:
            for _ in range(20_000):
                cache.put(entry(1))
                cache.forget(key(1))
            taken = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert len(cache) == 0
        assert taken < 200_000  # 20,000 keys would take a million octets

    def test_the_octets_counted_are_those_taken(self) -> None:
        tracemalloc.start()
        cache = Cache(100_000, 1 << 30)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2_000):
            one = entry(number, records=2)
            one.body_at(1.0)
            cache.put(one)
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert 0.6 < taken / cache.bytes < 1.15


class TestEviction:
    def test_a_flood_of_names_queried_once_displaces_no_popular_entry(self) -> None:
        cache = Cache(200, 1 << 30)
        for _ in range(3):
            for number in range(100):
                touch(cache, number)
        for number in range(1_000, 6_000):  # random names, each once
            touch(cache, number)
            if number % 40 == 0:
                touch(cache, number % 100)
        popular = sum(cache.get(key(number), 0.0) is not None for number in range(100))
        assert popular >= 95

    def test_an_entry_that_returns_while_remembered_enters_the_main_queue(self) -> None:
        cache = Cache(20, 1 << 30)
        for number in range(60):
            touch(cache, number)
        gone = max(n for n in range(60) if cache.get(key(n), 0.0) is None)
        touch(cache, gone)
        assert cache.entries[key(gone)].in_main

    def test_an_entry_without_hits_leaves_the_main_queue(self) -> None:
        cache = Cache(50, 1 << 30)
        for _ in range(4):
            for number in range(50):
                touch(cache, number)
        for _ in range(4):
            for number in range(100, 200):
                touch(cache, number)
                touch(cache, number)
        assert sum(cache.get(key(number), 0.0) is not None for number in range(50)) < 10


class TestFlush:
    def test_a_flush_drops_one_name_or_all_entries(self) -> None:
        cache = Cache(50, 1 << 30)
        for number in range(5):
            cache.put(entry(number))
        assert cache.flush(name_from_text("n3.example.")) == 1
        assert cache.get(key(3), 0.0) is None
        assert cache.flush() == 4
        assert (len(cache), cache.bytes) == (0, 0)


class TestFlushZones:
    def test_names_in_the_zones_and_aliases_into_them_are_forgotten(self) -> None:
        def named(text: str, *answer: Record) -> Entry:
            wire = key_of(name_from_text(text), A_IN, False, False)
            return Entry(wire, Answer(Rcode.NOERROR, answer), 60, 0.0, False)

        def alias(owner: str, target: str) -> Record:
            return Record(name_from_text(owner), Type.CNAME, 60, name_from_text(target))

        cache = Cache(10, 1 << 20)
        cache.put(named("in.zone.example."))
        cache.put(named("zone.example."))
        cache.put(named("otherzone.example."))
        cache.put(named("a.example.", alias("a.example.", "b.example.")))
        chain = alias("c.example.", "d.example."), alias("d.example.", "x.Zone.example.")
        cache.put(named("c.example.", *chain))
        apexes = {name_from_text("zone.example.")}
        assert cache.flush_zones(apexes) == 3
        left = {entry.key[:-5] for entry in cache.entries.values()}
        assert left == {name_from_text("otherzone.example."), name_from_text("a.example.")}
        assert cache.flush_zones(apexes) == 0
