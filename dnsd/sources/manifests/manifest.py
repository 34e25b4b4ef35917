"""One object as one file declares it, in the form in which the registry keeps it.

In `sources/manifests/` (control plane: objects from files). Change here: what is kept of an object.
"""

from __future__ import annotations

from sys import intern

from msgspec import Struct

from dnsd.cluster.objects import Key, Object, Service
from dnsd.cluster.store import Packed, kind_of, pack, unpack
from dnsd.sources.manifests.problems import Problem

_ONE_FAMILY = ((), ("IPv4",), ("IPv6",))  # spec.ipFamilies that need no more than one address


class Manifest(Struct, frozen=True, gc=False):
    """One object as one file declares it, packed. Made by `manifest_of`.

    `document` counts from 1, `item` from 0 (-1: not in a list). `claims`: the addresses that a
    Service states (at most two, concatenated, IPv4 first), if it needs no address and no node port
    allocated and nothing stands against those addresses; None: the Service must be examined.
    """

    packed: Packed
    namespace: str
    name: str
    claims: bytes | None
    file: str
    document: int
    item: int
    line: int

    @property
    def object(self) -> Object:
        """The object itself, a new one each time."""
        return unpack(self.packed)

    @property
    def key(self) -> Key:
        return Key(kind_of(self.packed), self.namespace, self.name)

    @property
    def place(self) -> tuple[str, int, int]:
        """Orders manifests by path, then as they stand in the file."""
        return self.file, self.document, self.item

    @property
    def origin(self) -> str:
        return origin_of(self.file, self.document, self.item)

    def problem(self, field: str, text: str) -> Problem:
        """A problem of a field of this object."""
        return Problem(self.file, self.line, 0, self.document, str(self.key), field, text)


def manifest_of(thing: Object, file: str, document: int, item: int, line: int) -> Manifest:
    """The manifest of an object."""
    claims = _claims(thing) if isinstance(thing, Service) else b""
    space, name = intern(thing.namespace), intern(thing.name)
    return Manifest(pack(thing), space, name, claims, file, document, item, line)


def _claims(service: Service) -> bytes | None:
    """`Manifest.claims` of a Service."""
    if service.headless or service.type == "ExternalName":
        return b""
    dual = service.ip_family_policy.endswith("DualStack")
    if service.type != "ClusterIP" or dual or service.ip_families not in _ONE_FAMILY:
        return None
    ips = service.cluster_ips
    if len(ips) == 1:
        return ips[0]
    ips = tuple(sorted(ips, key=len))
    return b"".join(ips) if [len(ip) for ip in ips] == [4, 16] else None


def origin_of(path: str, document: int, item: int) -> str:
    """`path#2` for the second document, or `path#2[7]` for an item of its list."""
    return f"{path}#{document}" + (f"[{item}]" if item >= 0 else "")
