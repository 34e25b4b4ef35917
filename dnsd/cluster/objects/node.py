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
    ips: dict[str, list[bytes]] = {"InternalIP": [], "ExternalIP": []}
    for i, one in enumerate(status.addresses or ()):
        if one.type in ips:
            ips[one.type].append(check.address(f"status.addresses[{i}].address", one.address))
    return Node(
        internal_ips=tuple(ips["InternalIP"]),
        external_ips=tuple(ips["ExternalIP"]),
        ready=is_true(status.conditions, "Ready"),
        **check.metadata(Node),
    )


KIND = Kind("Node", "nodes", "", _Raw, Node, _strip, namespaced=False)
