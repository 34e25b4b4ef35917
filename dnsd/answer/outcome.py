"""What goes in and out of an engine besides bytes: its configuration, the third outcome, counts.

Counting is plain ints in lists, one list a query type, one int a transport and outcome:
the cheapest thing that can be read from outside at any time. Types that nobody asks for in
earnest share a list, so what a packet says can never make the counters grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack

from msgspec import Struct

from dnsd.answer.transport import Transport
from dnsd.dns.message import MAX_MESSAGE, MIN_UDP, Rcode
from dnsd.dns.names import Name
from dnsd.dns.networks import EVERYONE
from dnsd.dns.types import type_text


class EngineConfig(Struct, frozen=True):
    """What an engine is told once. It crosses a process boundary, so it is plain data.

    `udp_size`: octets that dnsd sends over UDP at most, and announces (RFC 9715).
    `allow_query`, `allow_recursion`: networks; an empty tuple matches no client.
    `tcp_keepalive` in units of 100 ms (RFC 7828). `forwarding`: external names become
    `Forward`s. `views`: clients see different things (see `views.py`).
    """

    udp_size: int = 1232
    nsid: bytes = b""
    version_text: str = ""
    id_text: str = ""
    allow_query: tuple[str, ...] = EVERYONE
    tcp_keepalive: int = 100
    forwarding: bool = False
    allow_recursion: tuple[str, ...] = EVERYONE
    views: bool = False

    def limit(self, transport: Transport, size: int | None) -> int:
        """Octets a reply may have; `size` is what the query's OPT says, None without one."""
        if not transport.datagram:
            return MAX_MESSAGE
        return MIN_UDP if size is None else max(MIN_UDP, min(size, self.udp_size))


class Forward(Struct, frozen=True, gc=False):
    """The third outcome: a question that somebody else has to answer.

    `question` is as asked; `name` is what to resolve now (lower-cased wire form): the
    question's name or, when `ours`, the target at which a chain of CNAMEs left our zones.
    `chain` then holds the `chained` CNAME records of the answer section so far, the last of
    which ends with that target. `limit`: octets the reply may have. `options`: those that
    the reply's OPT has to carry.
    """

    packet: bytes
    question: bytes
    name: Name
    type: int
    client: bytes
    limit: int
    rd: bool
    cd: bool
    do: bool
    edns: bool
    options: bytes = b""
    ours: bool = False
    chain: bytes = b""
    chained: int = 0


OUTCOMES = (
    "answer",
    "nodata",
    "nxdomain",
    "servfail",
    "refused",
    "formerr",
    "notimp",
    "badvers",
)
ANSWERED, NODATA, NXDOMAIN = range(3)
OUTCOME_OF = {
    Rcode.NXDOMAIN: NXDOMAIN,
    Rcode.SERVFAIL: 3,
    Rcode.REFUSED: 4,
    Rcode.FORMERR: 5,
    Rcode.NOTIMP: 6,
    Rcode.BADVERS: 7,
}
_OTHER = 0
_COUNTED_TYPES = (_OTHER, 1, 2, 5, 6, 12, 15, 16, 28, 33, 64, 65, 255)


def counter_names(transports: Iterable[Transport]) -> tuple[str, ...]:
    """The names of `Counters.totals`, in its order."""
    names = [transport.name for transport in transports]
    return (
        *(
            f"queries.{name}.{type_text(type_) if type_ else 'other'}.{outcome}"
            for type_ in _COUNTED_TYPES
            for name in names
            for outcome in OUTCOMES
        ),
        "dropped",
        "truncated",
        "asked_upstream",
    )


def counter_index(transport: Transport, outcome: int) -> int:
    """Where the list of a query type counts an outcome over a transport."""
    return transport.index * len(OUTCOMES) + outcome


class Counters:
    """The engine's counters. `of` finds a type's list by QTYPE and QCLASS on the wire.

    `counter_index` gives the position in such a list; `transports` is their number.
    """

    __slots__ = ("asked", "dropped", "of", "other", "truncated")

    def __init__(self, transports: int) -> None:
        size = transports * len(OUTCOMES)
        self.of = {pack("!HH", type_, 1): [0] * size for type_ in _COUNTED_TYPES}
        self.other = self.of[pack("!HH", _OTHER, 1)]
        self.dropped = self.truncated = self.asked = 0

    def count(self, kind: bytes, index: int) -> None:
        """Counts one query; `index` is that of `counter_index`."""
        self.of.get(kind, self.other)[index] += 1

    def totals(self) -> tuple[int, ...]:
        """Totals since the start, in the order of `counter_names`."""
        counts = [count for tally in self.of.values() for count in tally]
        return (*counts, self.dropped, self.truncated, self.asked)
