"""The outcomes of an engine, and its counters.

In `answer/` (pure: query bytes to reply bytes). Change here: an outcome, a counter.

The outcome of a query is closed: `bytes` is the reply, a `Deferred` has a handler of its kind in
the worker and gets its reply later, a `Stream` is a reply of many messages, and None means that
the query gets no reply.

Counters are plain ints in lists: one list for each query type, one int for each transport and
result. They cost least, and can be read at any time. Types that clients rarely query share one
list, so packets cannot make the counters grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack
from typing import ClassVar

from msgspec import Struct

from dnsd.answer.transport import Transport
from dnsd.dns.message import Rcode
from dnsd.dns.names import Name
from dnsd.dns.types import type_text


class Deferred(Struct, frozen=True, gc=False):
    """A query whose reply comes later. `kind` chooses the handler in the worker."""

    kind: ClassVar[str]


class Forward(Deferred, frozen=True, gc=False):
    """A query that upstream servers have to answer.

    `question` is as in the query; `name` is the name to resolve now (lower-cased wire form): the
    question's name or, when `local`, the target at which a chain of CNAMEs left the zones of
    dnsd. `chain` then holds the `chained` CNAME records of the answer section so far, the last
    of which ends with that target. `limit`: octets the reply may have. `options`: the options
    of the reply's OPT record.
    """

    kind: ClassVar[str] = "forward"

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
    local: bool = False
    chain: bytes = b""
    chained: int = 0


class Stream(Struct, frozen=True):
    """A reply of many messages, such as a zone transfer (RFC 5936 2.2).

    A transport with framing sends each of `messages` in order, and takes the next one when the
    client has room for it. A datagram transport cannot carry a stream (RFC 5936 4.2): it sends
    `datagram` instead, which may be a truncated reply or a single SOA record (RFC 1995 2); None
    sends nothing.
    """

    messages: Iterator[bytes]
    datagram: bytes | None = None


Outcome = bytes | Deferred | Stream | None

RESULTS = (
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
RESULT_OF = {
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
            f"queries.{name}.{type_text(type_) if type_ else 'other'}.{result}"
            for type_ in _COUNTED_TYPES
            for name in names
            for result in RESULTS
        ),
        "dropped",
        "truncated",
        "asked_upstream",
    )


def counter_index(transport: Transport, result: int) -> int:
    """Where the list of a query type counts a result over a transport."""
    return transport.index * len(RESULTS) + result


class Counters:
    """The counters of the engines of a process, from its start.

    `of`: QTYPE and QCLASS on the wire -> the list of the type, in which `counter_index` gives
    the position. `forwarded`: queries that became a `Forward`, or were answered from the cache
    of upstream replies. `complete`: queries that took the complete path.
    """

    __slots__ = ("complete", "dropped", "forwarded", "of", "other", "truncated")

    def __init__(self, transports: int) -> None:
        size = transports * len(RESULTS)
        self.of = {pack("!HH", type_, 1): [0] * size for type_ in _COUNTED_TYPES}
        self.other = self.of[pack("!HH", _OTHER, 1)]
        self.complete = self.dropped = self.forwarded = self.truncated = 0

    def count(self, kind: bytes, index: int) -> None:
        """Counts one query; `index` is that of `counter_index`."""
        self.of.get(kind, self.other)[index] += 1

    def totals(self) -> tuple[int, ...]:
        """The totals, in the order of `counter_names`."""
        counts = [count for of_type in self.of.values() for count in of_type]
        return (*counts, self.dropped, self.truncated, self.forwarded)
