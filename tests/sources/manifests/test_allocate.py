"""Allocated addresses depend on the requests and the claims, not on their order."""

from __future__ import annotations

import tracemalloc
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.sources.manifests.allocate import Allocator, Request, address_allocator, port_allocator

SMALL = "10.0.0.0/29"  # six addresses to give


def an_allocator(*networks: str) -> Allocator:
    return address_allocator(ip_network(one) for one in networks)


def text(packed: bytes | None) -> str:
    return str(ip_address(packed)) if packed else ""


class TestAllocator:
    def test_a_request_gets_the_same_address_at_each_start_and_release(self) -> None:
        allocator = an_allocator("10.96.0.0/12")
        allocator.request(("default", "loadbalancer-service"))
        # Pinned: an address that a user has seen stays the same in the next release.
        assert text(allocator.allocated(("default", "loadbalancer-service"))) == "10.105.157.13"

    def test_the_network_and_broadcast_addresses_are_not_allocated(self) -> None:
        allocator = an_allocator(SMALL)
        requests = [("d", str(i)) for i in range(8)]
        for request in requests:
            allocator.request(request)
        given = [text(allocator.allocated(request)) for request in requests]
        assert sorted(filter(None, given)) == [f"10.0.0.{i}" for i in range(1, 7)]
        assert given.count("") == 2

    def test_the_anycast_address_of_ipv6_is_not_allocated(self) -> None:
        allocator = an_allocator("fd00::/126")
        for i in range(4):
            allocator.request(("d", str(i)))
        given = sorted(text(allocator.allocated(("d", str(i)))) for i in range(4))
        assert given == ["", "fd00::1", "fd00::2", "fd00::3"]

    def test_the_size_of_a_network_costs_nothing(self) -> None:
        allocator = an_allocator("fd00::/48")
        allocator.request(("d", "a"))
        assert ip_address(text(allocator.allocated(("d", "a")))) in ip_network("fd00::/48")

    def test_networks_of_one_and_two_addresses_are_used_whole(self) -> None:
        allocator = an_allocator("10.0.0.4/32", "10.0.0.8/31")
        for name in "abc":
            allocator.request(("d", name))
        given = {text(allocator.allocated(("d", name))) for name in "abc"}
        assert given == {"10.0.0.4", "10.0.0.8", "10.0.0.9"}

    def test_the_second_network_is_used_when_the_first_is_full(self) -> None:
        allocator = an_allocator("10.0.0.0/30", "10.1.0.0/30")
        for name in "abcd":
            allocator.request(("d", name))
        assert [text(allocator.allocated(("d", name)))[:5] for name in "abcd"] == [
            "10.0.",
            "10.0.",
            "10.1.",
            "10.1.",
        ]

    def test_a_claim_displaces_a_request_until_its_last_release(self) -> None:
        allocator = an_allocator(SMALL)
        request = ("d", "a")
        allocator.request(request)
        first = allocator.allocated(request)
        assert first
        allocator.moved()
        allocator.claim(first)
        assert allocator.allocated(request) not in (None, first)
        assert allocator.moved() == {request}
        allocator.claim(first)
        allocator.release(first)
        assert allocator.moved() == set()  # claimed twice, released once
        allocator.release(first)
        assert allocator.allocated(request) == first
        assert allocator.moved() == {request}

    def test_without_networks_no_request_gets_an_address(self) -> None:
        allocator = an_allocator()
        allocator.request(("d", "a"))
        assert allocator.allocated(("d", "a")) is None
        allocator.withdraw(("d", "a"))

    def test_withdrawing_and_releasing_the_unknown_has_no_effect(self) -> None:
        allocator = an_allocator(SMALL)
        allocator.withdraw(("d", "a"))
        allocator.release(b"\x0a\0\0\1")
        assert allocator.allocated(("d", "a")) is None
        assert allocator.moved() == set()


