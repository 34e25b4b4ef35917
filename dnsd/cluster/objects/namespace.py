"""Namespace (core/v1).

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of a
Namespace dnsd uses, and how it checks them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import field

from dnsd.cluster.objects.kind import Kind, Raw, Undated
from dnsd.cluster.validation import RFC_1123, Check


class Namespace(Undated, frozen=True):
    """A Namespace."""

    kind: ClassVar[str] = "Namespace"
    namespace: ClassVar[str] = ""
    name: str
    labels: dict[str, str] = field(default_factory=dict)


_Raw = Raw[Any, Any]


def _strip(raw: _Raw, check: Check) -> Namespace:
    return Namespace(labels=raw.metadata.labels or {}, **check.metadata)


KIND = Kind(
    "Namespace", "namespaces", "", _Raw, Namespace, _strip, namespaced=False, name_rule=RFC_1123
)
