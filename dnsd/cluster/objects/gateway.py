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
    points = []
    for i, one in enumerate(status.addresses or ()):
        field, kind = f"status.addresses[{i}].value", one.type or "IPAddress"
        if kind == "IPAddress":
            points.append(LoadBalancerIngress(check.address(field, one.value)))
        elif kind == "Hostname":
            points.append(LoadBalancerIngress(hostname=check.host(field, one.value)))
        # No record can hold the types that an implementation defines (NamedAddress ...).
    return Gateway(
        listeners=tuple(
            Listener(
                one.name,
                one.hostname or "",
                check.port(f"spec.listeners[{i}].port", one.port, optional=True),
            )
            for i, one in enumerate(spec.listeners or ())
        ),
        ingress=tuple(points),
        **check.metadata(Gateway),
    )


def _strip_route(raw: _Raw, check: Check) -> Route:
    spec = raw.spec or _RawSpec()
    if raw.status is None and check.origin:  # a manifest: no controller accepts the route
        refs = [(f"spec.parentRefs[{i}]", one) for i, one in enumerate(spec.parent_refs or ())]
    else:
        statuses = (raw.status and raw.status.parents) or ()
        refs = [
            (f"status.parents[{i}].parentRef", one.parent_ref)
            for i, one in enumerate(statuses)
            if is_true(one.conditions, "Accepted")
        ]
    parents = [
        Parent(
            one.namespace or check.namespace,
            one.name,
            one.section_name or "",
            check.port(f"{field}.port", one.port, optional=True),
        )
        for field, one in refs
        if (one.kind or "Gateway") == "Gateway" and (one.group or _GROUP) == _GROUP
    ]
    return Route(
        hostnames=tuple(dict.fromkeys(spec.hostnames or ())),
        parents=tuple(dict.fromkeys(parents)),
        **check.metadata(Route),
    )


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
