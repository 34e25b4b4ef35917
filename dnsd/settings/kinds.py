"""Kinds of values: how the text of a setting becomes a value, and how a value becomes text.

In `settings/` (below every package but dns/). Change here: numbers, durations, names, and lists.

A value arrives as a flag or an environment variable (text) or from a YAML file (text, number,
boolean, list). The `parse` of a `Kind` reads all of these and raises `BadValue`, whose text ends
the sentence "VALUE ...": `is not an address and port, like 127.0.0.1:1053`. The caller adds the
origin: the flag, the variable, or the file and the line. `show` writes a value as YAML, so the
reference and the commented file derive from the declared defaults.

This module does no I/O, because zone/ and answer/ import it. Kinds that look at the file system
are in `paths.py`.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from msgspec import Struct

from dnsd.dns.addresses import Address, address_text, pack_address
from dnsd.dns.names import MAX_NAME, ROOT, BadName, Name, name_from_text, text_of

# A file may be damaged: an error quotes at most this much of a value.
_quote = reprlib.Repr()
_quote.maxstring = _quote.maxother = 80
_quote.maxlist = _quote.maxdict = 4
_quote.maxlevel = 2


def quoted(value: object) -> str:
    """`value` for an error message: at most 80 characters, plain text without quotes."""
    if isinstance(value, str) and value and len(value) <= 80 and value.isprintable():
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quote.repr(value)


def in_quotes(value: object) -> str:
    """`value` as a text of YAML that needs no escapes."""
    return f'"{value}"'


class BadValue(ValueError):
    """`value` is not of its kind; `problem` ends the sentence "VALUE ..."."""

    def __init__(self, value: object, problem: str) -> None:
        self.value, self.problem = value, problem
        super().__init__(f"{quoted(value)} {problem}")


class Kind(Struct, frozen=True):
    """One kind of value. `many`: `parse` accepts and returns several values (a tuple)."""

    name: str  # in the reference: "duration"
    metavar: str  # in --help: "TIME"
    parse: Callable[[object], Any]  # raises BadValue
    show: Callable[[Any], str] = str
    many: bool = False
    flag: bool = False  # a switch on the command line: --x/--no-x
    flow: bool = False  # as a flag or a variable, YAML in flow style


# ---------------------------------------------------------------------------------------
# Plain kinds.


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue(value, "is not text; put it in quotes")
    if not value.isprintable():
        raise BadValue(value, "has characters that are not printable")
    return value


def short_text(most: int) -> Kind:
    """Text of at most `most` octets of UTF-8, which is what a DNS message can hold."""

    def parse(value: object) -> str:
        text = _text(value)
        octets = len(text.encode())
        if octets > most:
            raise BadValue(value, f"has {octets} octets, the limit is {most}; shorten it")
        return text

    return Kind(f"text, up to {most} octets", "TEXT", parse, _show_text)


# What YAML 1.1 does not read as text when it is not in quotes.
_YAML_WORD = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|~|[-+.0-9_:e]+|0x[0-9a-f]+")


def _show_text(value: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./:-]*", value) and not value.endswith(":")
    if plain and not _YAML_WORD.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _boolean(value: object) -> bool:
    found = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise BadValue(value, "is neither true nor false")
    return found


TEXT = Kind("text", "TEXT", _text, _show_text)
BOOLEAN = Kind("boolean", "", _boolean, lambda value: "true" if value else "false", flag=True)


def _between(
    noun: str, metavar: str, read: Callable[[object], Any], show: Callable[[Any], str], *ends: Any
) -> Kind:
    """The values that `read` returns, from the first of `ends` to the second."""
    low, high = ends
    limits = f"{show(low)} to {show(high)}"

    def parse(value: object) -> Any:
        number = read(value)
        if not low <= number <= high:
            raise BadValue(value, f"is not in {limits}")
        return number

    return Kind(f"{noun}, {limits}", metavar, parse, show)


def integer(low: int, high: int) -> Kind:
    """Whole numbers from `low` to `high`."""
    return _between("number", "N", _whole, str, low, high)


def _whole(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(value, "is not a whole number")
    return value


def choice(*words: str) -> Kind:
    """One of `words`."""

    def parse(value: object) -> str:
        if isinstance(value, bool):  # YAML reads a bare on/off as a boolean
            value = "on" if value else "off"
        if value not in words:
            raise BadValue(value, f"is not one of {', '.join(words)}")
        return str(value)

    return Kind(f"one of {', '.join(words)}", "|".join(words), parse, _show_text)


# ---------------------------------------------------------------------------------------
# Durations and sizes.

_TIME_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE_UNITS = {
    "": 1,
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}


def duration(low: float, high: float) -> Kind:
    """Times from `low` to `high` seconds, as float seconds: `500ms`, `30s`, `1m30s`, `2`."""
    return _between("duration", "TIME", _seconds, show_duration, low, high)


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return float(text)
    parts = list(_TIME_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise BadValue(value, "is not a duration, like 500ms, 30s, 1m30s, or 2h")
    return sum(float(part[1]) * _TIME_UNITS[part[2]] for part in parts)


def show_duration(seconds: float) -> str:
    """The shortest text of a duration that `duration` reads back: `90s`, `2m`, `500ms`."""
    if seconds and seconds < 1:
        return f"{_decimal(seconds * 1000)}ms"
    for unit in ("d", "h", "m"):
        count = seconds / _TIME_UNITS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{_decimal(seconds)}s"


def _decimal(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")


def size(low: int, high: int) -> Kind:
    """Amounts of octets from `low` to `high`: `512`, `64KiB`, `1MiB`, `10MB`."""
    return _between("size", "SIZE", _octets, show_size, low, high)


def _octets(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    found = re.fullmatch(r"([0-9]{1,15}) ?([A-Za-z]*)", text)
    if not found or found[2] not in _SIZE_UNITS:
        raise BadValue(value, "is not a size, like 1232, 64KiB, or 10MB")
    return int(found[1]) * _SIZE_UNITS[found[2]]


def show_size(octets: int) -> str:
    """The text of a size in octets, with the largest binary unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets and octets % _SIZE_UNITS[unit] == 0:
            return f"{octets // _SIZE_UNITS[unit]}{unit}"
    return str(octets)


