"""Allocated addresses depend on who asks and what is claimed, not on the order."""

from __future__ import annotations

import tracemalloc
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.sources.manifests.allocate import Allocator, Asker, address_allocator, port_allocator

SMALL = "10.0.0.0/29"  # six addresses to give


def an_allocator(*networks: str) -> Allocator:
    return address_allocator(ip_network(one) for one in networks)


def text(packed: bytes | None) -> str:
    return str(ip_address(packed)) if packed else ""


class TestAllocator:
    def test_the_same_on_every_start(self) -> None:
        allocator = an_allocator("10.96.0.0/12")
        allocator.ask(("default", "loadbalancer-service"))
        # Pinned: an address that a user has seen stays the same in the next release.
        assert text(allocator.given(("default", "loadbalancer-service"))) == "10.105.157.13"

    def test_neither_network_nor_broadcast(self) -> None:
        allocator = an_allocator(SMALL)
        askers = [("d", str(i)) for i in range(8)]
        for asker in askers:
            allocator.ask(asker)
        given = [text(allocator.given(asker)) for asker in askers]
        assert sorted(filter(None, given)) == [f"10.0.0.{i}" for i in range(1, 7)]
        assert given.count("") == 2

    def test_ipv6_without_the_anycast_address(self) -> None:
        allocator = an_allocator("fd00::/126")
        for i in range(4):
            allocator.ask(("d", str(i)))
        given = sorted(text(allocator.given(("d", str(i)))) for i in range(4))
        assert given == ["", "fd00::1", "fd00::2", "fd00::3"]

    def test_a_huge_network_costs_nothing(self) -> None:
        allocator = an_allocator("fd00::/48")
        allocator.ask(("d", "a"))
        assert ip_address(text(allocator.given(("d", "a")))) in ip_network("fd00::/48")

    def test_tiny_networks(self) -> None:
        allocator = an_allocator("10.0.0.4/32", "10.0.0.8/31")
        for name in "abc":
            allocator.ask(("d", name))
        given = {text(allocator.given(("d", name))) for name in "abc"}
        assert given == {"10.0.0.4", "10.0.0.8", "10.0.0.9"}

    def test_the_second_network_when_the_first_is_full(self) -> None:
        allocator = an_allocator("10.0.0.0/30", "10.1.0.0/30")
        for name in "abcd":
            allocator.ask(("d", name))
        assert [text(allocator.given(("d", name)))[:5] for name in "abcd"] == [
            "10.0.",
            "10.0.",
            "10.1.",
            "10.1.",
        ]

    def test_a_claim_displaces_and_its_end_brings_back(self) -> None:
        allocator = an_allocator(SMALL)
        asker = ("d", "a")
        allocator.ask(asker)
        first = allocator.given(asker)
        assert first
        allocator.moved()
        allocator.claim(first)
        assert allocator.given(asker) not in (None, first)
        assert allocator.moved() == {asker}
        allocator.claim(first)
        allocator.release(first)
        assert allocator.moved() == set()  # claimed twice, released once
        allocator.release(first)
        assert allocator.given(asker) == first
        assert allocator.moved() == {asker}

    def test_without_networks_nobody_gets_any(self) -> None:
        allocator = an_allocator()
        allocator.ask(("d", "a"))
        assert allocator.given(("d", "a")) is None
        allocator.leave(("d", "a"))

    def test_what_is_not_there_does_no_harm(self) -> None:
        allocator = an_allocator(SMALL)
        allocator.leave(("d", "a"))
        allocator.release(b"\x0a\0\0\1")
        assert allocator.given(("d", "a")) is None
        assert allocator.moved() == set()


