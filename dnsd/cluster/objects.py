"""What DNS needs of the cluster's objects, and nothing more.

An object of the API is large; the names it causes depend on a handful of its fields.
Here every kind has two shapes:

* a *raw* struct (`_RawService` …) that mirrors the JSON of the API, with only our fields:
  msgspec decodes and validates it in one pass and skips the rest;
* the *stripped* struct (`Service` …) the rest of dnsd works with: flat, frozen, addresses
  as packed bytes, with `version` (metadata.resourceVersion) and `origin` (the manifest it
  was read from) kept so that an answer can be traced to what caused it. Whoever keeps many
  keeps them packed (see `packing.py`): they are array-like, and remember their octets in
  `__dict__`. Names outlive the objects, in Keys and as keys of dictionaries: those that are
  kept are interned, so that there is one copy of each.

`strip` turns one into the other and applies the API server's own validation where DNS
depends on it, so a source that has no API server in front of it (manifests) is held to the
same rules, and one that has is not trusted for it. Every refusal is a `BadObject` that
names the object, the field and the problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from sys import intern
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from dnsd.cluster.external_objects import (
    EXTERNAL_GROUPS,
    EXTERNAL_KINDS,
    ROUTE_KINDS,
    DNSEndpoint,
    ExternalObject,
    Gateway,
    Ingress,
    Listener,
    LoadBalancerIngress,
    Parent,
    RawBalancerStatus,
    Route,
    StatedRecords,
    balancer_ingress,
)
from dnsd.cluster.validation import (
    LABEL_1035,
    LABEL_1123,
    PORT_NAME,
    PROTOCOLS,
    BadObject,
    Check,
    Key,
    Meta,
    is_host_name,
)
from dnsd.dns.addresses import is_address, pack_addresses

__all__ = [
    "CLUSTER_SCOPED",
    "CONTRIBUTOR_KINDS",
    "GROUPS",
    "HOSTNAME_ANNOTATIONS",
    "KINDS",
    "PROTOCOLS",
    "RAW_TYPES",
    "ROUTE_KINDS",
    "SERVICE_NAME_LABEL",
    "SERVICE_TYPES",
    "TRIGGER_TIME",
    "BadObject",
    "DNSEndpoint",
    "Endpoint",
    "EndpointPort",
    "EndpointSlice",
    "Event",
    "ExternalObject",
    "Gateway",
    "Ingress",
    "Key",
    "Listener",
    "LoadBalancerIngress",
    "Namespace",
    "Node",
    "Object",
    "Parent",
    "Pod",
    "Route",
    "RouteSubject",
    "Service",
    "ServicePort",
    "ServiceSubject",
    "StatedRecords",
    "Subject",
    "from_json",
    "from_plain",
    "is_host_name",
    "strip",
]

# ---------------------------------------------------------------------------------------
# Stripped objects: what the rest of dnsd sees.


class ServicePort(Struct, frozen=True, gc=False, array_like=True):
    """One of spec.ports. `name` is empty for the unnamed port of a single-port Service."""

    name: str
    protocol: str  # "TCP", "UDP" or "SCTP"
    port: int
    node_port: int = 0  # 0: none


class Service(Struct, frozen=True, array_like=True, dict=True):
    """A Service (core/v1). `cluster_ips` is empty when headless or not yet allocated."""

    kind: ClassVar[str] = "Service"
    namespace: str
    name: str
    type: str = "ClusterIP"  # ClusterIP, NodePort, LoadBalancer, ExternalName
    headless: bool = False
    cluster_ips: tuple[bytes, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    publish_not_ready: bool = False
    ip_families: tuple[str, ...] = ()  # as asked: "IPv4", "IPv6"
    ip_family_policy: str = ""
    external_ips: tuple[bytes, ...] = ()
    load_balancer_ip: bytes = b""
    ingress: tuple[LoadBalancerIngress, ...] = ()
    external_traffic_policy: str = ""
    hostnames: tuple[str, ...] = ()  # from the annotations of HOSTNAME_ANNOTATIONS
    allocated: bool = False  # dnsd chose the ClusterIP, see cluster/allocate.py
    ports_allocated: bool = False  # dnsd chose a nodePort, see cluster/nodeports.py
    labels: dict[str, str] = {}
    uid: str = ""
    version: str = ""
    created: str = ""
    origin: str = ""

    @property
    def key(self) -> Key:
        return Key("Service", intern(self.namespace), intern(self.name))


class EndpointPort(Struct, frozen=True, gc=False, array_like=True):
    """One of an EndpointSlice's ports; `port` 0 means "all ports" (the API's null)."""

    name: str
    protocol: str
    port: int


class Endpoint(Struct, frozen=True, gc=False, array_like=True):
    """One of an EndpointSlice's endpoints.

    `ready` already has the API's default applied (absent means ready).
    """

    addresses: tuple[bytes, ...]
    hostname: str = ""
    ready: bool = True
    pod: str = ""  # targetRef.name when targetRef.kind is Pod
    node: str = ""


class EndpointSlice(Struct, frozen=True, array_like=True, dict=True):
    """An EndpointSlice (discovery.k8s.io/v1), or an old Endpoints object read as one.

    `service` is the label kubernetes.io/service-name; empty: belongs to no Service.
    """

    kind: ClassVar[str] = "EndpointSlice"
    namespace: str
    name: str
    service: str
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()
    trigger_time: str = ""  # annotation endpoints.kubernetes.io/last-change-trigger-time
    uid: str = ""
    version: str = ""
    origin: str = ""

    @property
    def key(self) -> Key:
        return Key("EndpointSlice", intern(self.namespace), intern(self.name))


class Namespace(Struct, frozen=True, array_like=True, dict=True):
    """A Namespace (core/v1)."""

    kind: ClassVar[str] = "Namespace"
    name: str
    labels: dict[str, str] = {}
    uid: str = ""
    version: str = ""
    origin: str = ""

    @property
    def namespace(self) -> str:
        return ""

    @property
    def key(self) -> Key:
        return Key("Namespace", "", intern(self.name))


class Pod(Struct, frozen=True, array_like=True, dict=True):
    """A Pod (core/v1): its addresses, and whether they are its own or its node's."""

    kind: ClassVar[str] = "Pod"
    namespace: str
    name: str
    ips: tuple[bytes, ...] = ()
    phase: str = ""
    host_network: bool = False
    dns_policy: str = "ClusterFirst"
    searches: tuple[str, ...] = ()  # spec.dnsConfig.searches
    uid: str = ""
    version: str = ""
    origin: str = ""

    @property
    def key(self) -> Key:
        return Key("Pod", intern(self.namespace), intern(self.name))

    @property
    def running(self) -> bool:
        """Whether the Pod has addresses that answer for it (not finished)."""
        return self.phase not in ("Succeeded", "Failed")


