"""The values of records: zone-file text in, wire form out.

Types that dnsd knows and those that dnslib can write; all others take the generic form of
RFC 3597. A room of its own because dnslib is worth importing only where there are records.
"""

from __future__ import annotations

from dnslib import CLASS, QTYPE, RDMAP, RR, DNSBuffer

from dnsd.admin.records import BadRecord
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import Name, name_from_text, text_of
from dnsd.dns.types import Type

MAX_VALUE = 4096  # characters of one value

# Made by dnsd itself, meta types, or of no use without signatures over the whole zone.
_REFUSED = {"SOA", "OPT", "ANY", "AXFR", "IXFR", "TSIG", "TKEY", "MAILA", "MAILB", "RRSIG", "NSEC"}
_TARGETS = (Type.NS, Type.CNAME, Type.PTR)


def type_number(text: str) -> tuple[int, str]:
    """The number and the name of a type that can be pinned. Raises BadRecord."""
    upper = text.upper()
    number = QTYPE.reverse.get(upper)
    if number is None and upper.startswith("TYPE") and upper[4:].isdecimal():
        number = int(upper[4:]) if len(upper) < 10 else 0
        upper = QTYPE.forward.get(number, f"TYPE{number}")
    if number is None or not 0 < number < 65536:
        raise BadRecord(f"{text!r} is no record type")
    if upper in _REFUSED or 128 <= number < 256:
        raise BadRecord(f"{upper} records cannot be pinned; dnsd makes them, or nobody does")
    return int(number), upper


def rdata(zone: Name, type_: str, number: int, value: str) -> bytes:
    """The wire form of one value. Raises BadRecord with the value and the reason."""
    try:
        if len(value) > MAX_VALUE or not value.isprintable():
            raise BadRecord(f"has {len(value)} characters, or some that cannot be printed")
        if type_ not in RDMAP:
            return _generic(value)
        if number in (Type.A, Type.AAAA):
            packed = pack_address(value.strip())
            if len(packed) != (4 if number == Type.A else 16):
                raise BadRecord("is an address of the other family")
            return packed
        if number in _TARGETS:
            return name_from_text(value.strip(), zone)
        if number == Type.SRV:
            return _srv(zone, value)
        return _by_dnslib(zone, type_, number, value)
    except (ValueError, IndexError, OverflowError) as error:
        raise BadRecord(f"{value[:100]!r} is no {type_} value: {error}") from error


def _generic(value: str) -> bytes:
    """RFC 3597 5: backslash, hash, length, hexadecimal digits in any number of words."""
    words = value.split()
    if len(words) < 2 or words[0] != "\\#" or not words[1].isdecimal():
        raise BadRecord("dnsd cannot read its text; write it as \\# LENGTH HEX")
    rdata = bytes.fromhex("".join(words[2:]))
    if len(rdata) != int(words[1]):
        raise BadRecord(f"has {len(rdata)} octets, not {words[1]}")
    return rdata


def _srv(zone: Name, value: str) -> bytes:
    words = value.split()
    if len(words) != 4:
        raise BadRecord("must be PRIORITY WEIGHT PORT TARGET")
    numbers = [int(word) for word in words[:3]]
    if not all(0 <= number < 65536 for number in numbers):
        raise BadRecord("a number is not in 0 to 65535")
    head = b"".join(number.to_bytes(2, "big") for number in numbers)
    return head + name_from_text(words[3], zone)


class _Uncompressed(DNSBuffer):  # type: ignore[misc]  # dnslib has no types
    """Writes names in full: what lies in a zone has no message to point into."""

    def encode_name(self, name: object) -> None:
        self.encode_name_nocompress(name)


def _by_dnslib(zone: Name, type_: str, number: int, value: str) -> bytes:
    # One line, whose owner and type are ours: the value cannot become a directive, and
    # what it says beyond one record is refused.
    try:
        (made,) = RR.fromZone(f". 0 IN {type_} {value}", origin=text_of(zone))
        buffer = _Uncompressed()
        made.rdata.pack(buffer)
    except Exception as error:  # dnslib raises whatever its own parsing runs into
        raise BadRecord(str(error) or type(error).__name__) from error
    if made.rtype != number or made.rclass != CLASS.IN:
        raise BadRecord("is a record of another type or class")
    rdata = bytes(buffer.data)
    if not 0 < len(rdata) < 65536:
        raise BadRecord(f"has {len(rdata)} octets")
    return rdata
