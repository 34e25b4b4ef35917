"""Resource records of replies: bounded reading of hostile messages, and compressed writing.

In `dns/` (wire format, no I/O). Change here: how the records of a reply are read and written.

Every octet comes from the network, so reading follows four rules:

* A message has at most 65,535 octets, and each record takes at least 11 of them. A count that
  the octets cannot hold is refused before anything is allocated for it.
* A compression pointer points strictly backwards (RFC 1035 4.1.4 "a prior occurrence"), so a
  loop cannot be written. Names are remembered by their offset after the first read.
* All names of one message together cost at most `_STEPS` label steps. This bounds the chains of
  pointers that a hostile message can contain.
* Every error raises `Malformed`. The caller then continues to wait for the true reply.

Names in rdata are written out (uncompressed) for the types that may carry compressed names
(RFC 3597 4). Therefore a `Record` does not depend on its message: it can be cached and written
into another message. Its names keep their case; compare `.lower()`.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.dns.message import (
    FIXED_SIZE,
    HEADER,
    IN,
    MAX_MESSAGE,
    OPT,
    QR,
    Malformed,
    Option,
    edns_options,
    fixed_part,
    question_end,
)
from dnsd.dns.names import MAX_NAME, Name, name_end
from dnsd.dns.types import Type

# A reply full of 4,000 addresses takes one step for each record, because its owner is a pointer
# to a name that was read before. A name written out takes one step for each label.
_STEPS = 20_000
_MAX_EDE = 3  # extended errors read from one reply
_MAX_EDE_TEXT = 120  # octets of EXTRA-TEXT passed on
_MAX_POINTER = 0x3FFF

# Where names are in rdata: the octets before the first one, and the number of names.
NAMES_IN_RDATA: dict[int, tuple[int, int]] = {
    # NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME
    **dict.fromkeys((Type.NS, 3, 4, Type.CNAME, 7, 8, 9, Type.PTR, 39), (0, 1)),
    **dict.fromkeys((Type.SOA, 14, 17), (0, 2)),  # SOA, MINFO, RP
    **dict.fromkeys((Type.MX, 18, 21, 36), (2, 1)),  # MX, AFSDB, RT, KX
    26: (2, 2),  # PX
    Type.SRV: (6, 1),
}
_NAPTR = 35
_SOA_NUMBERS = 20
_LENGTHS = {int(Type.A): 4, int(Type.AAAA): 16}
_COMPRESSED_RDATA = frozenset((Type.NS, Type.CNAME, Type.PTR, Type.MX, Type.SOA))


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
    """A parsed reply. `errors` are its extended errors: (INFO-CODE, text)."""

    rcode: int
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    errors: tuple[tuple[int, str], ...] = ()


def read_reply(data: bytes) -> Reply:
    """The reply in a message; raises `Malformed`.

    Takes time linear in len(data), and at most 255 octets of memory for each record.
    """
    if not HEADER <= len(data) <= MAX_MESSAGE:
        raise Malformed(f"{len(data)} octets are not a message")
    questions, *counts = (data[at] << 8 | data[at + 1] for at in (4, 6, 8, 10))
    if questions != 1 or not data[2] & QR:
        raise Malformed("not a reply to one question")
    reader = _Reader(data, question_end(data))
    if sum(counts) * (1 + FIXED_SIZE) > len(data) - reader.position:
        raise Malformed("the header counts more records than the octets can hold")
    answer, authority, _ = (reader.section(count) for count in counts)
    if reader.position != len(data):
        raise Malformed("octets after the last record")
    return Reply(
        rcode=(data[3] & 0x0F) | reader.extended_rcode << 4,
        answer=answer,
        authority=authority,
        errors=tuple(reader.errors),
    )


class _Reader:
    """A position in a message, the content of its OPT record, and the steps that are left."""

    __slots__ = ("data", "edns", "errors", "extended_rcode", "names", "position", "steps")

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.names: dict[int, Name] = {}
        self.steps = _STEPS
        self.edns = False
        self.extended_rcode = 0
        self.errors: list[tuple[int, str]] = []

    def section(self, count: int) -> tuple[Record, ...]:
        """The records of one section that are of class IN; OPT is stored, not returned."""
        found = (self.record() for _ in range(count))
        return tuple([record for record in found if record is not None])

    def record(self) -> Record | None:
        owner, position = self.name_at(self.position)
        type_, class_, ttl, start, self.position = fixed_part(self.data, position)
        if type_ == OPT:
            self.opt(owner, ttl, start, self.position)
            return None
        if class_ != IN:
            return None
        rdata = self.rdata(type_, start, self.position)
        # A TTL with its top bit set is read as zero (RFC 2181 8).
        return Record(owner, type_, 0 if ttl & 0x80000000 else ttl, rdata)

    def name_at(self, position: int) -> tuple[Name, int]:
        """The name at an offset, written out, and the offset after it."""
        data, start, behind = self.data, position, 0
        jump = (0, 0)  # the target of the first pointer, and the octets before it
        out = bytearray()
        floor = position  # a pointer must point before the place where this stretch began
        while True:
            self.steps -= 1
            if self.steps < 0:
                raise Malformed("the names take too many steps to read")
            if position >= len(data):
                raise Malformed("a name is cut short")
            length = data[position]
            if length < 64:
                out += data[position : position + 1 + length]
                position += 1 + length
                if position > len(data) or len(out) > MAX_NAME:
                    raise Malformed("a name is cut short or has over 255 octets")
                if not length:
                    break
                continue
            if length < 0xC0 or position + 1 >= len(data):
                raise Malformed("a label type other than plain")
            target = (length & 0x3F) << 8 | data[position + 1]
            if not HEADER <= target < floor:
                raise Malformed("a compression pointer does not point backwards")
            if not behind:
                behind, jump = position + 2, (target, len(out))
            known = self.names.get(target)
            if known is not None:
                out += known
                break
            position = floor = target
        if len(out) > MAX_NAME:
            raise Malformed("a name has over 255 octets")
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
                raise Malformed("an address record of the wrong size")
            if type_ not in NAMES_IN_RDATA:
                return self.data[start:end]
            layout = NAMES_IN_RDATA[type_]
        prefix, count = layout
        position = start + prefix
        out = bytearray(self.data[start:position])
        for _ in range(count):
            if position >= end:
                raise Malformed("a record's data is shorter than its names")
            name, position = self.name_at(position)
            out += name
        rest = _SOA_NUMBERS if type_ == Type.SOA else 0
        if end - position != rest:
            raise Malformed("the length of a record's data is not that of its names and numbers")
        return bytes(out + self.data[position:end])

    def naptr_prefix(self, start: int, end: int) -> int:
        """The octets before the name of a NAPTR: two numbers, three strings (RFC 3403 4.1)."""
        position = start + 4
        for _ in range(3):
            if position >= end:
                raise Malformed("a NAPTR record is cut short")
            position += 1 + self.data[position]
        return position - start

    def opt(self, owner: Name, ttl: int, start: int, end: int) -> None:
        if self.edns or owner != b"\x00":
            raise Malformed("a second OPT record, or one whose owner is not the root")
        self.edns = True
        self.extended_rcode = ttl >> 24
        for code, data in edns_options(self.data, start, end):
            if code == Option.EDE and len(data) >= 2 and len(self.errors) < _MAX_EDE:
                self.errors.append((data[0] << 8 | data[1], _extra_text(data[2:])))


def _extra_text(raw: bytes) -> str:
    """EXTRA-TEXT (RFC 8914 2: UTF-8, perhaps with a NUL at its end), printable and bounded."""
    text = raw[:_MAX_EDE_TEXT].decode("utf-8", "ignore")
    return "".join(char for char in text if char.isprintable())


class Writer:
    """Compressed records of a message with one question.

    `body` begins at offset 12 + len(question). `ttls` are the offsets of the TTL fields in
    `body`. All owners are compressed, and rdata for the types of RFC 1035 only (RFC 3597 4).
    """

    __slots__ = ("_base", "_known", "body", "ttls")

    def __init__(self, name: Name) -> None:
        self.body = bytearray()
        self.ttls: list[int] = []
        self._base = HEADER + len(name) + 4
        self._known: dict[Name, int] = {}
        self._remember(name.lower(), HEADER)

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
        """Writes a name: the labels that are new in this message, then a pointer to the rest."""
        key = name.lower()
        position = 0
        while name[position]:
            at = self._known.get(key[position:])
            if at is not None:
                self._remember(key, self._base + len(self.body), position)
                self.body += name[:position] + (0xC000 | at).to_bytes(2, "big")
                return
            position += 1 + name[position]
        self._remember(key, self._base + len(self.body))
        self.body += name

    def _remember(self, key: Name, offset: int, end: int = MAX_NAME) -> None:
        """Remembers where the name and its parents begin, as far as a pointer reaches."""
        position = 0
        while position < end and key[position] and offset + position <= _MAX_POINTER:
            self._known.setdefault(key[position:], offset + position)
            position += 1 + key[position]