class Node(Struct, frozen=True, array_like=True, dict=True):
    """A Node (core/v1)."""

    kind: ClassVar[str] = "Node"
    name: str
    internal_ips: tuple[bytes, ...] = ()
    external_ips: tuple[bytes, ...] = ()
    ready: bool = False
    uid: str = ""
    version: str = ""
    created: str = ""
    origin: str = ""

    @property
    def namespace(self) -> str:
        return ""

    @property
    def key(self) -> Key:
        return Key("Node", "", intern(self.name))


Object = Service | EndpointSlice | Namespace | Pod | Node | ExternalObject

# An event of a source: an object as it now is, or the Key of one that is gone.
Event = Object | Key


# ---------------------------------------------------------------------------------------
# Raw objects: the JSON of the API, only our fields. The API writes null for empty lists
# (`"endpoints":null`), so every optional field allows None.


class _RawPort(Struct, rename="camel"):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    node_port: int | None = None


class _RawServiceSpec(Struct, rename="camel"):
    type: str | None = None
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    cluster_ips: list[str] | None = msgspec.field(name="clusterIPs", default=None)
    ports: list[_RawPort] | None = None
    external_name: str | None = None
    publish_not_ready_addresses: bool | None = None
    ip_families: list[str] | None = None
    ip_family_policy: str | None = None
    external_ips: list[str] | None = msgspec.field(name="externalIPs", default=None)
    load_balancer_ip: str | None = msgspec.field(name="loadBalancerIP", default=None)
    external_traffic_policy: str | None = None


class _RawService(Struct, rename="camel"):
    metadata: Meta
    spec: _RawServiceSpec | None = None
    status: RawBalancerStatus | None = None


class _RawConditions(Struct, rename="camel"):
    ready: bool | None = None


class _RawTarget(Struct, rename="camel"):
    kind: str | None = None
    name: str | None = None


class _RawEndpoint(Struct, rename="camel"):
    addresses: list[str] | None = None
    conditions: _RawConditions | None = None
    hostname: str | None = None
    target_ref: _RawTarget | None = None
    node_name: str | None = None


