"""Record data: zone-file text to wire form (RFC 1035 5.1, RFC 3597 5).

In `dns/` (wire format, no I/O). Change here: which record types can be written as text, and how.

`rdata_from_text` reads the value of a pinned record, of any type that dnslib can write or in the
generic form. `endpoint_rdatas` reads the targets of a DNSEndpoint as external-dns does: names are
absolute, and TXT is one unquoted string. `text.py` has the other direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

from dnsd.dns.addresses import pack_address
from dnsd.dns.names import BadName, Name, name_from_text, text_of
from dnsd.dns.types import Type

MAX_VALUE = 4096  # characters of one value
MAX_RDATAS = 1000  # of one RRset; more do not fit any message
_MAX_TXT = 16_384  # octets of one TXT

# Made by dnsd itself, meta types, or useless without signatures over the whole zone.
_REFUSED = {"SOA", "OPT", "ANY", "AXFR", "IXFR", "TSIG", "TKEY", "MAILA", "MAILB", "RRSIG", "NSEC"}
_NAMES = (Type.NS, Type.CNAME, Type.PTR)


class BadRecord(ValueError):
    """Text that is not a record; names the value and the reason."""


def type_number(text: str) -> tuple[int, str]:
    """The number and the name of a type that can be pinned. Raises BadRecord."""
    from dnslib import QTYPE  # imported only where records are read: most servers have none

    upper = text.upper()
    number = QTYPE.reverse.get(upper)
    if number is None and upper.startswith("TYPE") and upper[4:].isdecimal():
        number = int(upper[4:]) if len(upper) < 10 else 0
        upper = QTYPE.forward.get(number, f"TYPE{number}")
    if number is None or not 0 < number < 65536:
        raise BadRecord(f"{text!r} is not a record type")
    if upper in _REFUSED or 128 <= number < 256:
        raise BadRecord(
            f"{upper} records cannot be pinned: dnsd generates them, or only queries have this type"
        )
    return int(number), upper


def rdata_from_text(type_: int, value: str, origin: Name) -> bytes:
    """The wire form of one value, whose relative names are completed by `origin`.

    Raises BadRecord.
    """
    from dnslib import QTYPE, RDMAP

    name = QTYPE.forward.get(type_, f"TYPE{type_}")
    try:
        if len(value) > MAX_VALUE or not value.isprintable():
            raise BadRecord(f"has {len(value)} characters, or some that cannot be printed")
        if name not in RDMAP:
            return _generic(value)
        if type_ in (Type.A, Type.AAAA):
            return _address(value.strip(), 4 if type_ == Type.A else 16)
        if type_ in _NAMES:
            return name_from_text(value.strip(), origin)
        if type_ == Type.SRV:
            return _numbers_and_name(value, 3, origin)
        return _by_dnslib(origin, name, type_, value)
    except (ValueError, IndexError, OverflowError) as error:
        raise BadRecord(f"{value[:100]!r} is not a value of type {name}: {error}") from error


def endpoint_rdatas(type_: str, targets: Sequence[str]) -> tuple[int, list[bytes]]:
    """The type's number and an rdata for each target of a DNSEndpoint. Raises BadRecord.

    NS is not among the types: a name server below the zone would be a delegation, which dnsd
    does not serve.
    """
    reader = _ENDPOINT_READERS.get(type_)
    if reader is None:
        raise BadRecord(
            f"recordType {type_!r} is not supported; use {', '.join(_ENDPOINT_READERS)}"
        )
    if not 0 < len(targets) <= MAX_RDATAS:
        raise BadRecord(f"has {len(targets)} targets, must have 1 to {MAX_RDATAS}")
    out = []
    for i, target in enumerate(targets):
        try:
            out.append(reader(target))
        except ValueError as error:
            raise BadRecord(f"targets[{i}] {target[:100]!r}: {error}") from error
    return int(Type[type_]), out


def _address(text: str, width: int) -> bytes:
    try:
        packed = pack_address(text)
    except ValueError:
        packed = b""
    if len(packed) != width:
        raise BadRecord(f"is not an IPv{4 if width == 4 else 6} address")
    return packed


def _absolute(text: str) -> Name:
    """The name in text that is absolute with and without its trailing dot."""
    if not text.rstrip("."):
        raise BadName("is missing")
    return name_from_text(text.rstrip(".") + ".")


def _numbers_and_name(text: str, count: int, origin: Name | None = None) -> bytes:
    """`count` numbers of 16 bits and a name, which is absolute without `origin`."""
    words = text.split()
    numbers = words[:count]
    if len(words) != count + 1 or not all(one.isascii() and one.isdigit() for one in numbers):
        raise BadRecord(f"must be {'PRIORITY WEIGHT PORT' if count == 3 else 'PREFERENCE'} TARGET")
    values = [int(one[:6]) for one in numbers]
    if any(value > 65535 for value in values):
        raise BadRecord("a number is not in 0 to 65535")
    name = _absolute(words[-1]) if origin is None else name_from_text(words[-1], origin)
    return pack(f">{count}H", *values) + name


def _txt(text: str) -> bytes:
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    raw = text.encode()
    if len(raw) > _MAX_TXT:
        raise BadRecord(f"has {len(raw)} octets, the limit is {_MAX_TXT}")
    pieces = [raw[at : at + 255] for at in range(0, len(raw), 255)] or [b""]
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


_ENDPOINT_READERS = {
    "A": lambda text: _address(text, 4),
    "AAAA": lambda text: _address(text, 16),
    "CNAME": _absolute,
    "MX": lambda text: _numbers_and_name(text, 1),
    "SRV": lambda text: _numbers_and_name(text, 3),
    "TXT": _txt,
}


def _generic(value: str) -> bytes:
    """RFC 3597 5: backslash, hash, length, and hexadecimal digits in any number of words."""
    words = value.split()
    if len(words) < 2 or words[0] != "\\#" or not words[1].isdecimal():
        raise BadRecord("dnsd cannot read the text of this type; write it as \\# LENGTH HEX")
    rdata = bytes.fromhex("".join(words[2:]))
    if len(rdata) != int(words[1]):
        raise BadRecord(f"has {len(rdata)} octets, not {words[1]}")
    return rdata


def _by_dnslib(origin: Name, name: str, type_: int, value: str) -> bytes:
    from dnslib import CLASS, RR, DNSBuffer

    class Uncompressed(DNSBuffer):  # type: ignore[misc]  # dnslib has no types
        """Writes names in full, because an rdata of the zone has no message to point into."""

        def encode_name(self, name: object) -> None:
            self.encode_name_nocompress(name)

    # The text is one line whose owner and type are set here: the value cannot become a directive,
    # and everything after the first record is refused.
    try:
        (made,) = RR.fromZone(f". 0 IN {name} {value}", origin=text_of(origin))
        buffer = Uncompressed()
        made.rdata.pack(buffer)
    except Exception as error:  # dnslib's parser raises exceptions of any type
        raise BadRecord(str(error) or type(error).__name__) from error
    if made.rtype != type_ or made.rclass != CLASS.IN:
        raise BadRecord("is a record of another type or class")
    rdata = bytes(buffer.data)
    if not 0 < len(rdata) < 65536:
        raise BadRecord(f"has {len(rdata)} octets")
    return rdata
