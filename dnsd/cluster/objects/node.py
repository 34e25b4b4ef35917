"""Node (core/v1).

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of a
Node dnsd uses, and how it checks them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct

from dnsd.cluster.objects.kind import Dated, Kind, Raw, RawCondition, is_true
from dnsd.cluster.validation import Check


class Node(Dated, frozen=True):
    """A Node."""

    kind: ClassVar[str] = "Node"
    namespace: ClassVar[str] = ""
    name: str
    internal_ips: tuple[bytes, ...] = ()
    external_ips: tuple[bytes, ...] = ()
    ready: bool = False


class _RawAddress(Struct):
    type: str = ""
    address: str = ""


class _RawStatus(Struct):
    addresses: list[_RawAddress] | None = None
    conditions: list[RawCondition] | None = None


_Raw = Raw[Any, _RawStatus]


def _strip(raw: _Raw, check: Check) -> Node:
    status = raw.status or _RawStatus()
    addresses = check.each("status.addresses", status.addresses, _address)
    return Node(
        internal_ips=tuple(ip for type_, ip in addresses if type_ == "InternalIP"),
        external_ips=tuple(ip for type_, ip in addresses if type_ == "ExternalIP"),
        ready=is_true(status.conditions, "Ready"),
        **check.metadata,
    )


def _address(check: Check, raw: _RawAddress) -> tuple[str, bytes]:
    """The type and the octets; a type like Hostname, which dnsd does not use, has none."""
    is_ip = raw.type in ("InternalIP", "ExternalIP")
    return raw.type, check.address("address", raw.address) if is_ip else b""


KIND = Kind("Node", "nodes", "", _Raw, Node, _strip, namespaced=False)