class TestCost:
    """Where there are more askers than addresses: memory and work grow with neither's product."""

    ASKERS = tuple(("d", f"s{i}") for i in range(4500))

    def test_memory(self) -> None:
        tracemalloc.start()
        try:
            allocator = port_allocator()
            for asker in self.ASKERS:
                allocator.ask(asker)
            assert sum(allocator.given(asker) is not None for asker in self.ASKERS) == 2768
            assert tracemalloc.get_traced_memory()[1] < 4500 * 1000
        finally:
            tracemalloc.stop()

    def test_all_at_once(self) -> None:
        allocator = port_allocator()
        for asker in self.ASKERS:
            allocator.ask(asker)
        allocator.moved()
        assert allocator.steps < 20 * 4500
        for asker in self.ASKERS:
            allocator.leave(asker)
        assert allocator.moved() == set(self.ASKERS)
        assert allocator.steps < 40 * 4500

    def test_one_after_the_other(self) -> None:
        allocator = port_allocator()
        for asker in self.ASKERS:
            allocator.ask(asker)
        allocator.moved()
        for change in (allocator.leave, allocator.ask):
            for asker in self.ASKERS[::100]:
                before = allocator.steps
                change(asker)
                allocator.moved()
                assert allocator.steps - before < 20 * 4500

    def test_beside_a_long_run_of_claims(self) -> None:
        allocator = an_allocator("10.96.0.0/16")
        for number in range(20_000):
            allocator.claim(bytes((10, 96, *divmod(1000 + number, 256))))
        for asker in self.ASKERS[:500]:
            allocator.ask(asker)
        allocator.moved()
        assert allocator.steps < 10 * 20_500

    def test_with_room_a_change_costs_next_to_nothing(self) -> None:
        allocator = an_allocator("10.96.0.0/12")
        for asker in self.ASKERS:
            allocator.ask(asker)
        allocator.moved()
        assert allocator.steps < 2 * 4500
        before = allocator.steps
        for asker in self.ASKERS[::100]:
            allocator.leave(asker)
            allocator.ask(asker)
        assert allocator.steps - before < 45 * 10


def _from_scratch(askers: set[Asker], claims: list[bytes]) -> dict[Asker, bytes | None]:
    allocator = an_allocator(SMALL, "10.0.1.0/30")
    for address in claims:
        allocator.claim(address)
    for asker in sorted(askers):
        allocator.ask(asker)
    return {asker: allocator.given(asker) for asker in askers}


def _by_definition(askers: set[Asker], claims: list[bytes]) -> dict[Asker, bytes | None]:
    """By name, to each the first of its sequence that nobody claims or has."""
    given: dict[Asker, bytes | None] = {}
    for asker in sorted(askers):
        digest = blake2b("/".join(asker).encode(), digest_size=16).digest()
        begin = int.from_bytes(digest, "big")
        sequence = [
            bytes((10, 0, third, 1 + (begin + i) % size))
            for third, size in ((0, 6), (1, 2))
            for i in range(size)
        ]
        taken = {*claims, *given.values()}
        given[asker] = next((one for one in sequence if one not in taken), None)
    return given


_askers = st.tuples(st.just("d"), st.sampled_from([f"s{i}" for i in range(12)]))
_addresses = st.integers(1, 6).map(lambda i: bytes((10, 0, 0, i)))
_moves = st.one_of(
    st.tuples(st.just("ask"), _askers),
    st.tuples(st.just("ask"), _askers),
    st.tuples(st.just("leave"), _askers),
    st.tuples(st.just("claim"), _addresses),
    st.tuples(st.just("release"), _addresses),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_moves, max_size=40), st.sampled_from([-1000, -20, 0, 10, 1000]))
def test_any_order_gives_what_a_new_start_gives(
    moves: list[tuple[str, Any]], patience: int
) -> None:
    # The less patient, the more is begun anew; what comes of it is the same.
    allocator = Allocator([(0x0A000001, 6), (0x0A000101, 2)], 4, patience)
    askers: set[Asker] = set()
    claims: list[bytes] = []
    for what, whom in moves:
        before: dict[Asker, bytes | None] = {asker: allocator.given(asker) for asker in askers}
        getattr(allocator, what)(whom)
        if what == "ask":
            askers.add(whom)
        elif what == "leave":
            askers.discard(whom)
        elif what == "claim":
            claims.append(whom)
        elif whom in claims:
            claims.remove(whom)
        changed = {one for one in askers if before.get(one, b"") != allocator.given(one)}
        assert changed <= allocator.moved()
    given = {asker: allocator.given(asker) for asker in askers}
    assert given == _by_definition(askers, claims)
    assert given == _from_scratch(askers, claims)
    held = [address for address in given.values() if address]
    assert len(set(held)) == len(held)
    assert not set(held) & set(claims)
