"""DNS messages: the header, the question, and EDNS (RFC 1035 4.1, RFC 6891).

In `dns/` (wire format, no I/O). Change here: how queries are read, and how queries, headers, and
OPT records are written. `records.py` adds the records of replies.

`parse` reads a query from any sender. It is the slow and complete reader: `answer/engine.py`
recognizes usual queries by their shape and calls `parse` for all others. Both must agree; a
property test compares them.

Rules:

* No octet is trusted. Each octet is read once. Each count is checked against the octets that
  are present before anything is allocated for it. A query's compression pointers are not followed.
* `Malformed` means that the sender is at fault, and carries the response code for the sender.
* A query has QR 0, opcode QUERY, one question, and no answer or authority records. Records
  other than OPT in the additional section (for example TSIG) are skipped.
* The work is bounded by what queries need, not by the octets received, because a message over
  TCP may have 65,535 octets: at most MAX_RECORDS additional records, whose owner names have at
  most MAX_OWNERS octets together, and at most MAX_OPTIONS options. A query with more is
  malformed. A single option may fill the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from itertools import islice
from struct import Struct
from typing import NamedTuple

from dnsd.dns.names import MAX_NAME

HEADER = 12
MIN_UDP = 512  # octets that every client can receive, RFC 1035 4.2.1
MAX_MESSAGE = 65_535  # octets, RFC 1035 4.2.2

# Flags, first and second octet (RFC 1035 4.1.1, RFC 4035 3.1).
QR, OPCODE, AA, TC, RD = 0x80, 0x78, 0x04, 0x02, 0x01
RA, AD, CD = 0x80, 0x20, 0x10

IN, CH = 1, 3
OPT = 41

# Guesses, far above what is in use: queries carry an OPT record, and a TSIG or SIG(0) record if
# they are signed. Fewer than 30 options have a code, and repeating one is useless. The RFCs allow
# more, but then one message could cost as much as a hundred.
MAX_RECORDS = 16  # in the additional section
MAX_OWNERS = MAX_NAME + MAX_RECORDS  # octets: the longest name once, else roots
MAX_OPTIONS = 32  # in the OPT record

_OPTION = Struct("!HH").unpack_from  # code, length
FIXED = Struct("!HHIH").unpack_from  # type, class, TTL, RDLENGTH of a record
FIXED_SIZE = 10


class Rcode(IntEnum):
    """Response codes (RFC 1035 4.1.1, RFC 6891 9 for BADVERS)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Ede(IntEnum):
    """Extended errors (RFC 8914 4)."""

    STALE = 3
    NOT_READY = 14
    PROHIBITED = 18
    STALE_NXDOMAIN = 19
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NO_REACHABLE_AUTHORITY = 22
    NETWORK_ERROR = 23


class Option(IntEnum):
    """EDNS options (IANA "DNS EDNS0 Option Codes") that dnsd reads or writes."""

    NSID = 3  # RFC 5001
    CLIENT_SUBNET = 8  # RFC 7871
    COOKIE = 10  # RFC 7873
    TCP_KEEPALIVE = 11  # RFC 7828
    PADDING = 12  # RFC 7830
    EDE = 15  # RFC 8914


class Malformed(ValueError):
    """A message that is not well-formed: `rcode` is the response code for the sender of a query."""

    def __init__(self, problem: str, rcode: Rcode = Rcode.FORMERR) -> None:
        super().__init__(problem)
        self.rcode = rcode


class Edns(NamedTuple):
    """The OPT record of a query. `size` in octets, as sent; `options`: code and data of each."""

    size: int
    version: int
    do: bool
    options: tuple[tuple[int, bytes], ...]


class Query(NamedTuple):
    """A parsed query. `question` holds name, type, and class as received (case kept)."""

    id: bytes
    rd: bool
    cd: bool
    question: bytes
    name: bytes
    type: int
    cls: int
    edns: Edns | None


# -- reading


def parse(packet: bytes) -> Query:
    """The query in a packet of at least 12 octets whose header has QR 0 and opcode QUERY.

    Raises `Malformed` for everything else. Takes bounded time, whatever len(packet).
    """
    counts = packet[4:12]
    if counts[:6] != b"\x00\x01\x00\x00\x00\x00":
        raise Malformed("a query has one question and no answer or authority records")
    additional = counts[6] << 8 | counts[7]
    if additional > MAX_RECORDS:
        raise Malformed(f"a query has at most {MAX_RECORDS} additional records")
    end = len(packet)
    position = question_end(packet)
    question = packet[HEADER:position]
    if additional * (1 + FIXED_SIZE) > end - position:  # the shortest owner has 1 octet
        raise Malformed("the header counts more records than the octets can hold")
    edns = None
    owners = 0
    for _ in range(additional):
        fixed = _owner_end(packet, position)
        owners += fixed - position
        if owners > MAX_OWNERS:
            raise Malformed(f"the owners of additional records have over {MAX_OWNERS} octets")
        position, found = _record(packet, position, fixed)
        if found is not None:
            if edns is not None:
                raise Malformed("two OPT records (RFC 6891 6.1.1)")
            edns = found
    if position != end:
        raise Malformed("octets after the last record")
    flags = packet[3]
    return Query(
        packet[:2],
        bool(packet[2] & RD),
        bool(flags & CD),
        question,
        question[:-4].lower(),
        question[-4] << 8 | question[-3],
        question[-2] << 8 | question[-1],
        edns,
    )


