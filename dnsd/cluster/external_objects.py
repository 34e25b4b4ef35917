"""The objects that only the view from outside reads: who is reached, and under which hosts.

Ingress (networking.k8s.io), Gateway and its routes (gateway.networking.k8s.io), DNSEndpoint
(externaldns.k8s.io). Raw and stripped shapes, as in `objects.py`. The rules:

* Whether a host lies in a zone of ours is the schema's business, so hosts are kept as they
  are written. One host that is no name must not lose the others: the schema says so.
* A route answers through its *parents*: Gateways that have accepted it, which is said in
  `status.parents[]` by the condition Accepted. Where no controller writes a status
  (manifests), the parents are those of the spec.
* A parent of another kind (a Service, in a mesh) is none.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any, ClassVar

from msgspec import Struct, field

from dnsd.cluster.validation import LABEL_1123, Check, Key, Meta, is_host_name

GATEWAY_GROUP = "gateway.networking.k8s.io"
ROUTE_KINDS = ("HTTPRoute", "GRPCRoute", "TLSRoute")


class LoadBalancerIngress(Struct, frozen=True, gc=False, array_like=True):
    """One of status.loadBalancer.ingress or status.addresses: an address (packed) or a host."""

    ip: bytes = b""
    hostname: str = ""


class Ingress(Struct, frozen=True, array_like=True, dict=True):
    """An Ingress (networking.k8s.io/v1). `hosts`: of its rules, then of its TLS entries."""

    kind: ClassVar[str] = "Ingress"
    namespace: str
    name: str
    hosts: tuple[str, ...] = ()
    ingress: tuple[LoadBalancerIngress, ...] = ()
    uid: str = ""
    version: str = ""
    created: str = ""
    origin: str = ""

    @property
    def key(self) -> Key:
        return Key("Ingress", intern(self.namespace), intern(self.name))


class Listener(Struct, frozen=True, gc=False, array_like=True):
    """One of a Gateway's listeners; no `hostname`: any."""

    name: str
    hostname: str = ""
    port: int = 0


class Gateway(Struct, frozen=True, array_like=True, dict=True):
    """A Gateway (gateway.networking.k8s.io): where it is reached, and what it listens for."""

    kind: ClassVar[str] = "Gateway"
    namespace: str
    name: str
    listeners: tuple[Listener, ...] = ()
    ingress: tuple[LoadBalancerIngress, ...] = ()
    uid: str = ""
    version: str = ""
    created: str = ""
    origin: str = ""

    @property
    def key(self) -> Key:
        return Key("Gateway", intern(self.namespace), intern(self.name))


class Parent(Struct, frozen=True, gc=False, array_like=True):
    """A Gateway that a route is attached to; `section` and `port` choose listeners, "" and 0 all.

    `namespace` is always there.
    """

    namespace: str
    name: str
    section: str = ""
    port: int = 0

    @property
    def key(self) -> Key:
        return Key("Gateway", intern(self.namespace), intern(self.name))


class Route(Struct, frozen=True, array_like=True, dict=True):
    """An HTTPRoute, GRPCRoute or TLSRoute; see the module's text for `parents`."""

    kind: str
    namespace: str
    name: str
    hostnames: tuple[str, ...] = ()
    parents: tuple[Parent, ...] = ()
    uid: str = ""
    version: str = ""
    created: str = ""
    origin: str = ""

    @property
    def key(self) -> Key:
        return Key(self.kind, intern(self.namespace), intern(self.name))


class StatedRecords(Struct, frozen=True, gc=False, array_like=True):
    """One of a DNSEndpoint's spec.endpoints, as it is written. `ttl` in seconds, 0: none given."""

    name: str
    type: str
    targets: tuple[str, ...] = ()
    ttl: int = 0


class DNSEndpoint(Struct, frozen=True, array_like=True, dict=True):
    """A DNSEndpoint (externaldns.k8s.io/v1alpha1): records as somebody wants them."""

    kind: ClassVar[str] = "DNSEndpoint"
    namespace: str
    name: str
    records: tuple[StatedRecords, ...] = ()
    uid: str = ""
    version: str = ""
    created: str = ""
    origin: str = ""

    @property
    def key(self) -> Key:
        return Key("DNSEndpoint", intern(self.namespace), intern(self.name))


ExternalObject = Ingress | Gateway | Route | DNSEndpoint


# ---------------------------------------------------------------------------------------
# Raw objects.


class RawIngressPoint(Struct, rename="camel"):
    """One of status.loadBalancer.ingress as the API writes it."""

    ip: str | None = None
    hostname: str | None = None


