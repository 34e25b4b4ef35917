"""Admission: which queries dnsd answers, and the response code for all others.

In `answer/` (pure: query bytes to reply bytes). Change here: a rejection check, access by client.

A query passes these checks in this order, and the first that fails decides the reply:

1. under 12 octets, or a response (QR): dropped without a reply, so that two servers cannot be
   made to send to each other;
2. an opcode other than QUERY: NOTIMP;
3. malformed: FORMERR (`dns.message.parse`, `options.check`);
4. a client outside `allow_query`: REFUSED, extended error 18;
5. an EDNS version other than 0: BADVERS (RFC 6891 6.1.3);
6. a class other than IN and CH: REFUSED;
7. a QTYPE that is not a data type: FORMERR for OPT, REFUSED for transfers and the like.

The fast path answers only packets that are proven to pass all checks; other packets come here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dnsd.answer.options import check
from dnsd.answer.settings import EngineConfig
from dnsd.dns.message import CH, HEADER, IN, OPCODE, OPT, QR, Ede, Malformed, Query, Rcode, parse
from dnsd.dns.networks import Networks

_TKEY, _MAILA = 249, 254  # TKEY, TSIG, IXFR, AXFR, MAILB, MAILA
_MOST_CLIENTS = 10_000

T = TypeVar("T")

# Rights of a client, as bits.
RESOLVES, REFUSED = 1, 2


class Refusal(Exception):
    """A query that is not admitted: `rcode` and extended error for its sender.

    `query` is None if it could not be read; otherwise the reply repeats its question and OPT.
    """

    def __init__(self, rcode: Rcode, extended: Ede | None = None, query: Query | None = None):
        super().__init__(rcode.name)
        self.rcode, self.extended, self.query = rcode, extended, query


class Remembered(dict[bytes, T]):
    """What `of` returns for a client, by its packed address; for `_MOST_CLIENTS` at most."""

    def __init__(self, of: Callable[[bytes], T]) -> None:
        super().__init__()
        self._compute = of

    def __missing__(self, client: bytes) -> T:
        if len(self) >= _MOST_CLIENTS:
            self.clear()
        value = self[client] = self._compute(client)
        return value


class Access:
    """The rights of clients by their packed address: `allow_query` and `allow_recursion`.

    `needs_client`: whether the rights depend on the client; if not, they are always `rights`.
    Rights are a sum of RESOLVES and REFUSED.
    """

    def __init__(self, config: EngineConfig) -> None:
        """Raises ValueError for text that is not a network."""
        self._query = Networks(config.allow_query)
        self._recursion = Networks(config.allow_recursion if config.forwarding else ())
        self.needs_client = not self._query.everyone or (
            config.forwarding and not self._recursion.everyone
        )
        self.rights = RESOLVES if self._recursion.everyone else 0
        self.remembered = Remembered(self._rights_of)

    def _rights_of(self, client: bytes) -> int:
        resolves = RESOLVES if client in self._recursion else 0
        return resolves if client in self._query else resolves | REFUSED

    def of(self, client: bytes) -> int:
        """The rights of a client."""
        return self.remembered[client] if self.needs_client else self.rights


def is_dropped(packet: bytes) -> bool:
    """Check 1: whether a packet gets no reply at all."""
    return len(packet) < HEADER or packet[2] & QR != 0


def admit(packet: bytes, rights: int) -> Query:
    """Checks 2 to 7 for a packet that `is_dropped` let through. Raises `Refusal`.

    `rights`: those of the client (see `Access`).
    """
    if packet[2] & OPCODE:
        raise Refusal(Rcode.NOTIMP, query=_echo(packet))
    try:
        query = _read(packet)
    except Malformed as error:
        raise Refusal(error.rcode) from error
    if rights & REFUSED:
        raise Refusal(Rcode.REFUSED, Ede.PROHIBITED, query)
    if query.edns is not None and query.edns.version:
        raise Refusal(Rcode.BADVERS, query=query)
    if query.cls not in (IN, CH):
        raise Refusal(Rcode.REFUSED, Ede.NOT_SUPPORTED, query)
    if query.type == OPT:
        raise Refusal(Rcode.FORMERR, query=query)
    if _TKEY <= query.type <= _MAILA:
        raise Refusal(Rcode.REFUSED, Ede.NOT_SUPPORTED, query)
    return query


def _read(packet: bytes) -> Query:
    query = parse(packet)
    if query.edns is not None:
        check(query.edns)
    return query


def _echo(packet: bytes) -> Query | None:
    """The question that the reply to another opcode repeats; None if it is not that of a query."""
    try:
        return _read(packet)
    except Malformed:
        return None
