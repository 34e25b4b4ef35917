"""Object keys, object metadata, and the field checks that all kinds share.

In `cluster/` (control plane: the state of the cluster). Change here: a rule of the API server that
several kinds of objects share.

`objects/` decodes the JSON of the API into stripped structs. dnsd applies the rules of the API
server itself, because manifests are not validated by an API server, and because dnsd does not
trust the one that it watches. Each violation is a `BadObject` that names the object, the field,
and the problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct

from dnsd.dns.addresses import pack_address, pack_addresses

S = TypeVar("S")
T = TypeVar("T")


class Key(NamedTuple):
    """Identifies one object of the cluster, and the contributor of an RRset in the zone.

    `namespace` is empty for cluster-scoped kinds (Namespace, Node).
    """

    kind: str
    namespace: str
    name: str

    @property
    def cluster(self) -> str:
        """The cluster of the object; "" for the first source."""
        return ""

    def within(self, cluster: str) -> Key:
        """The key of the object with these names in `cluster`."""
        return _ClusterKey(self, cluster) if cluster else self

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"


class _ClusterKey(Key):
    """A key with a fourth field. Keys of the first source do not have it, and take no more
    memory."""

    __slots__ = ()

    def __new__(cls, key: Key, cluster: str) -> _ClusterKey:
        return tuple.__new__(cls, (key.kind, key.namespace, key.name, cluster))

    @property
    def cluster(self) -> str:
        return str(tuple.__getitem__(self, 3))

    def within(self, cluster: str) -> Key:
        return Key(self.kind, self.namespace, self.name).within(cluster)

    def __str__(self) -> str:
        return f"{super().__str__()} in cluster {self.cluster}"

    __repr__ = __str__


class BadObject(ValueError):
    """An object that Kubernetes would refuse, or that DNS cannot use.

    `field` is the JSON path (`spec.ports[0].port`), and `problem` is one clause.
    """

    def __init__(self, kind: str, namespace: str, name: str, field: str, problem: str) -> None:
        self.kind, self.namespace, self.name = kind, namespace, name
        self.field, self.problem = field, problem
        subject = str(Key(kind, namespace, name)).rstrip()
        super().__init__(": ".join(part for part in (subject, field, problem) if part))


class Meta(Struct, rename="camel"):
    """metadata of any object, as the API writes it (ObjectMeta, meta/v1)."""

    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class LabelRule(NamedTuple):
    """A test for one label, and its description in an error."""

    matches: Callable[[str], object]
    description: str


RFC_1035 = LabelRule(
    re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?").fullmatch,
    "DNS label (RFC 1035: a-z, 0-9, '-', begins with a letter)",
)
# Namespaces and names of ports repeat in many objects, so the last results are kept.
RFC_1123 = LabelRule(
    lru_cache(1024)(re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?").fullmatch),
    "DNS label (RFC 1123: a-z, 0-9, '-')",
)
# The API server checks externalName as a lower-case RFC 1123 subdomain. The DNS also uses names
# with underscores and capitals (`_spf`, `Foo.example`), and a CNAME can carry them.
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?")

PROTOCOLS = ("TCP", "UDP", "SCTP")


def is_host_name(text: str) -> bool:
    """Whether `text` can be the target of a CNAME.

    Each label has 1 to 63 characters, and the name at most 253 (RFC 1035 2.3.4).
    """
    text = text.removesuffix(".")
    return 0 < len(text) <= 253 and all(_HOST_LABEL.fullmatch(part) for part in text.split("."))


class Check:
    """The object under validation. Each method raises BadObject with the field and the problem.

    `metadata`: the fields of the stripped struct that come from the metadata.
    """

    __slots__ = ("kind", "metadata", "name", "namespace")

    def __init__(
        self, kind: str, meta: Meta, origin: str, namespaced: bool, rule: LabelRule | None
    ) -> None:
        """Checks the names. `rule`: for metadata.name; None accepts any name that is present."""
        self.kind, self.name = kind, meta.name
        # Few namespaces occur in many objects, so all objects share one copy of each.
        self.namespace = intern(meta.namespace or "default") if namespaced else ""
        self.metadata: dict[str, Any] = {
            "name": meta.name,
            "uid": meta.uid or "",
            "version": meta.resource_version or "",
            "origin": origin,
        }
        if rule:
            self.label("metadata.name", self.name, rule)
        elif not self.name:
            raise self.error("metadata.name", "is missing")
        if namespaced:
            self.metadata["namespace"] = self.namespace
            self.label("metadata.namespace", self.namespace)

    def error(self, field: str, problem: str) -> BadObject:
        """The error for a field of this object."""
        return BadObject(self.kind, self.namespace, self.name, field, problem)

    def label(self, field: str, value: str, rule: LabelRule = RFC_1123) -> None:
        """Check one DNS label of 1 to 63 characters."""
        if len(value) <= 63 and rule.matches(value):
            return
        if not value:
            raise self.error(field, "is missing")
        if len(value) > 63:
            problem = f"has {len(value)} characters, but a DNS label has at most 63"
            raise self.error(field, f"{value!r} {problem}")
        raise self.error(field, f"{value!r} is not a {rule.description}")

    def one_of(self, field: str, value: str, choices: tuple[str, ...]) -> str:
        """The value, if it is one of `choices`."""
        if value not in choices:
            raise self.error(field, f"{value!r} is not one of {', '.join(choices)}")
        return value

    def host(self, field: str, value: str | None) -> str:
        """A host name; an empty string if it is absent."""
        if value and not is_host_name(value):
            raise self.error(field, f"{value!r} is not a host name")
        return value or ""

    def address(self, field: str, value: str | None) -> bytes:
        """The octets of an IP address."""
        try:
            return pack_address(value or "")
        except ValueError:
            raise self.error(field, f"{value!r} is not an IP address") from None

    def addresses(self, field: str, values: list[str] | None) -> tuple[bytes, ...]:
        """The octets of IP addresses."""
        packed = pack_addresses(values)
        if packed is None:
            return self.each(field, values, lambda check, value: check.address("", value))
        return packed

    def each(
        self, field: str, items: Iterable[S] | None, read: Callable[[Check, S], T]
    ) -> tuple[T, ...]:
        """What `read` makes of each item of a list. Its errors name the fields of the item."""
        out: list[T] = []
        try:
            for item in items or ():
                out.append(read(self, item))  # noqa: PERF401 - len(out) is the index of the item
        except BadObject as error:
            path = f"{field}[{len(out)}]" + (f".{error.field}" if error.field else "")
            raise self.error(path, error.problem) from None
        return tuple(out)

    def port(self, field: str, value: int | None) -> int:
        """A port from 1 to 65535."""
        if value is None:
            raise self.error(field, "is missing")
        if not 1 <= value <= 65535:
            raise self.error(field, f"{value} is not in 1 to 65535")
        return value
