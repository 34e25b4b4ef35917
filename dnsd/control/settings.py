"""Turns the settings into what each package of both planes is configured with.

In `control/` (control process). Change here: what the control process resolves for the others.

The addresses of this host, its name, and the name servers of resolv.conf are looked up here, in
the control process, so that the workers and the pure packages receive plain data.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from dnsd.answer.outcome import EngineConfig
from dnsd.answer.transport import Transport
from dnsd.cluster.objects import Service
from dnsd.control.forwarding import upstream_config
from dnsd.dns.addresses import Address, pack_address
from dnsd.dns.names import name_from_text
from dnsd.runtime.loop import uvloop_is_here
from dnsd.settings.schema import Settings, SettingsError
from dnsd.transport.registry import PLAIN, UnknownTransport, named
from dnsd.transport.stream import StreamLimits
from dnsd.worker.messages import Setup
from dnsd.zone.config import ExternalConfig, ExternalZone, SchemaConfig
from dnsd.zone.views import PolicyRule, ViewConfig, ViewRule


def schema_config(
    settings: Settings, addresses: Sequence[Address], service: Service | None = None
) -> SchemaConfig:
    """What the schema is told. For ns.dns.ZONE: `addresses`, where dnsd listens, and `service`,
    through which it is reached.

    Raises SettingsError for an outside zone that is one already.
    """
    return SchemaConfig(
        zones=tuple(name_from_text(zone) for zone in settings.zone),
        ttl=settings.ttl,
        pods=settings.pods,
        endpoint_names=settings.endpoint_names,
        endpoint_records=settings.endpoint_records,
        empty_services=settings.empty_services,
        ns_addresses=tuple(map(pack_address, settings.ns_addresses))
        or (service.cluster_ips if service else ())
        or own_addresses(addresses),
        reverse_zones=settings.reverse_zones,
        external=_external(settings),
    )


def _external(settings: Settings) -> ExternalConfig:
    names = [*settings.zone, *(zone.name for zone in settings.outside_zones)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        who = settings.named("outside_zones")
        raise SettingsError(f"{who}: {', '.join(twice)} is a zone already; outside needs its own")
    zones = [
        ExternalZone(
            name_from_text(zone.name),
            tuple([(name_from_text(one), tuple(map(pack_address, at))) for one, at in zone.ns]),
            settings.ttl if zone.ttl < 0 else zone.ttl,
        )
        for zone in settings.outside_zones
    ]
    return ExternalConfig(
        zones=tuple(zones),
        names=settings.outside_names,
        node_addresses=settings.outside_node_addresses,
        node_pointers=settings.outside_node_pointers,
        balancer_ports=settings.outside_balancer_ports,
    )


def view_config(settings: Settings) -> ViewConfig:
    """Who sees what."""
    return ViewConfig(
        views=tuple(ViewRule(one.networks, one.see) for one in settings.views),
        policies=tuple(
            PolicyRule(one.namespaces, one.networks, one.see) for one in settings.policies
        ),
        unknown_pods=settings.unknown_pods,
    )


def listening(settings: Settings) -> list[tuple[Address, tuple[Transport, ...]]]:
    """Each address to answer on, and over which transports.

    Raises SettingsError for a scheme that is not a transport.
    """
    try:
        return [
            (one.address, (named(one.scheme),) if one.scheme else PLAIN) for one in settings.listen
        ]
    except UnknownTransport as error:
        raise SettingsError(f"{settings.named('listen')}: {error}") from error


def wants_uvloop(settings: Settings) -> bool:
    """Whether the processes of dnsd run on uvloop."""
    return settings.uvloop != "off" and uvloop_is_here()


def worker_setup(settings: Settings) -> Setup:
    """What workers are told; `index` and `sockets` are the supervisor's to fill in.

    Raises SettingsError for upstreams that cannot be asked.
    """
    upstream = upstream_config(settings)
    return Setup(
        index=0,
        sockets=(),
        engine=EngineConfig(
            udp_size=settings.udp_size,
            nsid=_nsid(settings.nsid),
            version_text=settings.version_text,
            id_text=settings.id_text,
            allow_query=settings.allow_query,
            tcp_keepalive=int(settings.tcp_idle_timeout * 10),
            forwarding=upstream is not None,
            allow_recursion=settings.allow_recursion,
            views=view_config(settings).on,
        ),
        upstream=upstream,
        limits=StreamLimits(
            max_connections=settings.tcp_max_connections,
            per_client=settings.tcp_max_per_client,
            idle_timeout=settings.tcp_idle_timeout,
        ),
        uvloop=wants_uvloop(settings),
        log_level=settings.log_level,
    )


def _nsid(text: str) -> bytes:
    return (socket.gethostname() if text == "hostname" else text).encode()


def own_addresses(addresses: Sequence[Address]) -> tuple[bytes, ...]:
    found: dict[bytes, None] = {}
    for address in addresses:
        packed = pack_address(address.host.partition("%")[0])
        if not any(packed):
            packed = _sent_from(len(packed))
        found[packed] = None
    return tuple(found)


# Documentation addresses (RFC 5737, RFC 3849): nothing is sent, the kernel only says which
# of its addresses it would send from.
_ELSEWHERE = {4: (socket.AF_INET, "192.0.2.1"), 16: (socket.AF_INET6, "2001:db8::1")}


def _sent_from(width: int) -> bytes:
    """The address this host would use towards others; loopback when it has no route."""
    family, elsewhere = _ELSEWHERE[width]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((elsewhere, 53))
        except OSError:
            return pack_address("127.0.0.1" if width == 4 else "::1")
        host: str = sock.getsockname()[0]
    return pack_address(host.partition("%")[0])
