"""The wire: header, question, EDNS (RFC 1035 4.1, RFC 6891).

`parse` reads a query of any origin. It is the slow, complete reader: `engine.py` knows the
usual queries by their shape and comes here for all others, and both must agree (a property
test holds them together).

Rules:

* Nothing is trusted: each octet is read once, each count is checked against the octets
  that are there before anything is made of it, no pointer is followed.
* Who is wrong is said by the exception: `Malformed` is the sender's fault and carries the
  response code.
* A query is QR 0, opcode QUERY, one question, no answer or authority records. A record
  other than OPT in the additional section (TSIG, say) is read over.
* Work is bounded by what queries need, not by the octets that came, of which TCP carries
  65,535: MAX_RECORDS additional records whose owners have MAX_OWNERS octets together, and
  MAX_OPTIONS options. What has more is malformed. A single option may fill the message.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

HEADER = 12
MAX_NAME = 255
MIN_UDP = 512  # what everybody can receive, RFC 1035 4.2.1
MAX_TCP = 65_535

# Flags, first and second octet (RFC 1035 4.1.1, RFC 4035 3.1).
QR, OPCODE, AA, TC, RD = 0x80, 0x78, 0x04, 0x02, 0x01
RA, Z, AD, CD = 0x80, 0x40, 0x20, 0x10

IN, CH, ANY_CLASS = 1, 3, 255
OPT = 41

# Guesses, far above what is in use: queries carry an OPT, and a TSIG or SIG(0) where they are
# signed; fewer than 30 options have a code, and none is of use twice. More would be allowed
# by the RFCs, and would make one message cost what a hundred do.
MAX_RECORDS = 16  # in the additional section
MAX_OWNERS = MAX_NAME + MAX_RECORDS  # octets: the longest name once, else roots
MAX_OPTIONS = 32  # in the OPT record

_OPTION = Struct("!HH").unpack_from  # code, length


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
    TCP_KEEPALIVE = 11  # RFC 7828
    EDE = 15  # RFC 8914


class Malformed(ValueError):
    """A message that is no query: `rcode` is what its sender is told."""

    def __init__(self, problem: str, rcode: Rcode = Rcode.FORMERR) -> None:
        super().__init__(problem)
        self.rcode = rcode


class Edns(NamedTuple):
    """The OPT record of a query. `size` in octets, as sent."""

    size: int
    version: int
    do: bool
    nsid: bool
    keepalive: bool


class Query(NamedTuple):
    """A query that could be read. `question` is name, type and class as asked (case kept)."""

    id: bytes
    rd: bool
    cd: bool
    question: bytes
    name: bytes
    type: int
    cls: int
    edns: Edns | None


def parse(packet: bytes) -> Query:
    """The query in a packet of at least 12 octets whose header says QUERY.

    Raises `Malformed` for everything else; takes bounded time, whatever len(packet).
    """
    counts = packet[4:12]
    if counts[:6] != b"\x00\x01\x00\x00\x00\x00":
        raise Malformed("a query has one question and no answer or authority records")
    additional = counts[6] << 8 | counts[7]
    if additional > MAX_RECORDS:
        raise Malformed("more additional records than a query has")
    end = len(packet)
    position = question_end(packet)
    question = packet[HEADER:position]
    if additional * 11 > end - position:  # the shortest record has 11 octets
        raise Malformed("more records announced than octets sent")
    edns = None
    owners = 0
    for _ in range(additional):
        fixed = _owner_end(packet, position)
        owners += fixed - position
        if owners > MAX_OWNERS:
            raise Malformed("longer owners of additional records than a query has")
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
    """The offset behind the first question of a packet; raises `Malformed`.

    Only plain labels are allowed: there is nothing before the question that a compression
    pointer could point to, and no other label type was ever deployed (RFC 6891 5).
    """
    limit = min(len(packet), HEADER + MAX_NAME)
    position = _labels_end(packet, HEADER, limit)
    if position >= limit:
        raise Malformed("the question's name is cut short, or has over 255 octets")
    if packet[position]:
        raise Malformed("a label type other than plain in the question")
    if position + 5 > len(packet):
        raise Malformed("the question is cut short")
    return position + 5


def _labels_end(packet: bytes, position: int, limit: int) -> int:
    """The offset behind the plain labels that begin at `position`, `limit` or more if cut."""
    while position < limit and 0 < packet[position] < 64:
        position += 1 + packet[position]
    return position


def _owner_end(packet: bytes, start: int) -> int:
    """The offset behind the owner of an additional record."""
    limit = min(len(packet), start + MAX_NAME)
    position = _labels_end(packet, start, limit)
    if position >= limit:
        raise Malformed("a record's owner is cut short, or has over 255 octets")
    length = packet[position]
    if length >= 0xC0:
        return position + 2
    if length:
        raise Malformed("a label type other than plain in a record's owner")
    return position + 1


def _record(packet: bytes, start: int, position: int) -> tuple[int, Edns | None]:
    """Reads over one additional record: the offset behind it, and its EDNS if it is OPT.

    Its owner begins at `start`, its type at `position`.
    """
    end = len(packet)
    if position + 10 > end:
        raise Malformed("a record is cut short")
    type_ = packet[position] << 8 | packet[position + 1]
    behind = position + 10 + (packet[position + 8] << 8 | packet[position + 9])
    if behind > end:
        raise Malformed("a record's data is cut short")
    if type_ != OPT:
        return behind, None
    if position - start != 1 or packet[start]:
        raise Malformed("OPT is owned by the root (RFC 6891 6.1.2)")
    nsid, keepalive = _options(packet, position + 10, behind)
    return behind, Edns(
        size=packet[position + 2] << 8 | packet[position + 3],
        version=packet[position + 5],
        do=bool(packet[position + 6] & 0x80),
        nsid=nsid,
        keepalive=keepalive,
    )


def _options(packet: bytes, position: int, end: int) -> tuple[bool, bool]:
    """Whether the options ask for NSID and for keepalive; others are ignored (RFC 6891 6.1.2)."""
    nsid = keepalive = False
    for _ in range(MAX_OPTIONS):
        if position == end:
            return nsid, keepalive
        data = position + 4
        if data > end:
            raise Malformed("an EDNS option is cut short")
        code, length = _OPTION(packet, position)
        position = data + length
        if position > end:
            raise Malformed("an EDNS option is longer than its record")
        if code == Option.NSID:
            nsid = True
        elif code == Option.TCP_KEEPALIVE:
            keepalive = True
        elif code == Option.CLIENT_SUBNET:
            _check_client_subnet(packet[data:position])
    if position != end:
        raise Malformed("more EDNS options than a query has")
    return nsid, keepalive


def _check_client_subnet(data: bytes) -> None:
    """RFC 7871 6 and 7.1.2: known family, prefix in range, no more octets than it needs."""
    if len(data) < 4:
        raise Malformed("a client subnet option of under 4 octets")
    family, source, scope = data[0] << 8 | data[1], data[2], data[3]
    bits = {1: 32, 2: 128}.get(family)
    if bits is None or source > bits:
        raise Malformed("a client subnet of an unknown family or too long a prefix")
    if scope:
        raise Malformed("a client subnet with a scope in a query")
    address = data[4:]
    if len(address) != (source + 7) // 8:
        raise Malformed("a client subnet whose address does not have its prefix's octets")
    if source % 8 and address[-1] & (0xFF >> source % 8):
        raise Malformed("a client subnet with bits set behind its prefix")


def opt_record(size: int, do: bool, extended_rcode: int = 0, options: bytes = b"") -> bytes:
    """The OPT record of a reply: version 0, our size, DO as asked (RFC 6891 6.1.2, RFC 3225 3)."""
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


def ede(code: int) -> bytes:
    """The extended error option (RFC 8914 2), without text."""
    return option(Option.EDE, code.to_bytes(2, "big"))
