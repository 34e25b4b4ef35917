"""What an upstream said: replies read, bounded, and told apart from what others forged.

Every octet here comes from the network, so reading follows four rules:

* a reply is at most 65,535 octets; each record takes at least 11 of them, and a count that
  the octets cannot hold is refused before anything is made of it;
* a compression pointer leads strictly backwards (RFC 1035 4.1.4 "a prior occurrence"), so
  no loop can be written, and names read once are remembered by their offset;
* all names of one reply together may cost `_STEPS` label steps: the pointers that hostile
  replies stack up end there;
* whatever is wrong raises `BadReply`: the caller goes on waiting for the true reply.

Names inside rdata are written out (uncompressed) for the types that may carry compressed
ones (RFC 3597 4), so that a `Record` stands for itself: it can be cached, moved to another
message and written again. Its names keep the case in which they came; compare `.lower()`.
"""

from __future__ import annotations

from struct import Struct as Packing

from msgspec import Struct

from dnsd.dns.message import CD, HEADER, IN, OPT, QR, RA, RD, TC, Option
from dnsd.dns.names import MAX_NAME, Name
from dnsd.dns.types import Type

MAX_MESSAGE = 65_535
# A reply full of 4,000 addresses takes one step a record (its owner is a pointer that was
# read before); a name written out takes as many as it has labels.
_STEPS = 20_000
_MAX_EDE = 3  # extended errors read from one reply
_MAX_EDE_TEXT = 120  # octets of EXTRA-TEXT passed on
_FIXED = Packing("!HHIH")  # type, class, TTL, RDLENGTH
_HEADER = Packing("!HBBHHHH")

# Where names stand in rdata: octets before the first one, how many there are.
NAMES_IN_RDATA: dict[int, tuple[int, int]] = {
    Type.NS: (0, 1),
    3: (0, 1),  # MD
    4: (0, 1),  # MF
    Type.CNAME: (0, 1),
    Type.SOA: (0, 2),
    7: (0, 1),  # MB
    8: (0, 1),  # MG
    9: (0, 1),  # MR
    Type.PTR: (0, 1),
    14: (0, 2),  # MINFO
    Type.MX: (2, 1),
    17: (0, 2),  # RP
    18: (2, 1),  # AFSDB
    21: (2, 1),  # RT
    26: (2, 2),  # PX
    Type.SRV: (6, 1),
    36: (2, 1),  # KX
    39: (0, 1),  # DNAME
}
_NAPTR = 35
_SOA_NUMBERS = 20
_LENGTHS = {int(Type.A): 4, int(Type.AAAA): 16}


class BadReply(ValueError):
    """Octets that are no well-formed reply; the text says what is wrong with them."""


class Record(Struct, frozen=True, gc=False):
    """One resource record of class IN. `ttl` in seconds, with RFC 2181 8 applied."""

    name: Name
    type: int
    ttl: int
    rdata: bytes

    @property
    def key(self) -> Name:
        """The owner in lower case, for comparison."""
        return self.name.lower()


class Reply(Struct, frozen=True):
    """A reply as it was read. `errors` are its extended errors: (INFO-CODE, text)."""

    rcode: int
    authoritative: bool
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    edns: bool = False
    errors: tuple[tuple[int, str], ...] = ()


def is_reply_to(data: bytes, query_id: bytes, question: bytes) -> bool:
    """Whether the octets claim to answer this query: ID, QR, opcode and the very question.

    The question is compared with its case: a query spelled at random (0x20) must come back
    in the same spelling. The sender is not known here; sockets are connected for that.
    """
    return (
        data[:2] == query_id
        and len(data) >= HEADER + len(question)
        and data[2] & 0xF8 == QR
        and data[4:6] == b"\x00\x01"
        and data[HEADER : HEADER + len(question)] == question
    )


def is_recased(data: bytes, query_id: bytes, question: bytes) -> bool:
    """Whether the octets would be a reply but for the case of their question."""
    end = HEADER + len(question)
    return is_reply_to(
        data[:HEADER] + data[HEADER:end].lower() + data[end:], query_id, question.lower()
    )


def is_truncated(data: bytes) -> bool:
    """Whether TC is set in a message of at least 12 octets."""
    return bool(data[2] & TC)


def read_reply(data: bytes) -> Reply:
    """The reply in these octets; raises `BadReply`.

    Takes time linear in len(data), and no more memory than 255 octets a record.
    """
    if not HEADER <= len(data) <= MAX_MESSAGE:
        raise BadReply(f"{len(data)} octets are no message")
    _, flags, low, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if questions != 1 or not flags & QR:
        raise BadReply("not a reply to one question")
    reader = _Reader(data)
    reader.question()
    if (answers + authorities + additionals) * 11 > len(data) - reader.position:
        raise BadReply("more records announced than octets sent")
    answer = reader.section(answers)
    authority = reader.section(authorities)
    reader.section(additionals)
    if reader.position != len(data):
        raise BadReply("octets after the last record")
    return Reply(
        rcode=(low & 0x0F) | reader.extended_rcode << 4,
        authoritative=bool(flags & 0x04),
        answer=answer,
        authority=authority,
        edns=reader.edns,
        errors=tuple(reader.errors),
    )