class TestCost:
    """With more requests than addresses, memory and work do not grow with their product."""

    REQUESTS = tuple(("d", f"s{i}") for i in range(4500))

    def test_the_memory_of_a_request_is_bounded(self) -> None:
        tracemalloc.start()
        try:
            allocator = port_allocator()
            for request in self.REQUESTS:
                allocator.request(request)
            found = [allocator.allocated(request) for request in self.REQUESTS]
            assert sum(address is not None for address in found) == 2768
            assert tracemalloc.get_traced_memory()[1] < 4500 * 1000
        finally:
            tracemalloc.stop()

    def test_the_cost_of_many_changes_at_once_is_linear(self) -> None:
        allocator = port_allocator()
        for request in self.REQUESTS:
            allocator.request(request)
        allocator.moved()
        assert allocator.steps < 20 * 4500
        for request in self.REQUESTS:
            allocator.withdraw(request)
        assert allocator.moved() == set(self.REQUESTS)
        assert allocator.steps < 40 * 4500

    def test_the_cost_of_one_change_is_at_most_that_of_a_new_start(self) -> None:
        allocator = port_allocator()
        for request in self.REQUESTS:
            allocator.request(request)
        allocator.moved()
        for change in (allocator.withdraw, allocator.request):
            for request in self.REQUESTS[::100]:
                before = allocator.steps
                change(request)
                allocator.moved()
                assert allocator.steps - before < 20 * 4500

    def test_the_cost_beside_a_long_run_of_claims_is_linear(self) -> None:
        allocator = an_allocator("10.96.0.0/16")
        for number in range(20_000):
            allocator.claim(bytes((10, 96, *divmod(1000 + number, 256))))
        for request in self.REQUESTS[:500]:
            allocator.request(request)
        allocator.moved()
        assert allocator.steps < 10 * 20_500

    def test_with_room_a_change_examines_few_addresses(self) -> None:
        allocator = an_allocator("10.96.0.0/12")
        for request in self.REQUESTS:
            allocator.request(request)
        allocator.moved()
        assert allocator.steps < 2 * 4500
        before = allocator.steps
        for request in self.REQUESTS[::100]:
            allocator.withdraw(request)
            allocator.request(request)
        assert allocator.steps - before < 45 * 10


def _from_scratch(requests: set[Request], claims: list[bytes]) -> dict[Request, bytes | None]:
    allocator = an_allocator(SMALL, "10.0.1.0/30")
    for address in claims:
        allocator.claim(address)
    for request in sorted(requests):
        allocator.request(request)
    return {request: allocator.allocated(request) for request in requests}


def _by_definition(requests: set[Request], claims: list[bytes]) -> dict[Request, bytes | None]:
    """In the order of names, each gets the first of its sequence that is not taken."""
    given: dict[Request, bytes | None] = {}
    for request in sorted(requests):
        digest = blake2b("/".join(request).encode(), digest_size=16).digest()
        begin = int.from_bytes(digest, "big")
        sequence = [
            bytes((10, 0, third, 1 + (begin + i) % size))
            for third, size in ((0, 6), (1, 2))
            for i in range(size)
        ]
        taken = {*claims, *given.values()}
        given[request] = next((one for one in sequence if one not in taken), None)
    return given


_requests = st.tuples(st.just("d"), st.sampled_from([f"s{i}" for i in range(12)]))
_addresses = st.integers(1, 6).map(lambda i: bytes((10, 0, 0, i)))
_moves = st.one_of(
    st.tuples(st.just("request"), _requests),
    st.tuples(st.just("request"), _requests),
    st.tuples(st.just("withdraw"), _requests),
    st.tuples(st.just("claim"), _addresses),
    st.tuples(st.just("release"), _addresses),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_moves, max_size=40), st.sampled_from([-1000, -20, 0, 10, 1000]))
def test_any_order_of_changes_leads_to_what_a_new_start_allocates(
    moves: list[tuple[str, Any]], patience: int
) -> None:
    # A smaller patience allocates anew more often, with the same result.
    allocator = Allocator([(0x0A000001, 6), (0x0A000101, 2)], 4, patience)
    requests: set[Request] = set()
    claims: list[bytes] = []
    for change, operand in moves:
        before = {request: allocator.allocated(request) for request in requests}
        getattr(allocator, change)(operand)
        if change == "request":
            requests.add(operand)
        elif change == "withdraw":
            requests.discard(operand)
        elif change == "claim":
            claims.append(operand)
        elif operand in claims:
            claims.remove(operand)
        changed = {one for one in requests if before.get(one, b"") != allocator.allocated(one)}
        assert changed <= allocator.moved()
    given = {request: allocator.allocated(request) for request in requests}
    assert given == _by_definition(requests, claims)
    assert given == _from_scratch(requests, claims)
    held = [address for address in given.values() if address]
    assert len(set(held)) == len(held)
    assert not set(held) & set(claims)
