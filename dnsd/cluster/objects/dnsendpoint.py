"""DNSEndpoint (externaldns.k8s.io/v1alpha1).

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of a
DNSEndpoint dnsd uses, and how it checks them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct, field

from dnsd.cluster.objects.kind import Dated, Kind, Raw
from dnsd.cluster.validation import Check


class StatedRecords(Struct, frozen=True, gc=False, array_like=True):
    """One of spec.endpoints, as written. `ttl` in seconds; 0: not set."""

    name: str
    type: str
    targets: tuple[str, ...] = ()
    ttl: int = 0


class DNSEndpoint(Dated, frozen=True):
    """A DNSEndpoint: records that a user or a controller requests."""

    kind: ClassVar[str] = "DNSEndpoint"
    namespace: str
    name: str
    records: tuple[StatedRecords, ...] = ()


class _RawRecords(Struct, rename="camel"):
    dns_name: str = ""
    record_type: str | None = None
    record_ttl: int | None = field(name="recordTTL", default=None)
    targets: list[str] | None = None


class _RawSpec(Struct):
    endpoints: list[_RawRecords] | None = None


_Raw = Raw[_RawSpec, Any]


def _strip(raw: _Raw, check: Check) -> DNSEndpoint:
    spec = raw.spec or _RawSpec()
    return DNSEndpoint(
        records=check.each("spec.endpoints", spec.endpoints, _records), **check.metadata
    )


def _records(check: Check, raw: _RawRecords) -> StatedRecords:
    ttl = raw.record_ttl or 0
    if not 0 <= ttl < 2**31:  # RFC 2181 8
        raise check.error("recordTTL", f"{ttl} is not in 0 to 2147483647")
    return StatedRecords(raw.dns_name, raw.record_type or "A", tuple(raw.targets or ()), ttl)


_GROUP = "externaldns.k8s.io"
KIND = Kind("DNSEndpoint", "dnsendpoints", _GROUP, _Raw, DNSEndpoint, _strip, version="v1alpha1")
