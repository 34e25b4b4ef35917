"""What the strippers of all kinds share: the names of objects, refusals, checked fields.

`objects.py` and `outside_objects.py` turn the JSON of the API into stripped structs; here
are the API server's own rules as far as DNS depends on them, each stated once.
"""

from __future__ import annotations

import re
from sys import intern
from typing import NamedTuple

from msgspec import Struct

from dnsd.dns.addresses import pack_address, pack_addresses


class Key(NamedTuple):
    """Names one object of the cluster; also names the contributor of RRsets in the zone.

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


def is_host_name(text: str) -> bool:
    """Whether `text` can be a CNAME target: labels of 1 to 63, at most 253 in all."""
    text = text[:-1] if text.endswith(".") else text
    return 0 < len(text) <= 253 and all(_HOST_LABEL.fullmatch(part) for part in text.split("."))


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
