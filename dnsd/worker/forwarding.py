"""The forwarding of a worker: resolver, pods, and the search stage, put together.

In `worker/` (data plane: the process that answers). Change here: what a worker forwards.

Imported only where upstream servers are configured, because its imports are large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dnsd.answer.outcome import Forward
from dnsd.answer.stages import Stage
from dnsd.upstream.clients import Clients
from dnsd.upstream.completing import Search, SearchStage
from dnsd.upstream.forwarder import Forwarder, Send, raise_file_limit
from dnsd.upstream.resolver import Resolver
from dnsd.upstream.settings import UpstreamConfig
from dnsd.worker.messages import Upstream

if TYPE_CHECKING:
    from dnsd.answer.engine import Engine
    from dnsd.answer.views import Views

_MAX_SERVERS = 100  # upstream servers in a heartbeat


class Forwarding:
    """`stage`: the engine, or the search stage in front. `handlers`: by kind of `Deferred`."""

    def __init__(self, config: UpstreamConfig, engine: Engine | Views, udp_size: int) -> None:
        raise_file_limit(config)
        self._table = table = engine.table
        self._zoned = 0  # `Table.zoned` when the forwarder last got the zones
        self.resolver = Resolver(
            config, engine, lambda name: table.zone_of(name) is not None, udp_size=udp_size
        )
        engine.shared.kept = self.resolver.kept
        self.forwarder = Forwarder(self.resolver)
        self.handlers: dict[str, Callable[[Any, Send], None]] = {
            Forward.kind: self.forwarder.forward,
            Search.kind: self.forwarder.search,
        }
        self.clients = Clients()
        self.stage: Stage = engine
        if config.search_completion:
            zones, domains = config.search_zones, config.search_domains
            self.stage = SearchStage(engine, self.clients, zones, domains)

    def set_zones(self) -> None:
        """Gives the zones of the table to the forwarder if some were added or removed."""
        if self._zoned != self._table.zoned:
            self._zoned = self._table.zoned
            self.forwarder.set_zones(self._table.zone_refs.keys())

    def upstreams(self) -> tuple[Upstream, ...]:
        """The upstream servers and their health, for a heartbeat."""
        servers = ((one.spec, one.health) for one in self.resolver.servers()[:_MAX_SERVERS])
        return tuple(
            Upstream(str(spec), not health.down, health.latency, health.answers, health.timeouts)
            for spec, health in servers
        )