# ---------------------------------------------------------------------------------------
# Addresses, networks, names.


def _address(value: object) -> Address:
    text = value.strip() if isinstance(value, str) else ""
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})", text)
    if not found:
        raise BadValue(value, "is not an address and port, like 127.0.0.1:1053 or '[::1]:1053'")
    host = found[1] or found[2]
    try:
        address = ip_address(host)
    except ValueError:
        raise BadValue(value, f"has {host!r} where an IP address belongs, like 127.0.0.1") from None
    if (address.version == 6) != bool(found[1]):
        raise BadValue(value, "needs brackets around an IPv6 address, and only around one")
    if int(found[3]) > 65535:
        raise BadValue(value, f"has port {found[3]}, which is not in 0 to 65535")
    return Address(str(address), int(found[3]))


def _address_or_off(value: object) -> Address | None:
    if value is False or (isinstance(value, str) and value.strip().lower() == "off"):
        return None
    return _address(value)


def _packed_ip(value: object) -> bytes:
    try:
        return pack_address(str(ip_address(value.strip() if isinstance(value, str) else "")))
    except ValueError:
        raise BadValue(value, "is not an IP address") from None


def _namespaced(value: object) -> str:
    text = _text(value)
    if text and not re.fullmatch(r"[a-z0-9.-]{1,63}/[a-z0-9.-]{1,253}", text):
        raise BadValue(value, "is not a namespace and name, like dns/dnsd")
    return text


def _cidr(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise BadValue(value, "is not a network, like 10.96.0.0/12 or fd00::/108") from None
    try:
        return str(ip_network(text))
    except ValueError:
        raise BadValue(value, f"has host bits set; the network is {network}") from None


def _namespace(value: object) -> str:
    text = _text(value).strip()
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text):
        several = "; several are a list, or the flag repeated" if "," in text else ""
        raise BadValue(value, f"is not a namespace (a DNS label, RFC 1123){several}")
    return text


def _domain(value: object) -> str:
    try:
        name = name_from_text(value.strip().lower()) if isinstance(value, str) else ROOT
    except BadName as error:
        raise BadValue(value, f"is not a domain name: {error}") from None
    if name == ROOT:
        raise BadValue(value, "is not a domain name below the root, like cluster.local")
    return text_of(name).removesuffix(".")


# dnsd serves names of its own below each zone; this is the longest (dnsd.zone.schema.apex).
_MAX_ZONE = MAX_NAME - len(b"\x0bdns-version")


def _name(value: object) -> Name:
    return name_from_text(_domain(value))


def _zone_name(value: object) -> Name:
    name = _name(value)
    if len(name) > _MAX_ZONE:
        raise BadValue(
            value,
            f"has {len(name)} octets in a packet, which leaves no room for the names below it;"
            f" give a zone of at most {_MAX_ZONE} octets",
        )
    return name


def _show_name(name: Name) -> str:
    return _show_text(text_of(name).removesuffix("."))


ADDRESS = Kind("address and port", "ADDRESS:PORT", _address, in_quotes)
ADDRESS_OR_OFF = Kind(
    'address and port, or "off"',
    "ADDRESS:PORT",
    _address_or_off,
    lambda value: in_quotes(value or "off"),
)
NAMESPACE = Kind("namespace", "NAMESPACE", _namespace, _show_text)
NAMESPACED = Kind("namespace and name", "NAMESPACE/NAME", _namespaced, _show_text)
PACKED_IP = Kind(
    "IP address",
    "ADDRESS",
    _packed_ip,
    lambda packed: in_quotes(address_text(packed)),
)
CIDR = Kind("network", "CIDR", _cidr, in_quotes)
DOMAIN = Kind("domain name", "DOMAIN", _domain, _show_text)
NAME = Kind("domain name", "DOMAIN", _name, _show_name)  # in wire form (RFC 1035 3.1)
ZONE_NAME = Kind("domain name", "DOMAIN", _zone_name, _show_name)  # likewise


# ---------------------------------------------------------------------------------------
# Lists.

MAX_ITEMS = 1000  # of one setting; a longer list is a mistake of a generator


def pieces(text: str, separator: str = ",") -> list[str]:
    """The parts of a text that are not empty, without the blanks around them."""
    return [piece for piece in map(str.strip, text.split(separator)) if piece]


def items_of(value: object, noun: str) -> list[object]:
    """The items of a list, of text with commas, or of a repeated flag. Raises BadValue."""
    if isinstance(value, str):
        value = pieces(value)
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(items) > MAX_ITEMS:
        raise BadValue(value, f"has {len(items)} {noun}, the limit is {MAX_ITEMS}")
    return items


def several(kind: Kind, *, at_least: int = 0) -> Kind:
    """Values of `kind`, each once: a YAML list, a repeated flag, or text with commas."""

    def parse(value: object) -> tuple[Any, ...]:
        items = items_of(value, "values")
        if len(items) < at_least:
            raise BadValue(value, f"has {len(items)} values, give at least {at_least}")
        return tuple(dict.fromkeys(kind.parse(item) for item in items))

    def show(values: tuple[Any, ...]) -> str:
        return "[" + ", ".join(kind.show(value) for value in values) + "]"

    return Kind(f"list of {kind.name}", kind.metavar, parse, show, many=True)
