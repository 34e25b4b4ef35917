"""Who and what is admitted: the one reject ladder in front of every transport.

A query goes through the rungs in this order, and the first that refuses says how:

1. under 12 octets, or a response (QR): dropped, never answered, so two servers cannot be
   made to talk to each other;
2. an opcode other than QUERY: NOTIMP;
3. malformed: FORMERR (`message.parse`);
4. a client that may not ask: REFUSED, extended error 18;
5. an EDNS version other than 0: BADVERS (RFC 6891 6.1.3);
6. a class other than IN and CH: REFUSED;
7. a QTYPE that is no data type: FORMERR for OPT, REFUSED for transfers and the like.

The engine's short cut for usual queries proves that a packet would pass all rungs before it
answers; whatever it cannot prove comes here.
"""

from __future__ import annotations

from dnsd.dns.message import CH, HEADER, IN, OPCODE, OPT, QR, Ede, Malformed, Query, Rcode, parse
from dnsd.dns.networks import Networks

_TKEY, _MAILA = 249, 254  # TKEY, TSIG, IXFR, AXFR, MAILB, MAILA


class Refusal(Exception):
    """A query that is not admitted: `rcode` and extended error for its sender.

    `query` is there when it could be read, so that question and OPT can be sent back.
    """

    def __init__(self, rcode: Rcode, extended: Ede | None = None, query: Query | None = None):
        super().__init__(rcode.name)
        self.rcode, self.extended, self.query = rcode, extended, query


def is_dropped(packet: bytes) -> bool:
    """Rung 1: whether a packet gets no reply at all."""
    return len(packet) < HEADER or packet[2] & QR != 0


def admit(packet: bytes, client: bytes, may_ask: Networks) -> Query:
    """Rungs 2 to 7 for a packet that `is_dropped` let through; raises `Refusal`.

    `client` is the packed address of the peer; `may_ask` must contain it.
    """
    if packet[2] & OPCODE:
        raise Refusal(Rcode.NOTIMP, query=_echo(packet))
    try:
        query = parse(packet)
    except Malformed as error:
        raise Refusal(error.rcode) from error
    if not may_ask.everyone and client not in may_ask:
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


def _echo(packet: bytes) -> Query | None:
    """What can be sent back of a message with a foreign opcode: a question in our form."""
    try:
        return parse(packet)
    except Malformed:
        return None
