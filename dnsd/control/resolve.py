"""Resolves in the sections what depends on this host, on other sections, or on the cluster.

In `control/` (control process). Change here: what a package receives that its section cannot state.

The addresses and the name of this host and the name servers of resolv.conf are looked up here and
in `forwarding.py`, so that the workers and the pure packages receive plain data.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from msgspec.structs import replace

from dnsd.answer.settings import HOSTNAME
from dnsd.cluster.objects import Service
from dnsd.control.forwarding import upstream_config
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address, pack_address
from dnsd.runtime.loop import uvloop_is_here
from dnsd.worker.messages import Setup
from dnsd.zone.settings import SchemaConfig, resolved


def schema_config(
    settings: Settings, addresses: Sequence[Address], service: Service | None = None
) -> SchemaConfig:
    """The configuration of the schema. For ns.dns.ZONE: `addresses`, where dnsd listens, and
    `service`, through which clients reach it.

    Raises SettingsError for an external zone that is a zone already.
    """
    with settings.naming():
        own = service.cluster_ips if service else ()
        return resolved(settings.schema, own or own_addresses(addresses))


def wants_uvloop(settings: Settings) -> bool:
    """Whether the processes of dnsd run on uvloop."""
    return settings.worker.uvloop != "off" and uvloop_is_here()


def worker_setup(settings: Settings) -> Setup:
    """The setup of the workers, without `index` and `sockets`, which the supervisor fills in.

    Raises SettingsError for upstreams that cannot be used.
    """
    upstream, limits = upstream_config(settings), settings.transport.limits
    engine = replace(
        settings.engine,
        nsid=socket.gethostname().encode()
        if settings.engine.nsid == HOSTNAME
        else settings.engine.nsid,
        tcp_keepalive=int(limits.idle_timeout * 10),
        forwarding=upstream is not None,
        views=settings.views.on,
    )
    return Setup(
        index=0,
        sockets=(),
        engine=engine,
        limits=limits,
        upstream=upstream,
        uvloop=wants_uvloop(settings),
        log_level=settings.log.level,
    )


def own_addresses(addresses: Sequence[Address]) -> tuple[bytes, ...]:
    """The packed addresses of the listeners, with the source address for a wildcard."""
    own: dict[bytes, None] = {}
    for address in addresses:
        packed = pack_address(address.host.partition("%")[0])
        if not any(packed):
            packed = _sent_from(len(packed))
        own[packed] = None
    return tuple(own)


# Documentation addresses (RFC 5737, RFC 3849): `connect` sends nothing, it only selects the source
# address.
_ELSEWHERE = {4: (socket.AF_INET, "192.0.2.1"), 16: (socket.AF_INET6, "2001:db8::1")}


def _sent_from(width: int) -> bytes:
    """The address from which this host sends to other hosts; loopback if it has no route."""
    family, elsewhere = _ELSEWHERE[width]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((elsewhere, 53))
        except OSError:
            return pack_address("127.0.0.1" if width == 4 else "::1")
        host: str = sock.getsockname()[0]
    return pack_address(host.partition("%")[0])
