"""EndpointSlice (discovery.k8s.io/v1), and Endpoints (core/v1), which is decoded into slices.

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of an
EndpointSlice dnsd uses, and how it checks them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from msgspec import Struct

from dnsd.cluster.objects.kind import Kind, Object, Undated
from dnsd.cluster.validation import PROTOCOLS, RFC_1123, Check, Meta
from dnsd.dns.addresses import pack_addresses

_GROUP = "discovery.k8s.io"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


class EndpointPort(Struct, frozen=True, gc=False, array_like=True):
    """One of the ports of an EndpointSlice. `port` 0 means all ports (null in the API)."""

    name: str
    protocol: str
    port: int


class Endpoint(Struct, frozen=True, gc=False, array_like=True):
    """One of the endpoints of an EndpointSlice. An absent `ready` means true, as in the API."""

    addresses: tuple[bytes, ...]
    hostname: str = ""
    ready: bool = True
    pod: str = ""  # targetRef.name when targetRef.kind is Pod
    node: str = ""


class EndpointSlice(Undated, frozen=True):
    """An EndpointSlice. `service`: the label kubernetes.io/service-name; "": no Service."""

    kind: ClassVar[str] = "EndpointSlice"
    namespace: str
    name: str
    service: str
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()
    trigger_time: str = ""  # annotation endpoints.kubernetes.io/last-change-trigger-time


class _RawTarget(Struct):
    kind: str | None = None
    name: str | None = None


class _RawAddress(Struct, rename="camel"):
    hostname: str | None = None
    target_ref: _RawTarget | None = None
    node_name: str | None = None

    def endpoint(self, check: Check, addresses: tuple[bytes, ...], ready: bool) -> Endpoint:
        if self.hostname:
            check.label("hostname", self.hostname)
        target = self.target_ref
        pod = target.name if target and target.kind == "Pod" else ""
        return Endpoint(addresses, self.hostname or "", ready, pod or "", self.node_name or "")


class _RawPort(Struct):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class _RawConditions(Struct):
    ready: bool | None = None


class _RawEndpoint(_RawAddress):
    addresses: list[str] | None = None
    conditions: _RawConditions | None = None


class _RawSlice(Struct, rename="camel"):
    metadata: Meta
    address_type: str | None = None
    endpoints: list[_RawEndpoint] | None = None
    ports: list[_RawPort] | None = None


class _RawEndpointsAddress(_RawAddress):
    ip: str = ""


class _RawSubset(Struct, rename="camel"):
    addresses: list[_RawEndpointsAddress] | None = None
    not_ready_addresses: list[_RawEndpointsAddress] | None = None
    ports: list[_RawPort] | None = None


class _RawEndpoints(Struct):
    metadata: Meta
    subsets: list[_RawSubset] | None = None


def _strip(raw: _RawSlice, check: Check) -> EndpointSlice:
    meta, family = raw.metadata, raw.address_type
    if family is not None:
        check.one_of("addressType", family, ("IPv4", "IPv6", "FQDN"))
    endpoints: tuple[Endpoint, ...] = ()
    if family != "FQDN":  # an A or AAAA record cannot hold host names
        endpoints = check.each("endpoints", raw.endpoints, _ENDPOINT_OF[family])
    return EndpointSlice(
        service=(meta.labels or {}).get(SERVICE_NAME_LABEL, ""),
        endpoints=endpoints,
        ports=check.each("ports", raw.ports, _port),
        trigger_time=(meta.annotations or {}).get(TRIGGER_TIME, ""),
        **check.metadata,
    )


def _endpoint_of(family: str | None, octets: int) -> Callable[[Check, _RawEndpoint], Endpoint]:
    def endpoint(check: Check, raw: _RawEndpoint) -> Endpoint:
        addresses = pack_addresses(raw.addresses, octets)
        if addresses is None:
            check.addresses("addresses", raw.addresses)
            raise check.error("addresses", f"is not of addressType {family}")
        ready = raw.conditions is None or raw.conditions.ready is not False
        return raw.endpoint(check, addresses, ready)

    return endpoint


_ENDPOINT_OF = {
    family: _endpoint_of(family, octets)
    for family, octets in ((None, 0), ("IPv4", 4), ("IPv6", 16))
}


def _port(check: Check, raw: _RawPort) -> EndpointPort:
    if raw.name:
        check.label("name", raw.name)
    number = 0 if raw.port is None else check.port("port", raw.port)
    protocol = check.one_of("protocol", raw.protocol or "TCP", PROTOCOLS)
    return EndpointPort(raw.name or "", protocol, number)


def _strip_endpoints(raw: _RawEndpoints, check: Check) -> list[Object]:
    """One slice per subset: each subset pairs its own addresses with its own ports."""
    return [
        EndpointSlice(
            service=check.name,
            endpoints=endpoints,
            ports=ports,
            **check.metadata | {"name": f"endpoints/{check.name}/{i}"},
        )
        for i, (endpoints, ports) in enumerate(check.each("subsets", raw.subsets, _subset))
    ]


def _subset(check: Check, raw: _RawSubset) -> tuple[tuple[Endpoint, ...], tuple[EndpointPort, ...]]:
    ready = check.each("addresses", raw.addresses, partial(_old_endpoint, True))
    others = check.each("notReadyAddresses", raw.not_ready_addresses, partial(_old_endpoint, False))
    return ready + others, check.each("ports", raw.ports, _port)


def _old_endpoint(ready: bool, check: Check, raw: _RawEndpointsAddress) -> Endpoint:
    return raw.endpoint(check, (check.address("ip", raw.ip),), ready)


KIND = Kind(
    "EndpointSlice", "endpointslices", _GROUP, _RawSlice, EndpointSlice, _strip, contributes=False
)
ENDPOINTS = Kind(
    "Endpoints", "endpoints", "", _RawEndpoints, None, _strip_endpoints, name_rule=RFC_1123
)