class RawLoadBalancer(Struct, rename="camel"):
    """status.loadBalancer of a Service or an Ingress."""

    ingress: list[RawIngressPoint] | None = None


class RawBalancerStatus(Struct, rename="camel"):
    """The status of a Service or an Ingress, as far as it is read."""

    load_balancer: RawLoadBalancer | None = None


class _RawRule(Struct):
    host: str | None = None


class _RawTLS(Struct):
    hosts: list[str] | None = None


class _RawIngressSpec(Struct):
    rules: list[_RawRule] | None = None
    tls: list[_RawTLS] | None = None


class _RawIngress(Struct):
    metadata: Meta
    spec: _RawIngressSpec | None = None
    status: RawBalancerStatus | None = None


class _RawListener(Struct):
    name: str = ""
    hostname: str | None = None
    port: int | None = None


class _RawGatewaySpec(Struct):
    listeners: list[_RawListener] | None = None


class _RawGatewayAddress(Struct):
    type: str | None = None
    value: str = ""


class _RawGatewayStatus(Struct):
    addresses: list[_RawGatewayAddress] | None = None


class _RawGateway(Struct):
    metadata: Meta
    spec: _RawGatewaySpec | None = None
    status: _RawGatewayStatus | None = None


class _RawParentRef(Struct, rename="camel"):
    name: str = ""
    namespace: str | None = None
    group: str | None = None
    kind: str | None = None
    section_name: str | None = None
    port: int | None = None


class _RawCondition(Struct):
    type: str = ""
    status: str = ""


class _RawParentStatus(Struct, rename="camel"):
    parent_ref: _RawParentRef
    conditions: list[_RawCondition] | None = None


class _RawRouteSpec(Struct, rename="camel"):
    hostnames: list[str] | None = None
    parent_refs: list[_RawParentRef] | None = None


class _RawRouteStatus(Struct):
    parents: list[_RawParentStatus] | None = None


class _RawRoute(Struct):
    metadata: Meta
    spec: _RawRouteSpec | None = None
    status: _RawRouteStatus | None = None


class _RawRecords(Struct, rename="camel"):
    dns_name: str = ""
    record_type: str | None = None
    record_ttl: int | None = field(name="recordTTL", default=None)
    targets: list[str] | None = None


class _RawDNSEndpointSpec(Struct):
    endpoints: list[_RawRecords] | None = None


class _RawDNSEndpoint(Struct):
    metadata: Meta
    spec: _RawDNSEndpointSpec | None = None


# ---------------------------------------------------------------------------------------
# From raw to stripped.


def balancer_ingress(
    check: Check, status: RawBalancerStatus | None
) -> tuple[LoadBalancerIngress, ...]:
    """status.loadBalancer.ingress of a Service or an Ingress. Raises BadObject."""
    balancer = status.load_balancer if status else None
    return tuple(
        _point(check, f"status.loadBalancer.ingress[{i}]", one.ip, one.hostname)
        for i, one in enumerate((balancer.ingress if balancer else None) or ())
    )


def _point(check: Check, field: str, ip: str | None, host: str | None) -> LoadBalancerIngress:
    if host and not is_host_name(host):
        raise check.refuse(f"{field}.hostname", f"{host!r} is not a host name")
    packed = check.address(f"{field}.ip", ip) if ip else b""
    return LoadBalancerIngress(packed, host or "")


def _port(check: Check, field: str, value: int | None) -> int:
    """A port that may be missing, which is 0."""
    return check.port(f"{field}.port", value) if value else 0


def _check(kind: str, meta: Meta) -> Check:
    check = Check(kind, meta, "default")
    if not meta.name:
        raise check.refuse("metadata.name", "is missing")
    check.label("metadata.namespace", check.namespace, LABEL_1123, "DNS label (RFC 1123)")
    return check


def _strip_ingress(raw: _RawIngress, origin: str) -> Ingress:
    meta, spec = raw.metadata, raw.spec or _RawIngressSpec()
    check = _check("Ingress", meta)
    hosts = [rule.host for rule in spec.rules or ()]
    hosts += [host for entry in spec.tls or () for host in entry.hosts or ()]
    return Ingress(
        namespace=check.namespace,
        name=meta.name,
        hosts=tuple(dict.fromkeys(host for host in hosts if host)),
        ingress=balancer_ingress(check, raw.status),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        created=meta.creation_timestamp or "",
        origin=origin,
    )


