"""What a worker needs to ask upstreams. Imported only where there are any: it is a large room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsd.answer.engine import Engine, Forward
from dnsd.dns.names import name_from_text
from dnsd.upstream.clients import Clients
from dnsd.upstream.completing import Completable, Completing
from dnsd.upstream.config import UpstreamConfig
from dnsd.upstream.forwarder import Forwarder, make_room
from dnsd.upstream.resolver import Resolver

if TYPE_CHECKING:
    from dnsd.answer.views import Views


class Forwarding:
    """`forwarder`: who is asked for names that are not ours. `front`: what the transports ask, the
    engine or what completes search paths in front of it.
    """

    def __init__(self, config: UpstreamConfig, engine: Engine | Views, udp_size: int) -> None:
        make_room(config)
        table = engine.table
        resolver = Resolver(
            config, engine, lambda name: table.zone_of(name) is not None, udp_size=udp_size
        )
        engine.kept = resolver.kept
        self.forwarder = Forwarder(resolver)
        self.clients = Clients()
        self.front: Engine | Views | Completing = engine
        if config.search_completion:
            zones = tuple(name_from_text(zone) for zone in config.search_zones)
            domains = tuple(name_from_text(domain) for domain in config.search_domains)
            self.front = Completing(engine, self.clients, zones, domains)

    @staticmethod
    def is_for(outcome: object) -> bool:
        """Whether an outcome of `front` is a question to `forwarder`."""
        return isinstance(outcome, Forward | Completable)
