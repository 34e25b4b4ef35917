"""EndpointSlice (discovery.k8s.io/v1), and Endpoints (core/v1), which is decoded into slices.

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of an
EndpointSlice dnsd uses, and how it checks them.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from dnsd.cluster.objects.kind import Kind, Object, Undated
from dnsd.cluster.validation import PROTOCOLS, RFC_1123, Check, Meta
from dnsd.dns.addresses import pack_addresses

_GROUP = "discovery.k8s.io"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
_OCTETS: dict[str | None, int] = {"IPv4": 4, "IPv6": 16}  # of an address, by addressType


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

    def endpoint(self, addresses: tuple[bytes, ...], ready: bool) -> Endpoint:
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
    # addressType FQDN carries host names, which an A or AAAA record cannot hold.
    endpoints = () if family == "FQDN" else raw.endpoints or ()
    return EndpointSlice(
        service=(meta.labels or {}).get(SERVICE_NAME_LABEL, ""),
        endpoints=tuple([_endpoint(check, i, one, family) for i, one in enumerate(endpoints)]),
        ports=_ports(check, "ports", raw.ports),
        trigger_time=(meta.annotations or {}).get(TRIGGER_TIME, ""),
        namespace=check.namespace,
        name=check.name,
        uid=check.uid,
        version=check.version,
        origin=check.origin,
    )


def _endpoint(check: Check, i: int, raw: _RawEndpoint, family: str | None) -> Endpoint:
    addresses = pack_addresses(raw.addresses, _OCTETS.get(family, 0))
    # The path of a field is built only for an error: a cluster has 100,000 endpoints.
    if addresses is None:
        field = f"endpoints[{i}].addresses"
        check.addresses(field, raw.addresses)
        raise check.error(field, f"is not of addressType {family}")
    if raw.hostname:
        check.label(f"endpoints[{i}].hostname", raw.hostname)
    return raw.endpoint(addresses, raw.conditions is None or raw.conditions.ready is not False)


def _ports(check: Check, field: str, ports: list[_RawPort] | None) -> tuple[EndpointPort, ...]:
    out = []
    for i, port in enumerate(ports or ()):
        if port.name:
            check.label(f"{field}[{i}].name", port.name)
        number = 0 if port.port is None else check.port(f"{field}[{i}].port", port.port)
        protocol = check.one_of(f"{field}[{i}].protocol", port.protocol or "TCP", PROTOCOLS)
        out.append(EndpointPort(port.name or "", protocol, number))
    return tuple(out)


def _strip_endpoints(raw: _RawEndpoints, check: Check) -> list[Object]:
    """One slice per subset: each subset pairs its own addresses with its own ports."""
    slices: list[Object] = []
    for i, subset in enumerate(raw.subsets or ()):
        endpoints = []
        for part, ready, addresses in (
            ("addresses", True, subset.addresses),
            ("notReadyAddresses", False, subset.not_ready_addresses),
        ):
            for j, one in enumerate(addresses or ()):
                field = f"subsets[{i}].{part}[{j}]"
                packed = (check.address(f"{field}.ip", one.ip),)
                if one.hostname:
                    check.label(f"{field}.hostname", one.hostname)
                endpoints.append(one.endpoint(packed, ready))
        slices.append(
            EndpointSlice(
                service=check.name,
                endpoints=tuple(endpoints),
                ports=_ports(check, f"subsets[{i}].ports", subset.ports),
                **check.metadata(EndpointSlice) | {"name": f"endpoints/{check.name}/{i}"},
            )
        )
    return slices


KIND = Kind(
    "EndpointSlice", "endpointslices", _GROUP, _RawSlice, EndpointSlice, _strip, contributes=False
)
ENDPOINTS = Kind(
    "Endpoints", "endpoints", "", _RawEndpoints, None, _strip_endpoints, name_rule=RFC_1123
)
