"""Records that somebody wrote down as text: from their presentation form to rdata.

Of the types that DNSEndpoint objects use. What names a name in its text is absolute, with or
without the trailing dot, as external-dns reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

from dnsd.dns.addresses import pack_address
from dnsd.dns.names import BadName, Name, name_from_text
from dnsd.dns.types import Type

MAX_RDATAS = 1000  # of one RRset; what is beyond fits no message
_MAX_TXT = 16_384  # octets of one TXT


class BadRecord(ValueError):
    """A record that cannot be served; says why."""


def rdata_of(type_: str, targets: Sequence[str]) -> tuple[int, list[bytes]]:
    """The type's number and an rdata for each target. Raises BadRecord.

    NS is not among the types: a name server below the zone would be a delegation, and there
    are none here.
    """
    reader = _READERS.get(type_)
    if reader is None:
        raise BadRecord(f"recordType {type_!r} is not served, only {', '.join(_READERS)}")
    if not 0 < len(targets) <= MAX_RDATAS:
        raise BadRecord(f"has {len(targets)} targets, must have 1 to {MAX_RDATAS}")
    out = []
    for i, target in enumerate(targets):
        try:
            out.append(reader(target))
        except ValueError as error:
            raise BadRecord(f"targets[{i}]: {error}") from error
    return int(Type[type_]), out


def _name(text: str) -> Name:
    if not text.rstrip("."):
        raise BadName("is missing")
    return name_from_text(text.rstrip(".") + ".").lower()


def _a(text: str) -> bytes:
    return _address(text, 4, "IPv4")


def _aaaa(text: str) -> bytes:
    return _address(text, 16, "IPv6")


def _address(text: str, width: int, family: str) -> bytes:
    try:
        packed = pack_address(text)
    except ValueError:
        packed = b""
    if len(packed) != width:
        raise BadRecord(f"{text!r} is no {family} address")
    return packed


def _numbers(text: str, count: int) -> tuple[list[int], str]:
    """`count` numbers of 16 bits and what follows them."""
    *numbers, rest = text.split(maxsplit=count) if text.strip() else [""]
    if len(numbers) != count or not all(one.isascii() and one.isdigit() for one in numbers):
        raise BadRecord(f"{text!r} does not begin with {count} numbers and a name")
    values = [int(one[:6]) for one in numbers]
    if any(value > 65535 for value in values):
        raise BadRecord(f"{text!r} has a number over 65535")
    return values, rest


def _srv(text: str) -> bytes:
    (priority, weight, port), target = _numbers(text, 3)
    return pack(">HHH", priority, weight, port) + _name(target)


def _mx(text: str) -> bytes:
    (preference,), target = _numbers(text, 1)
    return pack(">H", preference) + _name(target)


def _txt(text: str) -> bytes:
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    raw = text.encode()
    if len(raw) > _MAX_TXT:
        raise BadRecord(f"has {len(raw)} octets, the limit is {_MAX_TXT}")
    pieces = [raw[at : at + 255] for at in range(0, len(raw), 255)] or [b""]
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


_READERS = {
    "A": _a,
    "AAAA": _aaaa,
    "CNAME": _name,
    "MX": _mx,
    "SRV": _srv,
    "TXT": _txt,
}