class _RawEndpointSlice(Struct, rename="camel"):
    metadata: Meta
    address_type: str | None = None
    endpoints: list[_RawEndpoint] | None = None
    ports: list[_RawPort] | None = None


class _RawOldAddress(Struct, rename="camel"):
    ip: str = ""
    hostname: str | None = None
    target_ref: _RawTarget | None = None
    node_name: str | None = None


class _RawSubset(Struct, rename="camel"):
    addresses: list[_RawOldAddress] | None = None
    not_ready_addresses: list[_RawOldAddress] | None = None
    ports: list[_RawPort] | None = None


class _RawEndpoints(Struct, rename="camel"):
    metadata: Meta
    subsets: list[_RawSubset] | None = None


class _RawNamespace(Struct, rename="camel"):
    metadata: Meta


class _RawDNSConfig(Struct, rename="camel"):
    searches: list[str] | None = None


class _RawPodSpec(Struct, rename="camel"):
    host_network: bool | None = None
    dns_policy: str | None = None
    dns_config: _RawDNSConfig | None = None


class _RawPodIP(Struct, rename="camel"):
    ip: str = ""


class _RawPodStatus(Struct, rename="camel"):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    pod_ips: list[_RawPodIP] | None = msgspec.field(name="podIPs", default=None)


class _RawPod(Struct, rename="camel"):
    metadata: Meta
    spec: _RawPodSpec | None = None
    status: _RawPodStatus | None = None


class _RawNodeAddress(Struct, rename="camel"):
    type: str = ""
    address: str = ""


class _RawCondition(Struct, rename="camel"):
    type: str = ""
    status: str = ""


class _RawNodeStatus(Struct, rename="camel"):
    addresses: list[_RawNodeAddress] | None = None
    conditions: list[_RawCondition] | None = None


class _RawNode(Struct, rename="camel"):
    metadata: Meta
    status: _RawNodeStatus | None = None


_WIDTHS: dict[str | None, int] = {"IPv4": 4, "IPv6": 16}  # octets, by addressType
SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
HOSTNAME_ANNOTATIONS = (
    "external-dns.alpha.kubernetes.io/hostname",
    "coredns.io/hostname",
)


def _strip_service(raw: _RawService, origin: str) -> Service:
    meta, spec = raw.metadata, raw.spec or _RawServiceSpec()
    check = Check("Service", meta, "default")
    check.label(
        "metadata.name",
        meta.name,
        LABEL_1035,
        "DNS label (RFC 1035: a-z, 0-9, '-', begins with a letter)",
    )
    check.label(
        "metadata.namespace", check.namespace, LABEL_1123, "DNS label (RFC 1123: a-z, 0-9, '-')"
    )
    kind = spec.type or "ClusterIP"
    if kind not in SERVICE_TYPES:
        raise check.refuse("spec.type", f"{kind!r} is none of {', '.join(SERVICE_TYPES)}")
    external = kind == "ExternalName"
    external_name = spec.external_name or ""
    if external:
        # An address literal gets no records but is a Service all the same: explain says why.
        if not is_host_name(external_name) and not is_address(external_name):
            raise check.refuse(
                "spec.externalName",
                f"{external_name!r} is not a host name" if external_name else "is missing",
            )
    ips_field, item, ips = "spec.clusterIPs", "[{}]", spec.cluster_ips
    if not ips:
        ips_field, item, ips = "spec.clusterIP", "", [spec.cluster_ip] if spec.cluster_ip else []
    headless = not external and ips[:1] == ["None"]
    if headless and kind != "ClusterIP":
        raise check.refuse(ips_field, f"'None' (headless) does not go with type {kind}")
    if external or headless:
        cluster_ips: tuple[bytes, ...] = ()
    else:
        cluster_ips = check.addresses(ips_field, ips, item)
        if len(cluster_ips) > 2 or len({len(ip) for ip in cluster_ips}) < len(cluster_ips):
            raise check.refuse(ips_field, "holds at most one IPv4 and one IPv6 address")
    return Service(
        namespace=check.namespace,
        name=meta.name,
        type=kind,
        headless=headless,
        cluster_ips=cluster_ips,
        ports=_service_ports(check, spec.ports),
        external_name=external_name if external else "",
        publish_not_ready=bool(spec.publish_not_ready_addresses),
        ip_families=tuple(spec.ip_families or ()),
        ip_family_policy=spec.ip_family_policy or "",
        external_ips=check.addresses("spec.externalIPs", spec.external_ips),
        load_balancer_ip=check.address("spec.loadBalancerIP", spec.load_balancer_ip)
        if spec.load_balancer_ip
        else b"",
        ingress=balancer_ingress(check, raw.status),
        external_traffic_policy=spec.external_traffic_policy or "",
        hostnames=_hostnames(meta.annotations),
        labels=meta.labels or {},
        uid=meta.uid or "",
        version=meta.resource_version or "",
        created=meta.creation_timestamp or "",
        origin=origin,
    )


