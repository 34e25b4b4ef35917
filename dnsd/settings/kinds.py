"""Kinds of values a setting can have: how text becomes a value, and a value text again.

A setting reaches dnsd as a flag or an environment variable (text) or from a YAML file
(text, numbers, booleans, lists). A `Kind` reads all of these with one `parse` and refuses
with a `BadValue`, whose text is the end of the sentence "VALUE …": `is no address and
port, like 127.0.0.1:1053`. Who said it (flag, variable, file and line) is the caller's to
add. `show` writes a value the way a YAML file would, so that the reference and the
commented configuration come from the declared defaults.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from itertools import combinations
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dnsd.dns.addresses import Address, Endpoint
from dnsd.dns.names import MAX_NAME, ROOT, BadName, name_from_text, text_of

# Values come from files that may be damaged: an error quotes at most this much of one.
_quote = reprlib.Repr()
_quote.maxstring = _quote.maxother = 80
_quote.maxlist = _quote.maxdict = 4
_quote.maxlevel = 2


def quoted(value: object) -> str:
    """`value` as an error message shows it: bounded, text without its quotes when plain."""
    if isinstance(value, str) and value and len(value) <= 80 and value.isprintable():
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quote.repr(value)


class BadValue(ValueError):
    """A value that is not of its kind. `value` is the culprit, the text says what it is not."""

    def __init__(self, value: object, problem: str) -> None:
        self.value, self.problem = value, problem
        super().__init__(f"{quoted(value)} {problem}")


class Kind(Struct, frozen=True):
    """One kind of value. `many`: parse takes and returns several (a tuple)."""

    name: str  # the word of the reference: "duration"
    metavar: str  # the word of --help: "TIME"
    parse: Callable[[object], Any]  # raises BadValue
    show: Callable[[Any], str] = str
    many: bool = False
    flag: bool = False  # a switch on the command line: --x/--no-x


# ---------------------------------------------------------------------------------------
# Plain kinds.


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue(value, "is not text; put it in quotes")
    if not value.isprintable():
        raise BadValue(value, "has characters that cannot be printed")
    return value


def short_text(most: int) -> Kind:
    """Text of at most `most` octets of UTF-8, because that is all that a message has for it."""

    def parse(value: object) -> str:
        text = _text(value)
        octets = len(text.encode())
        if octets > most:
            raise BadValue(value, f"has {octets} octets, the limit is {most}; shorten it")
        return text

    return Kind(f"text, up to {most} octets", "TEXT", parse, _show_text)


def _show_text(value: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./:-]*", value) and not _is_yaml_word(value)
    if plain and not value.endswith(":"):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_yaml_word(value: str) -> bool:
    """Whether YAML 1.1 would read the bare word as something that is not text."""
    return bool(
        re.fullmatch(r"(?i)y|n|yes|no|on|off|true|false|null|~|[-+.0-9_:e]+|0x[0-9a-f]+", value)
    )


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "yes", "on", "1"):
            return True
        if word in ("false", "no", "off", "0"):
            return False
    raise BadValue(value, "is neither true nor false")


TEXT = Kind("text", "TEXT", _text, _show_text)
BOOLEAN = Kind("boolean", "", _boolean, lambda value: "true" if value else "false", flag=True)


def integer(low: int, high: int) -> Kind:
    """Whole numbers from `low` to `high`."""

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(value, "is not a whole number")
        if not low <= value <= high:
            raise BadValue(value, f"is not in {low} to {high}")
        return value

    return Kind(f"number, {low} to {high}", "N", parse)


def choice(*words: str) -> Kind:
    """One of `words`."""

    def parse(value: object) -> str:
        if isinstance(value, bool):  # YAML reads a bare on/off as a boolean
            value = "on" if value else "off"
        if value not in words:
            raise BadValue(value, f"is none of {', '.join(words)}")
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

    def parse(value: object) -> float:
        seconds = _seconds(value)
        if not low <= seconds <= high:
            raise BadValue(value, f"is not in {show_duration(low)} to {show_duration(high)}")
        return seconds

    words = f"duration, {show_duration(low)} to {show_duration(high)}"
    return Kind(words, "TIME", parse, show_duration)


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return float(text)
    parts = list(_TIME_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise BadValue(value, "is no duration, like 500ms, 30s, 1m30s or 2h")
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
    """Amounts of bytes from `low` to `high`: `512`, `64KiB`, `1MiB`, `10MB`."""

    def parse(value: object) -> int:
        octets = _octets(value)
        if not low <= octets <= high:
            raise BadValue(value, f"is not in {show_size(low)} to {show_size(high)}")
        return octets

    return Kind(f"size, {show_size(low)} to {show_size(high)}", "SIZE", parse, show_size)


def _octets(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = (
        re.fullmatch(r"\s*([0-9]{1,15}) ?([A-Za-z]*)\s*", value) if isinstance(value, str) else None
    )
    if not found or found[2] not in _SIZE_UNITS:
        raise BadValue(value, "is no size, like 1232, 64KiB or 10MB")
    return int(found[1]) * _SIZE_UNITS[found[2]]


def show_size(octets: int) -> str:
    """The text of a size, with the largest binary unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets and octets % _SIZE_UNITS[unit] == 0:
            return f"{octets // _SIZE_UNITS[unit]}{unit}"
    return str(octets)