class _Reader:
    """A position in a message, what was learned of its OPT, and what may still be spent."""

    __slots__ = ("data", "edns", "errors", "extended_rcode", "names", "position", "steps")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = HEADER
        self.names: dict[int, Name] = {}
        self.steps = _STEPS
        self.edns = False
        self.extended_rcode = 0
        self.errors: list[tuple[int, str]] = []

    def question(self) -> None:
        self.name()
        if self.position + 4 > len(self.data):
            raise BadReply("the question is cut short")
        self.position += 4

    def section(self, count: int) -> tuple[Record, ...]:
        """The records of one section that are of class IN; OPT is noted, not returned."""
        out = []
        for _ in range(count):
            record = self.record()
            if record is not None:
                out.append(record)
        return tuple(out)

    def record(self) -> Record | None:
        owner = self.name()
        start = self.position + 10
        if start > len(self.data):
            raise BadReply("a record is cut short")
        type_, class_, ttl, length = _FIXED.unpack_from(self.data, self.position)
        end = start + length
        if end > len(self.data):
            raise BadReply("a record's data is cut short")
        self.position = end
        if type_ == OPT:
            self.opt(owner, ttl, self.data[start:end])
            return None
        if class_ != IN:
            return None
        rdata = self.rdata(type_, start, end)
        # A TTL with its top bit set is read as zero (RFC 2181 8).
        return Record(owner, type_, 0 if ttl & 0x80000000 else ttl, rdata)

    def name(self) -> Name:
        """The name at the position, which moves behind it."""
        name, self.position = self.name_at(self.position)
        return name

    def name_at(self, position: int) -> tuple[Name, int]:
        """The name at an offset, written out, and the offset behind it."""
        data, start, behind = self.data, position, 0
        jump = (0, 0)  # where the first pointer led to, and the octets before it
        out = bytearray()
        floor = position  # a pointer must lead before the place where this stretch began
        while True:
            self.steps -= 1
            if self.steps < 0:
                raise BadReply("its names take too many steps to read")
            if position >= len(data):
                raise BadReply("a name is cut short")
            length = data[position]
            if length < 64:
                out += data[position : position + 1 + length]
                position += 1 + length
                if position > len(data) or len(out) > MAX_NAME:
                    raise BadReply("a name is cut short or has over 255 octets")
                if not length:
                    break
                continue
            if length < 0xC0 or position + 1 >= len(data):
                raise BadReply("a label type other than plain")
            target = (length & 0x3F) << 8 | data[position + 1]
            if not HEADER <= target < floor:
                raise BadReply("a compression pointer that does not lead backwards")
            if not behind:
                behind, jump = position + 2, (target, len(out))
            known = self.names.get(target)
            if known is not None:
                out += known
                break
            position = floor = target
        if len(out) > MAX_NAME:
            raise BadReply("a name has over 255 octets")
        name = bytes(out)
        self.names[start] = name
        if behind:
            self.names[jump[0]] = name[jump[1] :]
        return name, behind or position

    def rdata(self, type_: int, start: int, end: int) -> bytes:
        """The data of a record with its names written out."""
        if type_ == _NAPTR:
            layout = self.naptr_prefix(start, end), 1
        else:
            fixed = _LENGTHS.get(type_)
            if fixed is not None and fixed != end - start:
                raise BadReply("an address record of the wrong size")
            if type_ not in NAMES_IN_RDATA:
                return self.data[start:end]
            layout = NAMES_IN_RDATA[type_]
        prefix, count = layout
        position = start + prefix
        out = bytearray(self.data[start:position])
        for _ in range(count):
            if position >= end:
                raise BadReply("a record's data is shorter than its names")
            name, position = self.name_at(position)
            out += name
        rest = _SOA_NUMBERS if type_ == Type.SOA else 0
        if end - position != rest:
            raise BadReply("a record's data is of another length than its names and numbers")
        return bytes(out + self.data[position:end])

    def naptr_prefix(self, start: int, end: int) -> int:
        """Octets before the name of a NAPTR: two numbers, three strings (RFC 3403 4.1)."""
        position = start + 4
        for _ in range(3):
            if position >= end:
                raise BadReply("a NAPTR is cut short")
            position += 1 + self.data[position]
        return position - start

    def opt(self, owner: Name, ttl: int, options: bytes) -> None:
        if self.edns or owner != b"\x00":
            raise BadReply("an OPT record that is not the only one, or not the root's")
        self.edns = True
        self.extended_rcode = ttl >> 24
        position = 0
        while position + 4 <= len(options):
            code = options[position] << 8 | options[position + 1]
            behind = position + 4 + (options[position + 2] << 8 | options[position + 3])
            if behind > len(options):
                raise BadReply("an EDNS option is longer than its record")
            if code == Option.EDE and behind - position >= 6 and len(self.errors) < _MAX_EDE:
                info = options[position + 4 : behind]
                self.errors.append((info[0] << 8 | info[1], _text(info[2:])))
            position = behind
        if position != len(options):
            raise BadReply("an EDNS option is cut short")