def _service_ports(check: Check, ports: list[_RawPort] | None) -> tuple[ServicePort, ...]:
    if not ports:
        return ()
    seen: set[str] = set()
    out = []
    for i, port in enumerate(ports):
        field = f"spec.ports[{i}]"
        name = port.name or ""
        if name:
            check.label(f"{field}.name", name, PORT_NAME, "DNS label")
        elif len(ports) > 1:
            raise check.refuse(f"{field}.name", "is missing; a Service of several ports names each")
        if name in seen:
            raise check.refuse(f"{field}.name", f"{name!r} is used twice")
        seen.add(name)
        node_port = port.node_port or 0
        if not 0 <= node_port <= 65535:
            raise check.refuse(f"{field}.nodePort", f"{node_port} is not in 1 to 65535")
        out.append(
            ServicePort(
                name,
                check.protocol(f"{field}.protocol", port.protocol),
                check.port(f"{field}.port", port.port),
                node_port,
            )
        )
    return tuple(out)


def _hostnames(annotations: dict[str, str] | None) -> tuple[str, ...]:
    """The host names that HOSTNAME_ANNOTATIONS list, as they are written."""
    if not annotations:
        return ()
    return tuple(
        host.strip()
        for annotation in HOSTNAME_ANNOTATIONS
        for host in annotations.get(annotation, "").split(",")
        if host.strip()
    )


def _strip_endpoint(check: Check, i: int, one: _RawEndpoint, family: str | None) -> Endpoint:
    """endpoints[i] of a slice."""
    width = _WIDTHS.get(family, 0)
    addresses = pack_addresses(one.addresses, width)
    # Fields are named when something is wrong, which in 100,000 endpoints takes its time.
    if addresses is None:
        field = f"endpoints[{i}].addresses"
        check.addresses(field, one.addresses)
        raise check.refuse(field, f"is not of addressType {family}")
    if one.hostname:
        _check_hostname(check, f"endpoints[{i}]", one.hostname)
    ready = one.conditions is None or one.conditions.ready is not False
    return Endpoint(addresses, one.hostname or "", ready, _pod(one.target_ref), one.node_name or "")


def _check_hostname(check: Check, field: str, hostname: str) -> None:
    check.label(f"{field}.hostname", hostname, LABEL_1123, "DNS label (RFC 1123)")


def _pod(target: _RawTarget | None) -> str:
    return target.name or "" if target is not None and target.kind == "Pod" else ""


def _strip_slice(raw: _RawEndpointSlice, origin: str) -> EndpointSlice:
    meta = raw.metadata
    check = Check("EndpointSlice", meta, "default")
    if not meta.name:
        raise check.refuse("metadata.name", "is missing")
    check.label("metadata.namespace", check.namespace, LABEL_1123, "DNS label (RFC 1123)")
    service = (meta.labels or {}).get(SERVICE_NAME_LABEL, "")
    # addressType FQDN carries host names, which no A or AAAA can hold: no endpoints for DNS.
    if raw.address_type not in (None, "IPv4", "IPv6", "FQDN"):
        raise check.refuse("addressType", f"{raw.address_type!r} is none of IPv4, IPv6, FQDN")
    endpoints = () if raw.address_type == "FQDN" else raw.endpoints or ()
    return EndpointSlice(
        namespace=check.namespace,
        name=meta.name,
        service=service,
        endpoints=tuple(
            [_strip_endpoint(check, i, one, raw.address_type) for i, one in enumerate(endpoints)]
        ),
        ports=_endpoint_ports(check, "ports", raw.ports),
        trigger_time=(meta.annotations or {}).get(TRIGGER_TIME, ""),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        origin=origin,
    )


