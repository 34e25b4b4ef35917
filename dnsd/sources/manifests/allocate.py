"""Allocates cluster IPs and node ports to Services that do not state them.

In `sources/manifests/` (control plane: objects from files). Change here: what is allocated.

In a cluster, the API server does this. Here the result is a function of the requests and the claims
(the addresses that manifests state), never of their order. Each request has its own sequence of
addresses, which begins at a hash of its name and wraps around. An address goes to the first of its
requests by name, and a claimed address goes to no request. This is the stable matching in which all
addresses rank the requests alike. There is exactly one, so it can be maintained step by step and
still is what a new start computes. A request moves only when a claim or a request of a smaller name
takes its address, or frees an address that comes earlier in its sequence. In a /12 with 10,000
requests, that concerns one in a hundred.

Which requests passed an address is not stored. Between the beginning of a sequence and its address
all addresses are taken. So the requests that passed an address have their own addresses in the run
of taken addresses behind it. When an address becomes free, that run is searched, up to the largest
distance of any request. In a network with many free addresses, these runs are a few addresses long.
In an almost full network they are long, so work is counted: when the changes since the last answer
have cost more than a new start, all is allocated anew, once for all of them. The time of that grows
with the requests and claims alone.

A node port is an address of two octets, in a range instead of a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network
Request = tuple[str, ...]  # namespace, name, and for node ports which port
Span = tuple[int, int]  # the first number that may be allocated, and how many there are

NODE_PORTS = (30_000, 2_768)  # --service-node-port-range of an API server
# Addresses examined since the last answer until all is allocated anew. Four more for each request
# and claim, because each costs about as much then.
PATIENCE = 1000


class Allocator:
    """Allocates numbers of `spans` (tried in this order), as `width` octets, to requests.

    `steps` counts the addresses examined: the cost of all calls.
    """

    def __init__(self, spans: Iterable[Span], width: int, patience: int = PATIENCE) -> None:
        self._spans: list[tuple[int, int, int]] = []  # and the number of addresses before it
        self._size = 0
        for low, size in spans:
            self._spans.append((low, size, self._size))
            self._size += size
        self._width = width
        self._claims: dict[int, int] = {}  # how often each number is claimed
        self._holders: dict[int, Request] = {}
        self._allocated: dict[Request, tuple[int, int] | None] = {}  # index in its sequence, number
        self._furthest = 0  # the largest index that a request reached
        self._moved: set[Request] = set()
        self._patience = patience
        self.steps = 0
        self._max_steps = patience  # steps after which all is allocated anew
        self._stale = False  # all is to be allocated anew, and changes are only noted

    def request(self, request: Request) -> None:
        """Allocate an address to this request. A repeated request has no effect."""
        if request not in self._allocated:
            self._allocated[request] = None
            self._max_steps += 4
            self._place(request, 0)

    def withdraw(self, request: Request) -> None:
        """Free the address of this request."""
        if request not in self._allocated:
            return
        found = self._allocated.pop(request)
        self._moved.add(request)
        if found and not self._stale:
            del self._holders[found[1]]
            self._fill(found[1])

    def claim(self, address: bytes) -> None:
        """Claim an address. A request that has it moves on. Claims are counted."""
        number = int.from_bytes(address, "big")
        self._claims[number] = self._claims.get(number, 0) + 1
        self._max_steps += 4
        displaced = None if self._stale else self._holders.pop(number, None)
        if displaced is not None:
            self._place(displaced, self._unplace(displaced))

    def release(self, address: bytes) -> None:
        """Remove one claim of an address."""
        number = int.from_bytes(address, "big")
        left = self._claims.get(number, 0) - 1
        if left > 0:
            self._claims[number] = left
        elif self._claims.pop(number, None) is not None and not self._stale:
            self._fill(number)

    def allocated(self, request: Request) -> bytes | None:
        """The packed address of this request; None if all are taken or it does not exist."""
        self._refresh()
        found = self._allocated.get(request)
        return found[1].to_bytes(self._width, "big") if found else None

    def moved(self) -> set[Request]:
        """The requests whose address may have changed since the last call."""
        self._refresh()
        requests_and_claims = len(self._allocated) + len(self._claims)
        self._max_steps = self.steps + self._patience + 4 * requests_and_claims
        moved, self._moved = self._moved, set()
        return moved

    # -- one change after the other --------------------------------------------------------

    def _out_of_steps(self) -> bool:
        """Count a step. Returns whether it was one too many, so that all is allocated anew."""
        self.steps += 1
        if self.steps > self._max_steps:
            self._stale = True
        return self._stale

    def _unplace(self, request: Request) -> int:
        """Take the address from a request. Returns the index at which it goes on."""
        found, self._allocated[request] = self._allocated[request], None
        return found[0] + 1 if found else 0

    def _place(self, request: Request, index: int) -> None:
        """Find an address from `index` of the sequence on, and one for each displaced request."""
        current: Request | None = request
        while current is not None:
            self._moved.add(current)
            if self._stale:
                return
            current = self._place_one(current, index)
            index = 0 if current is None else self._unplace(current)

    def _place_one(self, request: Request, first: int) -> Request | None:
        """Find an address for one request. Returns the request that this displaces."""
        for index, number in self._sequence(request, first):
            if self._out_of_steps():
                return None
            holder = self._holders.get(number)
            if number in self._claims or (holder is not None and holder < request):
                continue
            self._holders[number] = request
            self._allocated[request] = index, number
            self._furthest = max(self._furthest, index)
            return holder
        self._furthest = self._size
        return None

    def _fill(self, number: int) -> None:
        """Give a free address to the first request that passed it, and so on with that one's."""
        while (found := self._first_that_passed(number)) is not None:
            request, index = found
            old = self._allocated[request]
            self._holders[number] = request
            self._allocated[request] = index, number
            self._moved.add(request)
            if old is None:
                return
            number = old[1]
            del self._holders[number]

    def _first_that_passed(self, number: int) -> tuple[Request, int] | None:
        """The first request by name that passed a free address, and the address's index there."""
        span = next((one for one in self._spans if one[0] <= number < one[0] + one[1]), None)
        if span is None:
            return None
        low, size, base = span
        first: tuple[Request, int] | None = None
        for distance in range(1, min(self._furthest - base + 1, size)):
            if self._out_of_steps():
                return None
            there = low + (number - low + distance) % size
            holder = self._holders.get(there)
            if holder is None:
                if there not in self._claims:
                    return first  # no request passes a free address
                continue
            found = self._allocated[holder]
            index = found[0] - distance if found else -1
            if index >= base and (first is None or holder < first[0]):
                first = holder, index
        if self._furthest >= base + size:
            self._stale = True  # requests with an address of a later span, or none, passed it too
            return None
        return first

    def _sequence(self, request: Request, first: int) -> Iterator[tuple[int, int]]:
        """(index, number) of the sequence of a request, from index `first` on."""
        for low, size, base in self._spans:
            start = _start(request, size)
            for index in range(max(first - base, 0), size):
                yield base + index, low + (start + index) % size

    # -- all at once -----------------------------------------------------------------------

    def _refresh(self) -> None:
        """If stale, allocate as a new start does: by name, the first free one of the sequence."""
        if not self._stale:
            return
        before, self._allocated, self._holders = self._allocated, {}, {}
        after = {number: number + 1 for number in self._claims}  # a taken number: where to go on
        self._furthest, self._stale = 0, False
        for request in sorted(before):
            found = self._first_free(request, after)
            self._allocated[request] = found
            if found is not None:
                self._holders[found[1]] = request
                after[found[1]] = found[1] + 1
            self._furthest = max(self._furthest, found[0] if found else self._size)
            if found != before[request]:
                self._moved.add(request)

    def _first_free(self, request: Request, after: dict[int, int]) -> tuple[int, int] | None:
        """The index and number of the first address of a sequence that is not taken."""
        for low, size, base in self._spans:
            start = _start(request, size)
            number = self._not_taken(low + start, after)
            if number >= low + size:
                number = self._not_taken(low, after)
                if number >= low + start:
                    continue
            return base + (number - low - start) % size, number
        return None

    def _not_taken(self, number: int, after: dict[int, int]) -> int:
        """The first number from this one on that is not taken. Shortens the way for the next."""
        self.steps += 1
        while (following := after.get(number)) is not None:
            self.steps += 1
            after[number] = after.get(following, following)
            number = following
        return number


def address_allocator(networks: Iterable[Network]) -> Allocator:
    """Allocates addresses of `networks`, which are of one family.

    Never the network address (in IPv6 the subnet-router anycast address, RFC 4291 2.6.1), nor the
    broadcast address of an IPv4 network.
    """
    known = list(networks)
    width = 4 if known and known[0].version == 4 else 16
    return Allocator([_usable(network) for network in known], width)


def port_allocator() -> Allocator:
    """Allocates node ports, each to one request, whatever its protocol."""
    return Allocator([NODE_PORTS], 2)


def _usable(network: Network) -> Span:
    low, size = int(network.network_address), network.num_addresses
    if network.version == 4:
        return (low + 1, size - 2) if size > 2 else (low, size)  # RFC 3021: a /31 has no broadcast
    return (low + 1, size - 1) if size > 1 else (low, size)


def _start(request: Request, size: int) -> int:
    """Where in a span of `size` addresses the sequence of a request begins."""
    digest = blake2b("/".join(request).encode(), digest_size=16).digest()
    return int.from_bytes(digest, "big") % size
