"""What the API knows and may do: the house, seen from the front desk.

Everything that a resource needs is here, so that no resource reaches into the house by
itself, and a test can have a desk without a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol, runtime_checkable

import structlog
from msgspec import Struct

from dnsd import __version__
from dnsd.admin.events import Listeners
from dnsd.admin.live import Live
from dnsd.admin.names import NameIndex
from dnsd.admin.records import Records
from dnsd.cluster.objects import EndpointSlice, Key, Service
from dnsd.control.plane import ControlPlane
from dnsd.dns.message import Rcode
from dnsd.dns.names import ROOT, Name, is_below, text_of
from dnsd.dns.rrset import RRset
from dnsd.explain.explain import Circumstances
from dnsd.explain.lookup import lookup
from dnsd.observe.facts import Facts, ServerFacts, WorkerFacts
from dnsd.observe.histogram import CHANGE_BOUNDS, Histogram
from dnsd.observe.history import RELOAD, History, HistoryStatus
from dnsd.sources.source import SourceStatus
from dnsd.upstream.status import Where
from dnsd.worker import counters
from dnsd.worker.supervisor import NoWorker, WorkerStatus
from dnsd.zone.change import Cause, Change
from dnsd.zone.frame import NOT_READY, STALE
from dnsd.zone.zone import Zone

log = structlog.get_logger(__name__)

_MAX_LAG = 5.0  # seconds an event loop may be late and count as moving
_MAX_PENDING = 10_000  # changes whose way into the workers is timed
_RATE_SPAN = 10.0  # seconds that the rates of `rates` are taken over


@runtime_checkable
class Judges(Protocol):
    """A source that knows whether queries should be sent here while it is out of reach."""

    @property
    def ready(self) -> bool: ...


@runtime_checkable
class Saves(Protocol):
    """A source that keeps a snapshot, and can be told to write it now."""

    async def save(self) -> str:
        """Where it was written; "" when there is nothing to write, or nowhere."""


class Health(Struct, frozen=True):
    """The answer of a probe: whether all is well, and the first reason why not."""

    ok: bool
    reason: str


class Context:
    """The house as the API sees it. `reload` is what SIGHUP does."""

    def __init__(
        self,
        plane: ControlPlane,
        history: History,
        records: Records,
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        self.plane, self.history, self.records, self.reload = plane, history, records, reload
        self.pipeline = plane.pipeline
        self.index = NameIndex(plane.pipeline)
        self.live = Live(plane.settings.query_samples, plane.supervisor.watch, self.queries)
        self.events = Listeners()
        self.draining = False
        self.changes = 0
        self.begun = False  # the history follows; what came before was the start
        self.change_seconds = Histogram(CHANGE_BOUNDS)
        self.programming = {
            "headless": Histogram(CHANGE_BOUNDS),
            "cluster_ip": Histogram(CHANGE_BOUNDS),
        }
        self.history_status = HistoryStatus(0, 0, 0.0, 0, False)
        self._pending: deque[tuple[float, float, str]] = deque(maxlen=_MAX_PENDING)
        self._rates: deque[tuple[float, dict[str, int]]] = deque(maxlen=60)
        self._tasks: set[asyncio.Task[object]] = set()
        plane.on_answered += [history.follow, self._follow]
        self.pipeline.on_rebuild.append(self._reset)
        plane.supervisor.on_applied.append(self._answered)
        plane.supervisor.on_samples.append(self.live.take)

    # -- following ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Follows the house until cancelled: the history from when it is synced, the rates."""
        self.live.start()
        await self.plane.synced.wait()
        self.begun = True
        differ = await self.history.begin(self.pipeline.zone)
        if differ:
            log.info("names changed while dnsd was not running", names=differ)
        while True:
            now = time.monotonic()
            if not self._rates or now >= self._rates[-1][0] + 0.9:
                self._rates.append((now, self.counters()))
            self.history_status = await self.history.status()
            self.events.states({one.name: one.state for one in self.sources()})
            await asyncio.sleep(1.0)

    def _follow(self, change: Change) -> None:
        self.changes += 1
        if not self.begun:
            return
        self.events.change(change)
        handed_in = change.cause.at - time.time() + time.monotonic()
        self._pending.append((handed_in, *self._trigger(change)))

    def _trigger(self, change: Change) -> tuple[float, str]:
        """When the cluster changed (seconds since the epoch, 0.0 unknown), and whose names."""
        cause = self.pipeline.state.get(change.cause.key)
        service = self.pipeline.state.get(change.contributor)
        kind = "headless" if isinstance(service, Service) and service.headless else "cluster_ip"
        if not isinstance(cause, EndpointSlice) or not cause.trigger_time:
            return 0.0, kind
        try:
            return datetime.fromisoformat(cause.trigger_time).timestamp(), kind
        except ValueError:
            return 0.0, kind

    def _answered(self, handed_in: float, now: float) -> None:
        """Every worker answers by the batch that was handed in at this moment."""
        if self.begun:
            self.change_seconds.add(max(0.0, now - handed_in))
        # The cause's clock and this one agree to far less than the first bucket.
        while self._pending and self._pending[0][0] <= handed_in + 0.001:
            _, trigger, kind = self._pending.popleft()
            if trigger >= self.plane.started_at:
                self.programming[kind].add(max(0.0, time.time() - trigger))

    def _reset(self, zone: Zone) -> None:
        if self.begun:
            self._keep(self.history.begin(zone, RELOAD))
            self.events.reset(zone)

    def _keep(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- doing -------------------------------------------------------------------------------

    def place(self, contributor: Key, rrsets: list[RRset], cause: Cause) -> Change | None:
        """Puts records into the zone, and into the workers."""
        return self.plane.place(contributor, rrsets, cause)

    # -- knowing -----------------------------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """What all workers counted, by name."""
        return dict(zip(counters.names(), self.plane.supervisor.counters(), strict=True))

    def queries(self) -> int:
        """How many queries were answered in all."""
        return counters.queries(self.plane.supervisor.counters())

    def rates(self) -> dict[str, float]:
        """What was counted a second lately, by the counter's name; empty at the start."""
        if len(self._rates) < 2:
            return {}
        now, latest = self._rates[-1]
        then, before = next(
            (one for one in self._rates if one[0] >= now - _RATE_SPAN), self._rates[0]
        )
        span = now - then
        if span <= 0:
            return {}
        return {
            name: round((count - before[name]) / span, 3)
            for name, count in latest.items()
            if count != before[name]
        }

    def sources(self) -> list[SourceStatus]:
        return [status for source in self.plane.sources for status in source.status()]

    def workers(self) -> list[WorkerStatus]:
        return self.plane.supervisor.status()

    def healthy(self) -> Health:
        """Every process alive, event loops moving."""
        for worker in self.workers():
            if worker.state not in ("open", "draining") and self.plane.synced.is_set():
                return Health(False, f"worker {worker.index} is {worker.state}")
            if worker.lag > _MAX_LAG:
                return Health(False, f"worker {worker.index} was {worker.lag:.1f} s late")
        return Health(True, "every process is alive")

    def ready(self) -> Health:
        """Whether queries should be sent here."""
        if self.draining:
            return Health(False, "draining: asked to by the API")
        if self.plane.state == NOT_READY:
            return Health(False, "not synced: not everything is known yet")
        if not any(worker.state == "open" for worker in self.workers()):
            return Health(False, "no worker answers")
        if self.plane.state == STALE and not self._ready_when_stale():
            return Health(False, "stale: the source is out of reach")
        return Health(True, "stale, and ready all the same" if self.stale else "synced")

    def _ready_when_stale(self) -> bool:
        return all(one.ready for one in self.plane.sources if isinstance(one, Judges))

    @property
    def stale(self) -> bool:
        return self.plane.state == STALE

    async def circumstances(self, name: Name, type_: int) -> Circumstances:
        """What `explain` is told beside the zone, for a name that it is about."""
        settings, forwarding = self.plane.settings, self.plane.supervisor.setup.upstream
        data = {NOT_READY: "not ready", STALE: "stale"}.get(self.plane.state, "fresh")
        if data != "not ready" and any(is_below(name, one) for one in self.plane.unknown):
            data = "not known"
        upstream = cached = ""
        end = lookup(self.pipeline.zone, name, type_)
        if forwarding is not None and end.left:
            upstream, cached = "at an upstream server", ""
            with contextlib.suppress(NoWorker):
                where = await self.plane.supervisor.peek(end.end, type_)
                if where is not None:
                    upstream, cached = _route(where), _cached(where)
        return Circumstances(
            data=data,
            upstream=upstream,
            cached=cached,
            view_zones=self.plane.view_zones,
            allow_query=settings.allow_query,
            allow_recursion=settings.allow_recursion if forwarding is not None else (),
        )

    def _servers(self) -> list[tuple[ServerFacts, ...]]:
        return [
            tuple(
                ServerFacts(one.address, one.up, one.latency, one.answers, one.failures)
                for one in part
            )
            for part in self.plane.supervisor.servers()
        ]

    def servers(self) -> list[ServerFacts]:
        """The upstream servers over all workers; one is up when any worker reaches it."""
        found: dict[str, ServerFacts] = {}
        for part in self._servers():
            for one in part:
                known = found.get(one.address)
                found[one.address] = (
                    one
                    if known is None
                    else ServerFacts(
                        one.address,
                        one.up or known.up,
                        max(one.latency, known.latency),
                        one.queries + known.queries,
                        one.failures + known.failures,
                    )
                )
        return list(found.values())

    def services_by_type(self) -> dict[str, int]:
        kinds = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "headless")
        return dict.fromkeys(kinds, 0) | self.pipeline.state.service_types()

    def facts(self) -> Facts:
        """Everything the metrics are made of."""
        pipeline, kept = self.pipeline, self.history_status
        return Facts(
            version=__version__,
            now=time.time(),
            started_at=self.plane.started_at,
            ready=self.ready().ok,
            stale=self.stale,
            counters=self.counters(),
            workers=tuple(
                WorkerFacts(one.index, one.state == "open", one.age, one.lag, one.restarts)
                for one in self.workers()
            ),
            serial=pipeline.zone.serial,
            names=len(pipeline.zone),
            objects=pipeline.state.counts(),
            services=self.services_by_type(),
            problems=len(pipeline.problems),
            disputes=len(pipeline.zone.disputes),
            failures=pipeline.failures,
            changes=self.changes,
            change_seconds=self.change_seconds,
            programming_seconds=self.programming,
            answer_seconds=self.live.answer_seconds,
            sources=tuple(self.sources()),
            servers=tuple(self.servers()),
            history_changes=kept.changes,
            history_bytes=kept.bytes,
            history_lost=kept.lost,
            streams=len(self.live.listeners),
            samples=self.live.samples,
        )


def _route(where: Where) -> str:
    """Who answers for a name that is not ours, as a clause."""
    if where.how == "servers":
        rule = (
            f", by the rule for {text_of(where.suffix)}" if where.suffix not in (b"", ROOT) else ""
        )
        return f"of {', '.join(where.servers)}{rule}"
    if where.how == "here":
        return "of nobody else: it is pinned here, or never leaves"
    return ""


def _cached(where: Where) -> str:
    if where.how != "servers":
        return ""
    if where.left is None:
        return "the worker that was asked keeps no reply for it"
    rcode = Rcode(where.rcode).name if where.rcode in set(Rcode) else str(where.rcode)
    if where.left < 0:
        return f"a reply ({rcode}) is kept that ran out {-where.left:.0f} s ago"
    return f"a reply ({rcode}) is kept for {where.left:.0f} s more"