def _endpoint_ports(
    check: Check, field: str, ports: list[_RawPort] | None
) -> tuple[EndpointPort, ...]:
    out = []
    for i, port in enumerate(ports or ()):
        if port.name:
            check.label(f"{field}[{i}].name", port.name, PORT_NAME, "DNS label")
        number = 0 if port.port is None else check.port(f"{field}[{i}].port", port.port)
        protocol = check.protocol(f"{field}[{i}].protocol", port.protocol)
        out.append(EndpointPort(port.name or "", protocol, number))
    return tuple(out)


def _strip_endpoints(raw: _RawEndpoints, origin: str) -> list[EndpointSlice]:
    """An old Endpoints object (core/v1): one slice a subset, named after it.

    Each subset pairs its own addresses with its own ports, so subsets stay apart.
    """
    meta = raw.metadata
    check = Check("Endpoints", meta, "default")
    check.label("metadata.name", meta.name, LABEL_1123, "DNS label (RFC 1123)")
    check.label("metadata.namespace", check.namespace, LABEL_1123, "DNS label (RFC 1123)")
    slices = []
    for i, subset in enumerate(raw.subsets or ()):
        endpoints = []
        for part, ready in (("addresses", True), ("notReadyAddresses", False)):
            raws = subset.addresses if ready else subset.not_ready_addresses
            for j, one in enumerate(raws or ()):
                field = f"subsets[{i}].{part}[{j}]"
                packed = (check.address(f"{field}.ip", one.ip),)
                if one.hostname:
                    _check_hostname(check, field, one.hostname)
                pod, node = _pod(one.target_ref), one.node_name or ""
                endpoints.append(Endpoint(packed, one.hostname or "", ready, pod, node))
        slices.append(
            EndpointSlice(
                namespace=check.namespace,
                name=f"endpoints/{meta.name}/{i}",
                service=meta.name,
                endpoints=tuple(endpoints),
                ports=_endpoint_ports(check, f"subsets[{i}].ports", subset.ports),
                uid=meta.uid or "",
                version=meta.resource_version or "",
                origin=origin,
            )
        )
    return slices


def _strip_namespace(raw: _RawNamespace, origin: str) -> Namespace:
    meta = raw.metadata
    check = Check("Namespace", meta)
    check.label("metadata.name", meta.name, LABEL_1123, "DNS label (RFC 1123)")
    return Namespace(
        meta.name, meta.labels or {}, meta.uid or "", meta.resource_version or "", origin
    )


def _strip_pod(raw: _RawPod, origin: str) -> Pod:
    meta, spec, status = raw.metadata, raw.spec or _RawPodSpec(), raw.status or _RawPodStatus()
    check = Check("Pod", meta, "default")
    if not meta.name:
        raise check.refuse("metadata.name", "is missing")
    check.label("metadata.namespace", check.namespace, LABEL_1123, "DNS label (RFC 1123)")
    field, item, texts = "status.podIPs", "[{}].ip", [one.ip for one in status.pod_ips or ()]
    if not texts and status.pod_ip:
        field, item, texts = "status.podIP", "", [status.pod_ip]
    return Pod(
        namespace=check.namespace,
        name=meta.name,
        ips=check.addresses(field, texts, item),
        phase=status.phase or "",
        host_network=bool(spec.host_network),
        dns_policy=spec.dns_policy or "ClusterFirst",
        searches=tuple((spec.dns_config.searches if spec.dns_config else None) or ()),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        origin=origin,
    )


def _strip_node(raw: _RawNode, origin: str) -> Node:
    meta, status = raw.metadata, raw.status or _RawNodeStatus()
    check = Check("Node", meta)
    if not meta.name:
        raise check.refuse("metadata.name", "is missing")
    ips: dict[str, list[bytes]] = {"InternalIP": [], "ExternalIP": []}
    for i, one in enumerate(status.addresses or ()):
        if one.type in ips:
            ips[one.type].append(check.address(f"status.addresses[{i}].address", one.address))
    return Node(
        name=meta.name,
        internal_ips=tuple(ips["InternalIP"]),
        external_ips=tuple(ips["ExternalIP"]),
        ready=any(c.type == "Ready" and c.status == "True" for c in status.conditions or ()),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        created=meta.creation_timestamp or "",
        origin=origin,
    )


