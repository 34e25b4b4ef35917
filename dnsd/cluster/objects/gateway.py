"""Gateway, HTTPRoute, GRPCRoute, and TLSRoute (gateway.networking.k8s.io).

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of a
Gateway or a route dnsd uses, and how it checks them.

* A route answers through its *parents*: the Gateways that have accepted it, which the condition
  Accepted in `status.parents[]` reports. In manifests no controller writes a status, so the
  parents are those of the spec.
* A parent of another kind (a Service, in a mesh) is ignored.
"""

from __future__ import annotations

from sys import intern
from typing import ClassVar

from msgspec import Struct

from dnsd.cluster.objects.kind import Dated, Kind, Raw, RawCondition, is_true
from dnsd.cluster.objects.load_balancer import LoadBalancerIngress
from dnsd.cluster.validation import Check, Key

_GROUP = "gateway.networking.k8s.io"


class Listener(Struct, frozen=True, gc=False, array_like=True):
    """One of the listeners of a Gateway. Without a `hostname` it accepts any host."""

    name: str
    hostname: str = ""
    port: int = 0


class Gateway(Dated, frozen=True):
    """A Gateway: its addresses and its listeners."""

    kind: ClassVar[str] = "Gateway"
    namespace: str
    name: str
    listeners: tuple[Listener, ...] = ()
    ingress: tuple[LoadBalancerIngress, ...] = ()


class Parent(Struct, frozen=True, gc=False, array_like=True):
    """A Gateway that a route is attached to.

    `section` and `port` select listeners; "" and 0 select all. `namespace` is never empty.
    """

    namespace: str
    name: str
    section: str = ""
    port: int = 0

    @property
    def key(self) -> Key:
        """The key of the Gateway."""
        return Key("Gateway", intern(self.namespace), intern(self.name))


class Route(Dated, frozen=True):
    """An HTTPRoute, GRPCRoute, or TLSRoute."""

    kind: str
    namespace: str
    name: str
    hostnames: tuple[str, ...] = ()
    parents: tuple[Parent, ...] = ()


class _RawListener(Struct):
    name: str = ""
    hostname: str | None = None
    port: int | None = None


class _RawAddress(Struct):
    type: str | None = None
    value: str = ""


class _RawParentRef(Struct, rename="camel"):
    name: str = ""
    namespace: str | None = None
    group: str | None = None
    kind: str | None = None
    section_name: str | None = None
    port: int | None = None


class _RawParentStatus(Struct, rename="camel"):
    parent_ref: _RawParentRef
    conditions: list[RawCondition] | None = None


class _RawSpec(Struct, rename="camel"):
    listeners: list[_RawListener] | None = None  # Gateway
    hostnames: list[str] | None = None  # routes
    parent_refs: list[_RawParentRef] | None = None


class _RawStatus(Struct):
    addresses: list[_RawAddress] | None = None  # Gateway
    parents: list[_RawParentStatus] | None = None  # routes


_Raw = Raw[_RawSpec, _RawStatus]


def _strip(raw: _Raw, check: Check) -> Gateway:
    spec, status = raw.spec or _RawSpec(), raw.status or _RawStatus()
    points = check.each("status.addresses", status.addresses, _point)
    return Gateway(
        listeners=check.each("spec.listeners", spec.listeners, _listener),
        ingress=tuple(point for point in points if point),
        **check.metadata,
    )


def _point(check: Check, raw: _RawAddress) -> LoadBalancerIngress | None:
    """None for a type that an implementation defines (NamedAddress), which no record can hold."""
    match raw.type or "IPAddress":
        case "IPAddress":
            return LoadBalancerIngress(check.address("value", raw.value))
        case "Hostname":
            return LoadBalancerIngress(hostname=check.host("value", raw.value))
    return None


def _listener(check: Check, raw: _RawListener) -> Listener:
    port = check.port("port", raw.port) if raw.port else 0
    return Listener(raw.name, raw.hostname or "", port)


def _strip_route(raw: _Raw, check: Check) -> Route:
    spec = raw.spec or _RawSpec()
    if raw.status is None and check.metadata["origin"]:
        # A manifest: no controller accepts the route.
        parents = check.each("spec.parentRefs", spec.parent_refs, _parent)
    else:
        status = raw.status or _RawStatus()
        parents = check.each("status.parents", status.parents, _accepted_parent)
    return Route(
        kind=check.kind,
        hostnames=tuple(dict.fromkeys(spec.hostnames or ())),
        parents=tuple(dict.fromkeys(parent for parent in parents if parent)),
        **check.metadata,
    )


def _accepted_parent(check: Check, raw: _RawParentStatus) -> Parent | None:
    accepted = is_true(raw.conditions, "Accepted")
    return _parent(check, raw.parent_ref, "parentRef.port") if accepted else None


def _parent(check: Check, raw: _RawParentRef, field: str = "port") -> Parent | None:
    if (raw.kind or "Gateway") != "Gateway" or (raw.group or _GROUP) != _GROUP:
        return None
    port = check.port(field, raw.port) if raw.port else 0
    return Parent(raw.namespace or check.namespace, raw.name, raw.section_name or "", port)


def _route(name: str, *older: str) -> Kind:
    plural = f"{name.lower()}s"
    return Kind(name, plural, _GROUP, _Raw, Route, _strip_route, older=older)


KIND = Kind(
    "Gateway", "gateways", _GROUP, _Raw, Gateway, _strip, older=("v1beta1",), contributes=False
)
ROUTES = (
    _route("HTTPRoute", "v1beta1"),
    _route("GRPCRoute", "v1alpha2"),
    _route("TLSRoute", "v1alpha3", "v1alpha2"),
)
ROUTE_KINDS = tuple(kind.name for kind in ROUTES)
