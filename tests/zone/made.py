"""Objects and zones for tests, written short, and zones read back as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dnsd.cluster.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Service,
    ServicePort,
    ServiceSubject,
    Subject,
)
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import Name, name_from_text, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.text import rdata_text
from dnsd.dns.types import type_text
from dnsd.zone.change import Cause, Change
from dnsd.zone.schema import examine
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.zone import Zone

Z = name_from_text("cluster.local.")
CONFIG = SchemaConfig(zones=(Z,))


def name(text: str) -> Name:
    """The name of `text`, below cluster.local unless it ends with a dot."""
    return name_from_text(text, Z)


def packed(*texts: str) -> tuple[bytes, ...]:
    return tuple(pack_address(text) for text in texts)


def service(name: str = "web", *ips: str, ports: Iterable[str] = (), **more: Any) -> Service:
    """A Service of namespace default; ports are written `name/TCP/80`, the name may be empty."""
    split = [port.split("/") for port in ports]
    return Service(
        **{
            "namespace": "default",
            "name": name,
            "cluster_ips": packed(*ips),
            "ports": tuple(ServicePort(port, proto, int(number)) for port, proto, number in split),
            **more,
        }
    )


def endpoint(*ips: str, **more: Any) -> Endpoint:
    return Endpoint(packed(*ips), **more)


def piece(
    *endpoints: Endpoint | str, ports: Iterable[str] = (), name: str = "web-1", service: str = "web"
) -> EndpointSlice:
    """An EndpointSlice; an endpoint that is just an address may be written as one."""
    split = [port.split("/") for port in ports]
    return EndpointSlice(
        namespace="default",
        name=name,
        service=service,
        endpoints=tuple(endpoint(one) if isinstance(one, str) else one for one in endpoints),
        ports=tuple(EndpointPort(port, proto, int(number)) for port, proto, number in split),
    )


def headless(*pieces: EndpointSlice, **more: Any) -> ServiceSubject:
    return ServiceSubject(service(**{"headless": True, **more}), pieces)


def rrsets(subject: Subject, config: SchemaConfig) -> list[RRset]:
    return examine(subject, config)[0]


Table = dict[str, list[str]]


def table(sets: Iterable[RRset]) -> Table:
    """`{"web.default.svc.cluster.local. A": ["10.0.0.1"], …}`; markers are `name -`."""
    out: Table = {}
    for one in sets:
        kind = type_text(one.type) if one.type else "-"
        key = f"{text_of(one.name)} {kind}"
        assert key not in out, f"{key} twice"
        out[key] = [rdata_text(one.type, rdata) for rdata in one.rdatas]
    return out


def names_of(subject: Subject, **config: Any) -> Table:
    """The table of one subject, relative to cluster.local where it lies there."""
    sets = rrsets(subject, SchemaConfig(**{"zones": (Z,), **config}))
    return {key.replace(".cluster.local.", "", 1): value for key, value in table(sets).items()}


def put(zone: Zone, subject: Subject) -> Change | None:
    return zone.replace(subject.key, rrsets(subject, zone.config), Cause(subject.key))
