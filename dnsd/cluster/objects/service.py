"""Service (core/v1).

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of a
Service dnsd uses, and how it checks them.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from msgspec import Struct, field

from dnsd.cluster.objects.kind import Dated, Kind, Raw
from dnsd.cluster.objects.load_balancer import (
    LoadBalancerIngress,
    RawLoadBalancerStatus,
    load_balancer_ingress,
)
from dnsd.cluster.validation import PROTOCOLS, RFC_1035, Check, is_host_name
from dnsd.dns.addresses import is_address

SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
HOSTNAME_ANNOTATIONS = (
    "external-dns.alpha.kubernetes.io/hostname",
    "coredns.io/hostname",
)


class ServicePort(Struct, frozen=True, gc=False, array_like=True):
    """One of spec.ports. `name` is empty for the unnamed port of a single-port Service."""

    name: str
    protocol: str  # "TCP", "UDP", or "SCTP"
    port: int
    node_port: int = 0  # 0: not set


class Service(Dated, frozen=True):
    """A Service. `cluster_ips` is empty when headless or not yet allocated."""

    kind: ClassVar[str] = "Service"
    namespace: str
    name: str
    type: str = "ClusterIP"  # one of SERVICE_TYPES
    headless: bool = False
    cluster_ips: tuple[bytes, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    publish_not_ready: bool = False
    ip_families: tuple[str, ...] = ()  # as requested: "IPv4", "IPv6"
    ip_family_policy: str = ""
    external_ips: tuple[bytes, ...] = ()
    load_balancer_ip: bytes = b""
    ingress: tuple[LoadBalancerIngress, ...] = ()
    external_traffic_policy: str = ""
    hostnames: tuple[str, ...] = ()  # of HOSTNAME_ANNOTATIONS, as written
    allocated: bool = False  # dnsd allocated a ClusterIP, see sources/manifests/allocate.py
    ports_allocated: bool = False  # dnsd allocated a nodePort, see sources/manifests/nodeports.py
    labels: dict[str, str] = field(default_factory=dict)


class _RawPort(Struct, rename="camel"):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    node_port: int | None = None


class _RawSpec(Struct, rename="camel"):
    type: str | None = None
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_ips: list[str] | None = field(name="clusterIPs", default=None)
    ports: list[_RawPort] | None = None
    external_name: str | None = None
    publish_not_ready_addresses: bool | None = None
    ip_families: list[str] | None = None
    ip_family_policy: str | None = None
    external_ips: list[str] | None = field(name="externalIPs", default=None)
    load_balancer_ip: str | None = field(name="loadBalancerIP", default=None)
    external_traffic_policy: str | None = None


_Raw = Raw[_RawSpec, RawLoadBalancerStatus]


def _strip(raw: _Raw, check: Check) -> Service:
    meta, spec = raw.metadata, raw.spec or _RawSpec()
    type_ = check.one_of("spec.type", spec.type or "ClusterIP", SERVICE_TYPES)
    external = type_ == "ExternalName"
    name = spec.external_name or ""
    # An IP address gets no records, but the object is still a Service, and `explain` reports it.
    if external and not is_host_name(name) and not is_address(name):
        problem = f"{name!r} is not a host name" if name else "is missing"
        raise check.error("spec.externalName", problem)
    headless, cluster_ips = (False, ()) if external else _cluster_ips(spec, check, type_)
    balancer_ip, several = spec.load_balancer_ip, len(spec.ports or ()) > 1
    return Service(
        type=type_,
        headless=headless,
        cluster_ips=cluster_ips,
        ports=check.each("spec.ports", spec.ports, partial(_port, set(), several)),
        external_name=name if external else "",
        publish_not_ready=bool(spec.publish_not_ready_addresses),
        ip_families=tuple(spec.ip_families or ()),
        ip_family_policy=spec.ip_family_policy or "",
        external_ips=check.addresses("spec.externalIPs", spec.external_ips),
        load_balancer_ip=check.address("spec.loadBalancerIP", balancer_ip) if balancer_ip else b"",
        ingress=load_balancer_ingress(check, raw.status),
        external_traffic_policy=spec.external_traffic_policy or "",
        hostnames=_hostnames(meta.annotations or {}),
        labels=meta.labels or {},
        **check.metadata,
    )


def _cluster_ips(spec: _RawSpec, check: Check, type_: str) -> tuple[bool, tuple[bytes, ...]]:
    """Whether the Service is headless, and its addresses: at most one of each family."""
    field = "spec.clusterIPs" if spec.cluster_ips else "spec.clusterIP"
    if (spec.cluster_ips[0] if spec.cluster_ips else spec.cluster_ip) == "None":
        if type_ != "ClusterIP":
            raise check.error(field, f"'None' (headless) is not valid with type {type_}")
        return True, ()
    packed = check.addresses("spec.clusterIPs", spec.cluster_ips)
    if not packed and spec.cluster_ip:
        packed = (check.address(field, spec.cluster_ip),)
    if len(packed) > 2 or len({len(ip) for ip in packed}) < len(packed):
        raise check.error(field, "holds more than one IPv4 and one IPv6 address")
    return False, packed


def _port(seen: set[str], several: bool, check: Check, raw: _RawPort) -> ServicePort:
    """One of spec.ports. `seen`: the names of the ports before it."""
    name = raw.name or ""
    if name:
        check.label("name", name)
    elif several:
        raise check.error("name", "is missing; name each of several ports")
    if name in seen:
        raise check.error("name", f"{name!r} is used twice")
    seen.add(name)
    node_port = check.port("nodePort", raw.node_port) if raw.node_port else 0
    protocol = check.one_of("protocol", raw.protocol or "TCP", PROTOCOLS)
    return ServicePort(name, protocol, check.port("port", raw.port), node_port)


def _hostnames(annotations: dict[str, str]) -> tuple[str, ...]:
    if not annotations:
        return ()
    lists = (annotations.get(name, "").split(",") for name in HOSTNAME_ANNOTATIONS)
    return tuple(host.strip() for hosts in lists for host in hosts if host.strip())


KIND = Kind("Service", "services", "", _Raw, Service, _strip, name_rule=RFC_1035)