def question_end(packet: bytes) -> int:
    """The offset after the first question of a packet; raises `Malformed`.

    Only plain labels are allowed: a compression pointer has no earlier name to point to, and no
    other label type was ever deployed (RFC 6891 5).
    """
    limit = min(len(packet), HEADER + MAX_NAME)
    position = _labels_end(packet, HEADER, limit)
    if position >= limit:
        raise Malformed("the question's name is cut short, or has over 255 octets")
    if packet[position]:
        raise Malformed("the question has a label type other than plain")
    if position + 5 > len(packet):
        raise Malformed("the question is cut short")
    return position + 5


def _labels_end(packet: bytes, position: int, limit: int) -> int:
    """The offset after the plain labels that begin at `position`; `limit` or more if cut."""
    while position < limit and 0 < packet[position] < 64:
        position += 1 + packet[position]
    return position


def _owner_end(packet: bytes, start: int) -> int:
    """The offset after the owner of an additional record."""
    limit = min(len(packet), start + MAX_NAME)
    position = _labels_end(packet, start, limit)
    if position >= limit:
        raise Malformed("a record's owner is cut short, or has over 255 octets")
    length = packet[position]
    if length >= 0xC0:
        return position + 2
    if length:
        raise Malformed("a record's owner has a label type other than plain")
    return position + 1


def _record(packet: bytes, start: int, fixed: int) -> tuple[int, Edns | None]:
    """The offset after one additional record, and its EDNS if it is OPT.

    Its owner begins at `start`, its type at `fixed`.
    """
    type_, size, ttl, data, behind = fixed_part(packet, fixed)
    if type_ != OPT:
        return behind, None
    if fixed - start != 1 or packet[start]:
        raise Malformed("the owner of OPT is the root (RFC 6891 6.1.2)")
    options = tuple(islice(edns_options(packet, data, behind), MAX_OPTIONS + 1))
    if len(options) > MAX_OPTIONS:
        raise Malformed(f"a query has at most {MAX_OPTIONS} EDNS options")
    return behind, Edns(size, ttl >> 16 & 0xFF, bool(ttl & 0x8000), options)


def fixed_part(packet: bytes, position: int) -> tuple[int, int, int, int, int]:
    """Type, class, TTL, and the offsets of the start and end of RDATA, from the type's offset on.

    Raises `Malformed` if the packet ends before.
    """
    data = position + FIXED_SIZE
    if data > len(packet):
        raise Malformed("a record is cut short")
    type_, class_, ttl, length = FIXED(packet, position)
    behind = data + length
    if behind > len(packet):
        raise Malformed("a record's data is cut short")
    return type_, class_, ttl, data, behind


def edns_options(packet: bytes, position: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Code and data of each option of an OPT record whose RDATA is packet[position:end].

    Raises `Malformed`.
    """
    while position != end:
        data = position + 4
        if data > end:
            raise Malformed("an EDNS option is cut short")
        code, length = _OPTION(packet, position)
        position = data + length
        if position > end:
            raise Malformed("an EDNS option is longer than its record")
        yield code, packet[data:position]


def is_reply_to(data: bytes, query_id: bytes, question: bytes) -> bool:
    """Whether a message claims to answer this query: ID, QR, opcode, and the exact question.

    The case of the question counts: a query with random case (0x20) must come back in the same
    case. The sender is not checked here, because the sockets are connected.
    """
    return (
        data[:2] == query_id
        and len(data) >= HEADER + len(question)
        and data[2] & 0xF8 == QR
        and data[4:6] == b"\x00\x01"
        and data[HEADER : HEADER + len(question)] == question
    )


def is_recased(data: bytes, query_id: bytes, question: bytes) -> bool:
    """Whether a message would be a reply to this query except for the case of its question."""
    end = HEADER + len(question)
    return is_reply_to(
        data[:HEADER] + data[HEADER:end].lower() + data[end:], query_id, question.lower()
    )


def is_truncated(data: bytes) -> bool:
    """Whether TC is set in a message of at least 12 octets."""
    return bool(data[2] & TC)


# -- writing


def query(
    query_id: bytes,
    question: bytes,
    *,
    do: bool = False,
    cd: bool = False,
    size: int = 1232,
    options: bytes = b"",
) -> bytes:
    """A query for `question` (name, type, class; case as given) with RD set.

    `size` is the EDNS UDP size in octets; 0 leaves out OPT, for upstreams that reject it.
    """
    flags = bytes((RD, CD if cd else 0))
    opt = opt_record(size, do, options=options) if size else b""
    return b"%b%b\x00\x01\x00\x00\x00\x00\x00%c%b%b" % (query_id, flags, bool(opt), question, opt)


def opt_record(size: int, do: bool, extended_rcode: int = 0, options: bytes = b"") -> bytes:
    """An OPT record of version 0 (RFC 6891 6.1.2). A reply repeats DO of the query (RFC 3225 3)."""
    return b"\x00\x00\x29%b%b\x00%b\x00%b%b" % (
        size.to_bytes(2, "big"),
        bytes((extended_rcode,)),
        b"\x80" if do else b"\x00",
        len(options).to_bytes(2, "big"),
        options,
    )


def option(code: int, data: bytes) -> bytes:
    """One EDNS option."""
    return code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def ede(code: int, text: str = "") -> bytes:
    """The extended error option (RFC 8914 2)."""
    return option(Option.EDE, code.to_bytes(2, "big") + text.encode())