# ---------------------------------------------------------------------------------------
# Addresses, networks, names.


def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise BadValue(value, "is no address and port, like 127.0.0.1:1053 or '[::1]:1053'")
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})", value.strip())
    if not found:
        raise BadValue(value, "is no address and port, like 127.0.0.1:1053 or '[::1]:1053'")
    host = found[1] or found[2]
    try:
        address = ip_address(host)
    except ValueError:
        raise BadValue(value, f"has {host!r} where an IP address belongs, like 127.0.0.1") from None
    if (address.version == 6) != bool(found[1]):
        raise BadValue(value, "needs brackets around an IPv6 address, and only there")
    if int(found[3]) > 65535:
        raise BadValue(value, f"has port {found[3]}, which is not in 0 to 65535")
    return Address(str(address), int(found[3]))


def _endpoint(value: object) -> Endpoint:
    if not isinstance(value, str) or "://" not in value:
        return Endpoint(_address(value))
    scheme, _, address = value.strip().partition("://")
    if not re.fullmatch(r"[a-z][a-z0-9]*", scheme):
        raise BadValue(value, "has no scheme before ://, like udp://127.0.0.1:1053")
    try:
        return Endpoint(_address(address), scheme)
    except BadValue as error:
        raise BadValue(value, error.problem) from None


def _address_or_off(value: object) -> Address | None:
    if value is False or (isinstance(value, str) and value.strip().lower() == "off"):
        return None
    return _address(value)


def _ip(value: object) -> str:
    try:
        return str(ip_address(value.strip())) if isinstance(value, str) else _no_ip(value)
    except ValueError:
        return _no_ip(value)


def _no_ip(value: object) -> str:
    raise BadValue(value, "is no IP address")


def _namespaced(value: object) -> str:
    text = _text(value)
    if text and not re.fullmatch(r"[a-z0-9.-]{1,63}/[a-z0-9.-]{1,253}", text):
        raise BadValue(value, "is no namespace and name, like dns/dnsd")
    return text


def _cidr(value: object) -> str:
    if isinstance(value, str):
        try:
            return str(ip_network(value.strip()))
        except ValueError:
            pass
        try:
            meant = ip_network(value.strip(), strict=False)
        except ValueError:
            pass
        else:
            raise BadValue(value, f"has host bits set; the network is {meant}")
    raise BadValue(value, "is no network, like 10.96.0.0/12 or fd00::/108")


def _namespace(value: object) -> str:
    text = _text(value).strip()
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text):
        several = "; several are a list, or the flag repeated" if "," in text else ""
        raise BadValue(value, f"is no namespace (a DNS label, RFC 1123){several}")
    return text


def _domain(value: object) -> str:
    try:
        name = name_from_text(value.strip().lower()) if isinstance(value, str) else ROOT
    except BadName as error:
        raise BadValue(value, f"is no domain name: {error}") from None
    if name == ROOT:
        raise BadValue(value, "is no domain name below the root, like cluster.local")
    return text_of(name).removesuffix(".")


# Below every zone there are names of dnsd's own; this is the longest (dnsd.zone.schema.apex).
_MAX_ZONE = MAX_NAME - len(b"\x0bdns-version")


