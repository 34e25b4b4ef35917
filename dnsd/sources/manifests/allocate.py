"""Cluster IPs and node ports for Services that state none, where no API server chooses them.

The outcome is a function of *who asks* and *what is claimed*, never of the order in which it
was learnt: every asker walks its own sequence of addresses (it begins at a hash of its name
and wraps around), an address goes to the first of its askers by name, and one that a Service
claims explicitly goes to nobody. That is the stable matching in which all addresses rank the
askers alike: there is exactly one, so it can be kept up incrementally and is still what a new
start would compute. An asker is moved only when a claim or an asker of a smaller name takes
its address, or such a one lets go of an address that comes earlier in its sequence; in a /12
with 10,000 askers that concerns one in a hundred.

Nothing is kept of who went on past which address. Between the beginning of a sequence and the
asker's place all is taken, so who passed an address sits in the run of taken ones behind it:
when it becomes free, that run is gone through as far as anybody ever went. In a network with
room these runs are a few addresses long. In one that is almost full they are not, and where
there are more askers than addresses everybody may concern everybody. So work is counted: when
the changes since the last answer have cost more than to begin anew, that is done, once for all
of them. It is the definition above, in a time that grows with the askers and claims alone.

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
# Addresses looked at, since the last answer, before beginning anew: so many, and four for each
# asker and claim, of which each costs about as much then.
PATIENCE = 1000


class Allocator:
    """Gives numbers of `spans` (tried in this order), as `width` bytes, to askers.

    `steps` counts the addresses looked at, for who wants to know what it costs.
    """

    def __init__(self, spans: Iterable[Span], width: int, patience: int = PATIENCE) -> None:
        self._spans: list[tuple[int, int, int]] = []  # and the places in all spans before it
        self._places = 0
        for low, size in spans:
            self._spans.append((low, size, self._places))
            self._places += size
        self._width = width
        self._claimed: dict[int, int] = {}  # explicit claims, counted
        self._holder: dict[int, Asker] = {}
        self._given: dict[Asker, tuple[int, int] | None] = {}  # place in its sequence, number
        self._furthest = 0  # place that anybody went to, since the last beginning
        self._moved: set[Asker] = set()
        self._patience = patience
        self.steps = 0
        self._enough = patience  # steps after which to begin anew
        self._stale = False  # what is given is to be found anew, and changes are only noted

    def ask(self, asker: Asker) -> None:
        """From now on this one needs an address. Asking twice is asking once."""
        if asker not in self._given:
            self._given[asker] = None
            self._enough += 4
            self._seat(asker, 0)

    def leave(self, asker: Asker) -> None:
        """This one needs no address any more."""
        if asker not in self._given:
            return
        place = self._given.pop(asker)
        self._moved.add(asker)
        if place and not self._stale:
            del self._holder[place[1]]
            self._vacate(place[1])

    def claim(self, address: bytes) -> None:
        """An explicit claim: whoever was given this address moves on. Claims are counted."""
        number = int.from_bytes(address, "big")
        self._claimed[number] = self._claimed.get(number, 0) + 1
        self._enough += 4
        loser = None if self._stale else self._holder.pop(number, None)
        if loser is not None:
            place, self._given[loser] = self._given[loser], None
            self._seat(loser, place[0] + 1 if place else 0)

    def release(self, address: bytes) -> None:
        """One explicit claim less."""
        number = int.from_bytes(address, "big")
        left = self._claimed.get(number, 0) - 1
        if left > 0:
            self._claimed[number] = left
        elif self._claimed.pop(number, None) is not None and not self._stale:
            self._vacate(number)

    def given(self, asker: Asker) -> bytes | None:
        """The packed address of this asker; None when all are taken, or it did not ask."""
        if self._stale:
            self._begin_anew()
        place = self._given.get(asker)
        return place[1].to_bytes(self._width, "big") if place else None

    def moved(self) -> set[Asker]:
        """The askers whose address may have changed since the last call."""
        if self._stale:
            self._begin_anew()
        self._enough = self.steps + self._patience + 4 * (len(self._given) + len(self._claimed))
        moved, self._moved = self._moved, set()
        return moved

    # -- one change after the other --------------------------------------------------------

    def _tired(self) -> bool:
        """Count a step; whether it was one too many, and all that is given is to be found anew."""
        self.steps += 1
        if self.steps > self._enough:
            self._stale = True
        return self._stale

    def _seat(self, asker: Asker, index: int) -> None:
        """Find a place for `asker` from `index` of its sequence on, and for those it displaces."""
        current: Asker | None = asker
        while current is not None:
            self._moved.add(current)
            current, index = (None, 0) if self._stale else self._settle(current, index)

    def _settle(self, asker: Asker, index: int) -> tuple[Asker | None, int]:
        """Seat one asker; the one it displaced and where that one goes on, or (None, 0)."""
        for at, number in self._sequence(asker, index):
            if self._tired():
                return None, 0
            holder = self._holder.get(number)
            if number in self._claimed or (holder is not None and holder < asker):
                continue
            self._holder[number] = asker
            self._given[asker] = at, number
            self._furthest = max(self._furthest, at)
            if holder is None:
                return None, 0
            place, self._given[holder] = self._given[holder], None
            return holder, place[0] + 1 if place else 0
        self._given[asker] = None
        self._furthest = self._places
        return None, 0

    def _vacate(self, number: int) -> None:
        """An address became free: the first of those who passed it takes it, and so on."""
        while (heir := self._heir(number)) is not None:
            asker, place = heir
            old = self._given[asker]
            self._holder[number] = asker
            self._given[asker] = place, number
            self._moved.add(asker)
            if old is None:
                return
            del self._holder[old[1]]
            number = old[1]

    def _heir(self, number: int) -> tuple[Asker, int] | None:
        """The first by name of those who passed a free address, and its place for him."""
        span = next((one for one in self._spans if one[0] <= number < one[0] + one[1]), None)
        if span is None:
            return None
        low, size, base = span
        heir: tuple[Asker, int] | None = None
        for distance in range(1, min(self._furthest - base + 1, size)):
            if self._tired():
                return None
            there = low + (number - low + distance) % size
            holder = self._holder.get(there)
            if holder is None:
                if there not in self._claimed:
                    return heir  # nobody went past a free one
                continue
            place = self._given[holder]
            at = place[0] - distance if place else -1
            if at >= base and (heir is None or holder < heir[0]):
                heir = holder, at
        if self._furthest >= base + size:
            self._stale = True  # who went past this span, or has none, passed it too
            return None
        return heir

    def _sequence(self, asker: Asker, first: int) -> Iterator[tuple[int, int]]:
        """(place, number) of `asker`'s sequence from place `first` on."""
        for low, size, base in self._spans:
            if first >= base + size:
                continue
            start = _start(asker, size)
            for at in range(max(first - base, 0), size):
                yield base + at, low + (start + at) % size

    # -- all at once -----------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """Give as a new start would: by name, to each the first of its sequence that is free."""
        before, self._given, self._holder = self._given, {}, {}
        onward = {number: number + 1 for number in self._claimed}  # taken -> where to go on
        self._furthest, self._stale = 0, False
        for asker in sorted(before):
            place = self._first_free(asker, onward)
            self._given[asker] = place
            if place is not None:
                self._holder[place[1]] = asker
                onward[place[1]] = place[1] + 1
            self._furthest = max(self._furthest, place[0] if place else self._places)
            if place != before[asker]:
                self._moved.add(asker)

    def _first_free(self, asker: Asker, onward: dict[int, int]) -> tuple[int, int] | None:
        """The place and number of the first address of `asker`'s sequence that is not taken."""
        for low, size, base in self._spans:
            start = _start(asker, size)
            number = self._not_taken(low + start, onward)
            if number >= low + size:
                number = self._not_taken(low, onward)
                if number >= low + start:
                    continue
            return base + (number - low - start) % size, number
        return None

    def _not_taken(self, number: int, onward: dict[int, int]) -> int:
        """The first number from this one on that is not taken; shortens the way there."""
        self.steps += 1
        while (after := onward.get(number)) is not None:
            self.steps += 1
            onward[number] = onward.get(after, after)
            number = after
        return number


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