def _strip_gateway(raw: _RawGateway, origin: str) -> Gateway:
    meta = raw.metadata
    check = _check("Gateway", meta)
    listeners = (raw.spec.listeners if raw.spec else None) or ()
    found = (raw.status.addresses if raw.status else None) or ()
    points = []
    for i, one in enumerate(found):
        field, kind = f"status.addresses[{i}]", one.type or "IPAddress"
        if kind == "IPAddress":
            points.append(LoadBalancerIngress(check.address(f"{field}.value", one.value)))
        elif kind == "Hostname":
            points.append(_point(check, field, None, one.value))
        # Other types are an implementation's own (NamedAddress …): no record can hold one.
    return Gateway(
        namespace=check.namespace,
        name=meta.name,
        listeners=tuple(
            Listener(one.name, one.hostname or "", _port(check, f"spec.listeners[{i}]", one.port))
            for i, one in enumerate(listeners)
        ),
        ingress=tuple(points),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        created=meta.creation_timestamp or "",
        origin=origin,
    )


def _strip_route(kind: str, raw: _RawRoute, origin: str) -> Route:
    meta, spec = raw.metadata, raw.spec or _RawRouteSpec()
    check = _check(kind, meta)
    if raw.status is None and origin:  # a manifest: nobody will ever accept it
        refs = [(f"spec.parentRefs[{i}]", one) for i, one in enumerate(spec.parent_refs or ())]
    else:
        stated = (raw.status.parents if raw.status else None) or ()
        refs = [
            (f"status.parents[{i}].parentRef", one.parent_ref)
            for i, one in enumerate(stated)
            if _accepted(one)
        ]
    parents = [
        Parent(
            one.namespace or check.namespace,
            one.name,
            one.section_name or "",
            _port(check, field, one.port),
        )
        for field, one in refs
        if (one.kind or "Gateway") == "Gateway" and (one.group or GATEWAY_GROUP) == GATEWAY_GROUP
    ]
    return Route(
        kind=kind,
        namespace=check.namespace,
        name=meta.name,
        hostnames=tuple(dict.fromkeys(spec.hostnames or ())),
        parents=tuple(dict.fromkeys(parents)),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        created=meta.creation_timestamp or "",
        origin=origin,
    )


def _accepted(status: _RawParentStatus) -> bool:
    return any(one.type == "Accepted" and one.status == "True" for one in status.conditions or ())


def _strip_http_route(raw: _RawRoute, origin: str) -> Route:
    return _strip_route("HTTPRoute", raw, origin)


def _strip_grpc_route(raw: _RawRoute, origin: str) -> Route:
    return _strip_route("GRPCRoute", raw, origin)


def _strip_tls_route(raw: _RawRoute, origin: str) -> Route:
    return _strip_route("TLSRoute", raw, origin)


def _strip_dns_endpoint(raw: _RawDNSEndpoint, origin: str) -> DNSEndpoint:
    meta = raw.metadata
    check = _check("DNSEndpoint", meta)
    stated = (raw.spec.endpoints if raw.spec else None) or ()
    for i, one in enumerate(stated):
        if not 0 <= (one.record_ttl or 0) < 2**31:
            raise check.refuse(
                f"spec.endpoints[{i}].recordTTL", f"{one.record_ttl} is not in 0 to 2147483647"
            )
    return DNSEndpoint(
        namespace=check.namespace,
        name=meta.name,
        records=tuple(
            StatedRecords(
                one.dns_name, one.record_type or "A", tuple(one.targets or ()), one.record_ttl or 0
            )
            for one in stated
        ),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        created=meta.creation_timestamp or "",
        origin=origin,
    )


EXTERNAL_GROUPS = {
    "Ingress": "networking.k8s.io",
    "Gateway": GATEWAY_GROUP,
    "DNSEndpoint": "externaldns.k8s.io",
    **dict.fromkeys(ROUTE_KINDS, GATEWAY_GROUP),
}
# As `objects.KINDS`, of which these become a part.
EXTERNAL_KINDS: dict[str, tuple[type[Any], Callable[[Any, str], ExternalObject]]] = {
    "Ingress": (_RawIngress, _strip_ingress),
    "Gateway": (_RawGateway, _strip_gateway),
    "HTTPRoute": (_RawRoute, _strip_http_route),
    "GRPCRoute": (_RawRoute, _strip_grpc_route),
    "TLSRoute": (_RawRoute, _strip_tls_route),
    "DNSEndpoint": (_RawDNSEndpoint, _strip_dns_endpoint),
}
