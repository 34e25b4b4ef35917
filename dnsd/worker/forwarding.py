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

if TYPE_CHECKING:
    from dnsd.answer.engine import Engine
    from dnsd.answer.views import Views


class Forwarding:
    """`stage`: the engine, or the search stage in front. `handlers`: by kind of `Deferred`."""

    def __init__(self, config: UpstreamConfig, engine: Engine | Views, udp_size: int) -> None:
        raise_file_limit(config)
        table = engine.table
        resolver = Resolver(
            config, engine, lambda name: table.zone_of(name) is not None, udp_size=udp_size
        )
        engine.shared.kept = resolver.kept
        self.forwarder = Forwarder(resolver)
        self.handlers: dict[str, Callable[[Any, Send], None]] = {
            Forward.kind: self.forwarder.forward,
            Search.kind: self.forwarder.search,
        }
        self.clients = Clients()
        self.stage: Stage = engine
        if config.search_completion:
            zones, domains = config.search_zones, config.search_domains
            self.stage = SearchStage(engine, self.clients, zones, domains)
