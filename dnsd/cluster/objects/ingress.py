"""Ingress (networking.k8s.io/v1).

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of an
Ingress dnsd uses, and how it checks them.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from dnsd.cluster.objects.kind import Dated, Kind, Raw
from dnsd.cluster.objects.load_balancer import (
    LoadBalancerIngress,
    RawLoadBalancerStatus,
    load_balancer_ingress,
)
from dnsd.cluster.validation import Check


class Ingress(Dated, frozen=True):
    """An Ingress. `hosts`: of its rules, then of its TLS entries, as written.

    The schema decides which hosts are names in an external zone. It also reports a host that is
    not a name, so that one bad host does not lose the others.
    """

    kind: ClassVar[str] = "Ingress"
    namespace: str
    name: str
    hosts: tuple[str, ...] = ()
    ingress: tuple[LoadBalancerIngress, ...] = ()


class _RawRule(Struct):
    host: str | None = None


class _RawTLS(Struct):
    hosts: list[str] | None = None


class _RawSpec(Struct):
    rules: list[_RawRule] | None = None
    tls: list[_RawTLS] | None = None


_Raw = Raw[_RawSpec, RawLoadBalancerStatus]


def _strip(raw: _Raw, check: Check) -> Ingress:
    spec = raw.spec or _RawSpec()
    hosts = [rule.host for rule in spec.rules or ()]
    hosts += [host for entry in spec.tls or () for host in entry.hosts or ()]
    return Ingress(
        hosts=tuple(dict.fromkeys(host for host in hosts if host)),
        ingress=load_balancer_ingress(check, raw.status),
        **check.metadata,
    )


KIND = Kind("Ingress", "ingresses", "networking.k8s.io", _Raw, Ingress, _strip)
