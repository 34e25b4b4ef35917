"""What the strippers of all kinds share: the names of objects, refusals, checked fields.

`objects.py` and `outside_objects.py` turn the JSON of the API into stripped structs; here
are the API server's own rules as far as DNS depends on them, each stated once.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from sys import intern
from typing import NamedTuple

from msgspec import Struct


class Key(NamedTuple):
    """Names one object of the cluster; also names the owner of RRsets in the zone.

    `namespace` is empty for cluster-scoped kinds (Namespace, Node).
    """

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.namespace}/{self.name}"
            if self.namespace
            else f"{self.kind} {self.name}"
        )


class BadObject(ValueError):
    """An object that Kubernetes would refuse, or that DNS cannot use.

    `field` is the JSON path (`spec.ports[0].port`), `problem` one clause in plain words.
    """

    def __init__(self, kind: str, namespace: str, name: str, field: str, problem: str) -> None:
        self.kind, self.namespace, self.name = kind, namespace, name
        self.field, self.problem = field, problem
        who = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}".rstrip()
        super().__init__(f"{who}: {field}: {problem}" if field else f"{who}: {problem}")


class Meta(Struct, rename="camel"):
    """metadata of any object, as the API writes it."""

    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


# ---------------------------------------------------------------------------------------
# Validation: the API server's rules, as far as DNS depends on them.

LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# ExternalName is checked by the API server as a lower-case RFC 1123 subdomain; the DNS has
# names with underscores and capitals in use (`_spf`, `Foo.example`), and refusing them here
# would lose a name that a CNAME can carry. Lengths are the wire's limits.
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?")

PROTOCOLS = ("TCP", "UDP", "SCTP")


_OCTETS = {str(octet): octet for octet in range(256)}
_four_octets = struct.Struct("4B").pack


def pack_address(text: str) -> bytes:
    """The 4 or 16 bytes of an IPv4 or IPv6 address in text.

    Raises ValueError for anything else, zone identifiers (`fe80::1%eth0`) included.
    """
    try:
        # Most are IPv4, and ipaddress takes ten times as long about one.
        first, second, third, fourth = text.split(".")
        return _four_octets(_OCTETS[first], _OCTETS[second], _OCTETS[third], _OCTETS[fourth])
    except (KeyError, ValueError):
        if "%" in text:
            raise ValueError(f"{text!r} has a zone identifier") from None
        return ip_address(text).packed


def pack_addresses(values: list[str] | None, width: int = 0) -> tuple[bytes, ...] | None:
    """The addresses packed; None when one of them is none, or has not `width` octets (0: any).

    For the many that are right: who gets None asks `Check.addresses` what is wrong.
    """
    if not values:
        return ()
    try:
        packed = (  # most have one
            (pack_address(values[0]),)
            if len(values) == 1
            else tuple([pack_address(value) for value in values])
        )
    except ValueError:
        return None
    if width:
        for address in packed:
            if len(address) != width:
                return None
    return packed


_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291 2.5.5.2


def address_text(packed: bytes) -> str:
    """The usual text form of a packed address (RFC 5952 for IPv6).

    IPv4-mapped ones in hexadecimal too: whether `str` writes them so depends on the version
    of Python, and names are made of this text.
    """
    if len(packed) == 4:
        return str(IPv4Address(packed))
    if packed.startswith(_MAPPED):
        return f"::ffff:{packed[12] << 8 | packed[13]:x}:{packed[14] << 8 | packed[15]:x}"
    return str(IPv6Address(packed))


def is_host_name(text: str) -> bool:
    """Whether `text` can be a CNAME target: labels of 1 to 63, at most 253 in all."""
    text = text[:-1] if text.endswith(".") else text
    return 0 < len(text) <= 253 and all(_HOST_LABEL.fullmatch(part) for part in text.split("."))


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 literal."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class Check:
    """The object under validation: says whose field is wrong, so that no caller repeats it."""

    __slots__ = ("kind", "name", "namespace")

    def __init__(self, kind: str, meta: Meta, default_namespace: str = "") -> None:
        self.kind = kind
        self.name = meta.name
        # Namespaces are few and stand in every object: what is kept of it shares one copy.
        self.namespace = intern(meta.namespace or default_namespace)

    def refuse(self, field: str, problem: str) -> BadObject:
        return BadObject(self.kind, self.namespace, self.name, field, problem)

    def label(self, field: str, value: str, pattern: re.Pattern[str], rule: str) -> None:
        if not pattern.fullmatch(value):
            if not value:
                raise self.refuse(field, "is missing")
            if len(value) > 63:
                raise self.refuse(
                    field, f"{value!r} has {len(value)} characters, a DNS label has at most 63"
                )
            raise self.refuse(field, f"{value!r} is not a {rule}")

    def address(self, field: str, value: str) -> bytes:
        try:
            return pack_address(value)
        except ValueError:
            raise self.refuse(field, f"{value!r} is not an IP address") from None

    def addresses(
        self, field: str, values: list[str] | None, item: str = "[{}]"
    ) -> tuple[bytes, ...]:
        """`item`: what the path of one of them adds to `field`."""
        packed = pack_addresses(values)
        if packed is not None:
            return packed
        return tuple(
            self.address(field + item.format(i), value) for i, value in enumerate(values or ())
        )

    def protocol(self, field: str, value: str | None) -> str:
        value = value or "TCP"
        if value not in PROTOCOLS:
            raise self.refuse(field, f"{value!r} is none of {', '.join(PROTOCOLS)}")
        return value

    def port(self, field: str, value: int | None) -> int:
        if value is None:
            raise self.refuse(field, "is missing")
        if not 1 <= value <= 65535:
            raise self.refuse(field, f"{value} is not in 1 to 65535")
        return value
