"""Cluster IPs and node ports for Services that state none, where no API server chooses them.

The outcome is a function of *who asks* and *what is claimed*, never of the order in which it
was learnt: every asker walks its own sequence of addresses (it begins at a hash of its name
and wraps around), an address goes to the first of its askers by name, and one that a Service
claims explicitly goes to nobody. That is the stable matching in which all addresses rank the
askers alike: there is exactly one, so it can be kept up incrementally and is still what a new
start would compute. An asker is moved only when a claim or an asker of a smaller name takes
its address, or such a one lets go of an address that comes earlier in its sequence; in a /12
with 10,000 askers that concerns one in a hundred.

A node port is an address of two bytes, in a range instead of a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network
Asker = tuple[str, ...]  # namespace, name, and for node ports which port
Span = tuple[int, int]  # the first number that may be given, and how many there are

NODE_PORTS = (30_000, 2_768)  # --service-node-port-range of an API server


class Allocator:
    """Gives numbers of `spans` (tried in this order), as `width` bytes, to askers."""

    def __init__(self, spans: Iterable[Span], width: int) -> None:
        self._spans = list(spans)
        self._width = width
        self._claimed: dict[bytes, int] = {}  # explicit claims, counted
        self._holder: dict[bytes, Asker] = {}
        self._given: dict[Asker, tuple[int, bytes] | None] = {}  # place in its sequence; None: none
        self._passed: dict[bytes, set[Asker]] = {}  # address -> those who had to go on past it
        self._moved: set[Asker] = set()

    def ask(self, asker: Asker) -> None:
        """From now on this one needs an address. Asking twice is asking once."""
        if asker not in self._given:
            self._given[asker] = None
            self._seat(asker, 0)

    def leave(self, asker: Asker) -> None:
        """This one needs no address any more."""
        if asker not in self._given:
            return
        place = self._given.pop(asker)
        self._moved.add(asker)
        self._forget_passes(asker, 0, place[0] if place else None)
        if place:
            del self._holder[place[1]]
            self._vacate(place[1])

    def claim(self, address: bytes) -> None:
        """An explicit claim: whoever was given this address moves on. Claims are counted."""
        self._claimed[address] = self._claimed.get(address, 0) + 1
        loser = self._holder.pop(address, None)
        if loser is not None:
            place = self._given[loser]
            self._pass(loser, address)
            self._seat(loser, place[0] + 1 if place else 0)

    def release(self, address: bytes) -> None:
        """One explicit claim less."""
        left = self._claimed.get(address, 0) - 1
        if left > 0:
            self._claimed[address] = left
        elif self._claimed.pop(address, None) is not None:
            self._vacate(address)

    def given(self, asker: Asker) -> bytes | None:
        """The packed address of this asker; None when all are taken, or it did not ask."""
        place = self._given.get(asker)
        return place[1] if place else None

    def moved(self) -> set[Asker]:
        """The askers whose address may have changed since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    def _seat(self, asker: Asker, index: int) -> None:
        """Find a place for `asker` from `index` of its sequence on, and for those it displaces."""
        current: Asker | None = asker
        while current is not None:
            self._moved.add(current)
            current, index = self._settle(current, index)

    def _settle(self, asker: Asker, index: int) -> tuple[Asker | None, int]:
        """Seat one asker; the one it displaced and where that one goes on, or (None, 0)."""
        for at, address in self._sequence(asker, index):
            holder = self._holder.get(address)
            if address in self._claimed or (holder is not None and holder < asker):
                self._pass(asker, address)
                continue
            self._holder[address] = asker
            self._given[asker] = at, address
            if holder is None:
                return None, 0
            self._pass(holder, address)
            place = self._given[holder]
            return holder, place[0] + 1 if place else 0
        self._given[asker] = None
        return None, 0

    def _vacate(self, address: bytes) -> None:
        """An address became free: the first of those who passed it takes it, and so on."""
        while waiting := self._passed.get(address):
            heir = min(waiting)
            old = self._given[heir]
            index = self._index(heir, address)
            self._forget_passes(heir, index, old[0] if old else None)
            self._holder[address] = heir
            self._given[heir] = index, address
            self._moved.add(heir)
            if old is None:
                return
            del self._holder[old[1]]
            address = old[1]

    def _pass(self, asker: Asker, address: bytes) -> None:
        self._passed.setdefault(address, set()).add(asker)

    def _forget_passes(self, asker: Asker, first: int, end: int | None) -> None:
        for at, address in self._sequence(asker, first):
            if at == end:
                return
            passed = self._passed.get(address, set())
            passed.discard(asker)
            if not passed:
                self._passed.pop(address, None)

    def _sequence(self, asker: Asker, first: int) -> Iterator[tuple[int, bytes]]:
        """(place, address) of `asker`'s sequence from place `first` on."""
        passed = 0
        for low, size in self._spans:
            start = _start(asker, size)
            for at in range(max(first - passed, 0), size):
                number = low + (start + at) % size
                yield passed + at, number.to_bytes(self._width, "big")
            passed += size

    def _index(self, asker: Asker, address: bytes) -> int:
        """The place of `address` in the sequence of `asker`."""
        number = int.from_bytes(address, "big")
        passed = 0
        for low, size in self._spans:
            if low <= number < low + size:
                return passed + (number - low - _start(asker, size)) % size
            passed += size
        raise ValueError(f"{address.hex()} is in none of the spans")


def address_allocator(networks: Iterable[Network]) -> Allocator:
    """Gives addresses of `networks`, which are of one family.

    Never the network address (in IPv6 the subnet-router anycast address, RFC 4291 2.6.1), nor
    the broadcast address of an IPv4 network.
    """
    known = list(networks)
    width = 4 if known and known[0].version == 4 else 16
    return Allocator([_usable(network) for network in known], width)


def port_allocator() -> Allocator:
    """Gives node ports, each to one asker, whatever its protocol."""
    return Allocator([NODE_PORTS], 2)


def _usable(network: Network) -> tuple[int, int]:
    """The first address that may be given, as a number, and how many follow it."""
    low, size = int(network.network_address), network.num_addresses
    if network.version == 4:
        return (low + 1, size - 2) if size > 2 else (low, size)  # RFC 3021: a /31 has no broadcast
    return (low + 1, size - 1) if size > 1 else (low, size)


def _start(asker: Asker, size: int) -> int:
    """Where in a span of `size` addresses the sequence of `asker` begins."""
    digest = blake2b("/".join(asker).encode(), digest_size=16).digest()
    return int.from_bytes(digest, "big") % size