# The kinds dnsd reads: raw shape and how it is stripped. Endpoints yields several slices.
_KINDS: dict[str, tuple[type[Any], Callable[[Any, str], Object | list[EndpointSlice]]]] = {
    "Service": (_RawService, _strip_service),
    "EndpointSlice": (_RawEndpointSlice, _strip_slice),
    "Endpoints": (_RawEndpoints, _strip_endpoints),
    "Namespace": (_RawNamespace, _strip_namespace),
    "Pod": (_RawPod, _strip_pod),
    "Node": (_RawNode, _strip_node),
    **EXTERNAL_KINDS,
}
KINDS = tuple(_KINDS)
CLUSTER_SCOPED = ("Namespace", "Node")
# The API group of each kind; none: the core group.
GROUPS: dict[str, str] = {"EndpointSlice": "discovery.k8s.io", **EXTERNAL_GROUPS}
RAW_TYPES: dict[str, type[Any]] = {kind: raw for kind, (raw, _) in _KINDS.items()}


def strip(kind: str, raw: Any, origin: str = "") -> list[Object]:
    """The stripped objects of one decoded raw object of a kind in `KINDS`.

    One object each, but for Endpoints: one EndpointSlice a subset. Raises `BadObject`.
    """
    out = _KINDS[kind][1](raw, origin)
    return list(out) if isinstance(out, list) else [out]


def from_plain(plain: dict[str, Any], origin: str = "") -> list[Object]:
    """The stripped objects of one document of parsed YAML or JSON whose kind is in `KINDS`.

    Raises `BadObject` with the field's path for a wrong type as well as for a wrong value.
    """
    kind = plain["kind"]
    meta = plain.get("metadata")
    try:
        raw = msgspec.convert(plain, RAW_TYPES[kind])
    except msgspec.ValidationError as error:
        known = meta if isinstance(meta, dict) else {}
        space, name = str(known.get("namespace") or ""), str(known.get("name") or "")
        raise BadObject(kind, space, name, *_misfit(plain, str(error))) from error
    return strip(kind, raw, origin)


_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def _misfit(plain: dict[str, Any], error: str) -> tuple[str, str]:
    """Field and problem of a wrong type, from what msgspec says of it.

    That ends in "at `$.spec`", in "at `$.metadata.labels[...]`" for a value under some key,
    and in "at `key` in `$.spec`" for a key; which key it was is found here.
    """
    problem, _, path = error.rstrip("`").partition(" - at `")
    of_key, path = path.startswith("key`"), path.removeprefix("key` in `")
    inside: Any = plain
    for name, index in _STEP.findall(path):
        inside = inside[int(index)] if index else inside.get(name)
    if of_key:
        key = next((key for key in inside if not isinstance(key, str)), None)
        problem = f"the key {_json_text(key)} is not text; put it in quotes"
    elif path.endswith("[...]"):
        key = next((key for key, value in inside.items() if not isinstance(value, str)), "...")
        path = f"{path[:-5]}[{key}]"
    return path.removeprefix("$").removeprefix("."), problem


def _json_text(value: Any) -> str:
    """A scalar as YAML and JSON write it: `true`, `null`, `8080`."""
    return msgspec.json.encode(value).decode()


def from_json(kind: str, data: bytes | msgspec.Raw, origin: str = "") -> list[Object]:
    """The stripped objects of one JSON object of the API; its kind is known by where it came from.

    Raises `BadObject`; `msgspec.DecodeError` when the bytes are not JSON at all.
    """
    raw = _DECODERS[kind].decode(data)
    return strip(kind, raw, origin)


_DECODERS = {kind: msgspec.json.Decoder(raw) for kind, raw in RAW_TYPES.items()}


# ---------------------------------------------------------------------------------------
# Subjects: what the schema is asked about, one contributor of names each.


class ServiceSubject(Struct, frozen=True):
    """A Service with all the EndpointSlices that name it, in the order of their names.

    `nodes`: all Nodes by name, of a Service whose names outside depend on them (else none).
    Their `version`, `uid` and `origin` are empty: a heartbeat changes nothing here.
    """

    service: Service
    slices: tuple[EndpointSlice, ...] = ()
    nodes: tuple[Node, ...] = ()

    @property
    def key(self) -> Key:
        return self.service.key


class RouteSubject(Struct, frozen=True):
    """A route with those of its parents that exist, in the order of their names."""

    route: Route
    gateways: tuple[Gateway, ...] = ()

    @property
    def key(self) -> Key:
        return self.route.key


Subject = ServiceSubject | Namespace | Pod | Node | Ingress | RouteSubject | DNSEndpoint

# The kinds that own names. An EndpointSlice and a Gateway have a say in those of others.
CONTRIBUTOR_KINDS = ("Service", "Namespace", "Pod", "Node", "Ingress", *ROUTE_KINDS, "DNSEndpoint")