def _text(raw: bytes) -> str:
    """EXTRA-TEXT (RFC 8914 2: UTF-8, perhaps with a NUL at its end), printable and bounded."""
    text = raw[:_MAX_EDE_TEXT].decode("utf-8", "ignore")
    return "".join(char for char in text if char.isprintable())


def query(
    query_id: bytes,
    question: bytes,
    *,
    do: bool = False,
    cd: bool = False,
    size: int = 1232,
    options: bytes = b"",
) -> bytes:
    """A query for `question` (name, type, class; case as given), RD set.

    `size` is our EDNS UDP size; 0 leaves OPT out (for upstreams that cannot take it).
    """
    header = query_id + bytes((RD, CD if cd else 0)) + b"\x00\x01\x00\x00\x00\x00"
    if not size:
        return header + b"\x00\x00" + question
    opt = b"\x00\x00\x29%b\x00\x00%b\x00%b%b" % (
        size.to_bytes(2, "big"),
        b"\x80" if do else b"\x00",
        len(options).to_bytes(2, "big"),
        options,
    )
    return header + b"\x00\x01" + question + opt


# ---------------------------------------------------------------------------------------
# Writing: records into a message whose question is known.

_COMPRESSED_RDATA = frozenset((Type.NS, Type.CNAME, Type.PTR, Type.MX, Type.SOA))
_MAX_POINTER = 0x3FFF


class Writer:
    """Records, compressed, as they stand in a message behind one question.

    `body` begins at offset 12 + len(question); `ttls` are the offsets of the TTL fields in
    it. Owners are compressed always, rdata for the types of RFC 1035 only (RFC 3597 4).
    """

    __slots__ = ("_base", "_known", "body", "ttls")

    def __init__(self, name: Name) -> None:
        self.body = bytearray()
        self.ttls: list[int] = []
        self._base = HEADER + len(name) + 4
        self._known: dict[Name, int] = {}
        self._learn(name.lower(), HEADER)

    def add(self, record: Record) -> None:
        body = self.body
        self._name(record.name)
        self.ttls.append(len(body) + 4)
        body += record.type.to_bytes(2, "big")
        body += b"\x00\x01"
        body += record.ttl.to_bytes(4, "big")
        at = len(body)
        body += b"\x00\x00"
        if record.type in _COMPRESSED_RDATA:
            self._rdata(record)
        else:
            body += record.rdata
        body[at : at + 2] = (len(body) - at - 2).to_bytes(2, "big")

    def _rdata(self, record: Record) -> None:
        prefix, count = NAMES_IN_RDATA[record.type]
        rdata, position = record.rdata, prefix
        self.body += rdata[:prefix]
        for _ in range(count):
            end = name_end(rdata, position)
            self._name(rdata[position:end])
            position = end
        self.body += rdata[position:]

    def _name(self, name: Name) -> None:
        """Writes a name: the labels nobody wrote before, then a pointer to the rest."""
        key = name.lower()
        here = position = 0
        while name[position]:
            at = self._known.get(key[position:])
            if at is not None:
                self._learn(key, self._base + len(self.body), position)
                self.body += name[here:position] + (0xC000 | at).to_bytes(2, "big")
                return
            position += 1 + name[position]
        self._learn(key, self._base + len(self.body))
        self.body += name

    def _learn(self, key: Name, offset: int, end: int = 255) -> None:
        """Remembers where the name and its parents stand, as far as a pointer reaches."""
        position = 0
        while position < end and key[position] and offset + position <= _MAX_POINTER:
            self._known.setdefault(key[position:], offset + position)
            position += 1 + key[position]


def name_end(data: bytes, position: int) -> int:
    """The offset behind an uncompressed, well-formed name."""
    while data[position]:
        position += 1 + data[position]
    return position + 1


def header(
    query_id: bytes,
    *,
    rcode: int,
    rd: bool,
    cd: bool,
    aa: bool = False,
    tc: bool = False,
    counts: bytes,
) -> bytes:
    """The header of a reply of ours, RA set; `counts` are the last six octets: AN, NS, AR."""
    return b"%b%c%c\x00\x01%b" % (
        query_id,
        QR | (RD if rd else 0) | (0x04 if aa else 0) | (TC if tc else 0),
        RA | (CD if cd else 0) | (rcode & 0x0F),
        counts,
    )