def _zone_name(value: object) -> str:
    text = _domain(value)
    octets = len(name_from_text(text))
    if octets > _MAX_ZONE:
        raise BadValue(
            value,
            f"has {octets} octets in a packet, which leaves no room for the names below it;"
            f" give a zone of {_MAX_ZONE} octets at most",
        )
    return text


ENDPOINT = Kind(
    "address and port",
    "[SCHEME://]ADDRESS:PORT",
    _endpoint,
    lambda value: f'"{value}"',
)
ADDRESS_OR_OFF = Kind(
    'address and port, or "off"',
    "ADDRESS:PORT",
    _address_or_off,
    lambda value: '"off"' if value is None else f'"{value}"',
)
NAMESPACE = Kind("namespace", "NAMESPACE", _namespace, _show_text)
NAMESPACED = Kind("namespace and name", "NAMESPACE/NAME", _namespaced, _show_text)
IP = Kind("IP address", "ADDRESS", _ip, lambda value: f'"{value}"')
CIDR = Kind("network", "CIDR", _cidr, lambda value: f'"{value}"')
DOMAIN = Kind("domain name", "DOMAIN", _domain, _show_text)
ZONE_NAME = Kind("domain name", "DOMAIN", _zone_name, _show_text)


# ---------------------------------------------------------------------------------------
# Paths. They are looked at when they are read: a path that leads nowhere is a mistake in
# the configuration, and is said as one. Empty text is "none".


def _directory(value: object) -> str:
    path = os.path.expanduser(_text(value))
    if not path:
        return path
    if not os.path.exists(path):
        raise BadValue(value, "does not exist")
    if not os.path.isdir(path):
        raise BadValue(value, "is not a directory; give the one that it is in")
    if not os.access(path, os.R_OK | os.X_OK):
        raise BadValue(value, "cannot be read (permission denied)")
    return path


def _file(value: object) -> str:
    path = os.path.expanduser(_text(value))
    if not path:
        return path
    if not os.path.exists(path):
        raise BadValue(value, "does not exist")
    if os.path.isdir(path):
        raise BadValue(value, "is a directory, not a file")
    if not os.access(path, os.R_OK):
        raise BadValue(value, "cannot be read (permission denied)")
    return path


def _own_directory(value: object) -> str:
    path = os.path.expanduser(_text(value))
    if not path:
        return path
    if os.path.exists(path) and not os.path.isdir(path):
        raise BadValue(value, "is not a directory")
    base = path if os.path.exists(path) else os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(base):
        raise BadValue(value, f"cannot be made: {base} does not exist")
    if not os.access(base, os.W_OK | os.X_OK):
        raise BadValue(value, "cannot be written (permission denied)")
    return path


DIRECTORY = Kind("directory", "DIR", _directory, _show_text)
FILE = Kind("file", "FILE", _file, _show_text)
OWN_DIRECTORY = Kind("directory, made when missing", "DIR", _own_directory, _show_text)


# ---------------------------------------------------------------------------------------
# Several of a kind.

MAX_ITEMS = 1000  # of one setting; a list beyond it is a generated mistake


def several(kind: Kind, *, at_least: int = 0) -> Kind:
    """Values of `kind`, each once: a YAML list, a repeated flag, or text with commas."""

    def parse(value: object) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [part for part in (piece.strip() for piece in value.split(",")) if part]
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(items) > MAX_ITEMS:
            raise BadValue(value, f"has {len(items)} values, the limit is {MAX_ITEMS}")
        if len(items) < at_least:
            raise BadValue(value, f"has {len(items)} values, at least {at_least} must be there")
        return tuple(dict.fromkeys(kind.parse(item) for item in items))

    def show(values: tuple[Any, ...]) -> str:
        return "[" + ", ".join(kind.show(value) for value in values) + "]"

    return Kind(f"list of {kind.name}", kind.metavar, parse, show, many=True)


_ENDPOINTS = several(ENDPOINT, at_least=1)


def _endpoints(value: object) -> tuple[Endpoint, ...]:
    found: tuple[Endpoint, ...] = _ENDPOINTS.parse(value)
    for one, other in combinations(found, 2):
        if one.overlaps(other):
            raise BadValue(
                str(other),
                f"overlaps with {one}, which is there too; 0.0.0.0 and [::] are every address of"
                " this host, so leave out the one or the other",
            )
    return found


ENDPOINTS = replace(_ENDPOINTS, parse=_endpoints)
