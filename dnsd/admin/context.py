"""What the routes of the API may read and do.

In `admin/` (control plane: the HTTP API). Change here: data that several routes share.

A route uses only its `Context`, so a test can build one without a network. The control process
implements the `ControlPlane` protocol; this package does not import `control/`.

Clocks: durations and the pairing of changes with their acknowledgment use time.monotonic. Times
that are shown, or compared with times of the cluster, use time.time (seconds since the epoch).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import structlog
from msgspec import Struct

from dnsd import __version__
from dnsd.admin.events import Events
from dnsd.admin.live import Live
from dnsd.admin.names import NameIndex
from dnsd.admin.records import Records
from dnsd.admin.settings import Settings
from dnsd.cluster.objects import EndpointSlice, Key, Service
from dnsd.dns.message import Rcode
from dnsd.dns.names import ROOT, Name, is_below, text_of
from dnsd.dns.rrset import RRset
from dnsd.explain.explain import ClientViews, Runtime
from dnsd.explain.lookup import lookup
from dnsd.observe.facts import Facts, HistoryStatus, ServerFacts, WorkerStatus
from dnsd.observe.histogram import CHANGE_BOUNDS, Histogram
from dnsd.observe.history import RELOAD, History
from dnsd.runtime.tasks import Tasks
from dnsd.sources.source import Source, SourceStatus
from dnsd.transport.listener import Listener
from dnsd.upstream.status import Where
from dnsd.worker import counters
from dnsd.worker.requests import NoWorker
from dnsd.worker.supervisor import Supervisor
from dnsd.zone.change import Cause, Change
from dnsd.zone.frame import NOT_READY, STALE
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.zone import Zone

log = structlog.get_logger(__name__)

_MAX_LAG = 5.0  # seconds that an event loop may be late and still count as running
_MAX_PENDING = 10_000  # changes that wait for the acknowledgment of the workers
_INTERVAL = 1.0  # seconds between two readings of counters and states
_RATE_SPAN = 10.0  # seconds over which `rates` are computed


class ControlPlane(Protocol):
    """What the API needs of the control process.

    `started_at` is in seconds since the epoch; `started` and `handed_in` (when the source handed
    in the current batch) are in seconds of time.monotonic.
    """

    on_answered: list[Callable[[Change], None]]
    pipeline: Pipeline
    supervisor: Supervisor
    sources: Sequence[Source]
    synced: asyncio.Event
    started_at: float
    started: float
    handed_in: float

    @property
    def settings(self) -> Settings: ...
    @property
    def view_zones(self) -> ClientViews | None: ...
    @property
    def listeners(self) -> Sequence[Listener]: ...
    @property
    def state(self) -> int: ...
    @property
    def unknown(self) -> Sequence[Name]: ...

    def place(self, contributor: Key, rrsets: Sequence[RRset], cause: Cause) -> Change | None: ...


@runtime_checkable
class ReportsReady(Protocol):
    """A source that decides whether dnsd is ready while the source is unreachable."""

    @property
    def ready(self) -> bool: ...


@runtime_checkable
class SavesSnapshot(Protocol):
    """A source with a snapshot that can be written on request."""

    async def save(self) -> str:
        """Write the snapshot. The path; "" without data or a directory for it."""


class Health(Struct, frozen=True):
    """The result of a probe. `reason`: of the first check that failed."""

    ok: bool
    reason: str


class Context:
    """The control process as the API sees it. `reload` does the same as SIGHUP."""

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
        self.live = Live(plane.settings.admin.query_samples, plane.supervisor.watch, self.queries)
        self.events = Events()
        self.draining = False
        self.changes = 0
        self.begun = False  # the initial names are in the history; later changes are recorded
        self.change_seconds = Histogram(CHANGE_BOUNDS)
        self.programming = {
            "headless": Histogram(CHANGE_BOUNDS),
            "cluster_ip": Histogram(CHANGE_BOUNDS),
        }
        self.history_status = HistoryStatus(0, 0, 0.0, 0, False)
        # Changes without an acknowledgment: when handed in (monotonic), trigger time, kind.
        self._pending: deque[tuple[float, float, str]] = deque(maxlen=_MAX_PENDING)
        self._rates: deque[tuple[float, dict[str, int]]] = deque(maxlen=60)
        self._tasks = Tasks()
        plane.on_answered += [history.follow, self._follow]
        self.pipeline.on_rebuild.append(self._rebuilt)
        plane.supervisor.on_applied.append(self._applied)
        plane.supervisor.on_samples.append(self.live.take)

    # -- observers ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Start the history when the zone is synced, and update the rates until cancelled."""
        try:
            self.live.start()
            await self.plane.synced.wait()
            self.begun = True
            if differ := await self.history.begin(self.pipeline.zone):
                log.info("names changed while dnsd was not running", names=differ)
            while True:
                self._rates.append((time.monotonic(), self.counters()))
                self.history_status = await self.history.status()
                self.events.states({one.name: one.state for one in self.sources()})
                await asyncio.sleep(_INTERVAL)
        finally:
            await self._tasks.close()

    def _follow(self, change: Change) -> None:
        self.changes += 1
        if self.begun:
            self.events.change(change)
            self._pending.append((self.plane.handed_in, *self._trigger(change)))

    def _trigger(self, change: Change) -> tuple[float, str]:
        """When the cluster changed (seconds since the epoch, 0.0 for unknown), and the kind."""
        cause = self.pipeline.get(change.cause.key)
        service = self.pipeline.get(change.contributor)
        kind = "headless" if isinstance(service, Service) and service.headless else "cluster_ip"
        if isinstance(cause, EndpointSlice) and cause.trigger_time:
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(cause.trigger_time).timestamp(), kind
        return 0.0, kind

    def _applied(self, handed_in: float, now: float) -> None:
        """Every worker answers by the batch that was handed in at this monotonic time."""
        if self.begun:
            self.change_seconds.add(max(0.0, now - handed_in))
        while self._pending and self._pending[0][0] <= handed_in:
            _, trigger, kind = self._pending.popleft()
            if trigger >= self.plane.started_at:
                self.programming[kind].add(max(0.0, time.time() - trigger))

    def _rebuilt(self, zone: Zone) -> None:
        if self.begun:
            self._tasks.start(self.history.begin(zone, RELOAD), "record the rebuilt zone")
            self.events.reset(zone)

    # -- reading -----------------------------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """The counters of all workers by name."""
        return dict(zip(counters.names(), self.plane.supervisor.counters(), strict=True))

    def queries(self) -> int:
        """The total number of answered queries."""
        return counters.queries(self.plane.supervisor.counters())

    def rates(self) -> dict[str, float]:
        """Counts per second over the last 10 s, by counter; empty during the first second."""
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
        """Whether each process is alive and its event loop runs."""
        for worker in self.workers():
            if worker.state not in ("open", "draining") and self.plane.synced.is_set():
                return Health(False, f"worker {worker.index} is {worker.state}")
            if worker.lag > _MAX_LAG:
                return Health(False, f"worker {worker.index} was {worker.lag:.1f} s late")
        return Health(True, "every process is alive")

    def ready(self) -> Health:
        """Whether clients should send queries to this dnsd."""
        if self.draining:
            return Health(False, "draining: requested through the API")
        if self.plane.state == NOT_READY:
            return Health(False, "not synced: a source is not complete")
        if not any(worker.state == "open" for worker in self.workers()):
            return Health(False, "no worker answers")
        if not self.stale:
            return Health(True, "synced")
        if all(one.ready for one in self.plane.sources if isinstance(one, ReportsReady)):
            return Health(True, "stale, and still ready")
        return Health(False, "stale: the source is unreachable")

    @property
    def stale(self) -> bool:
        return self.plane.state == STALE

    async def runtime(self, name: Name, type_: int) -> Runtime:
        """What `explain` needs beside the zone, for this name."""
        plane, settings = self.plane, self.plane.settings
        forwarding = plane.supervisor.setup.upstream is not None
        data = {NOT_READY: "not ready", STALE: "stale"}.get(plane.state, "fresh")
        if data != "not ready" and any(is_below(name, one) for one in plane.unknown):
            data = "not known"
        upstream = cached = ""
        end = lookup(self.pipeline.zone, name, type_)
        if forwarding and end.left:
            upstream = "forwarded to an upstream server"
            with contextlib.suppress(NoWorker):
                where = await plane.supervisor.peek(end.end, type_)
                if where is not None:
                    upstream, cached = _upstream(where), _cached(where)
        return Runtime(
            data=data,
            upstream=upstream,
            cached=cached,
            view_zones=plane.view_zones,
            allow_query=settings.engine.allow_query,
            allow_recursion=settings.engine.allow_recursion,
        )

    def servers(self) -> list[ServerFacts]:
        """The upstream servers over all workers. A server is up if any worker reaches it."""
        found: dict[str, ServerFacts] = {}
        for one in (one for part in self.plane.supervisor.servers() for one in part):
            known = found.get(one.address, ServerFacts(one.address, False, 0.0, 0, 0))
            found[one.address] = ServerFacts(
                one.address,
                one.up or known.up,
                max(one.latency, known.latency),
                one.answers + known.queries,
                one.failures + known.failures,
            )
        return list(found.values())

    def services_by_type(self) -> dict[str, int]:
        kinds = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "headless")
        return dict.fromkeys(kinds, 0) | self.pipeline.state.service_types()

    def facts(self) -> Facts:
        """The values of all metrics."""
        pipeline = self.pipeline
        return Facts(
            version=__version__,
            now=time.time(),
            started_at=self.plane.started_at,
            ready=self.ready().ok,
            stale=self.stale,
            counters=self.counters(),
            workers=tuple(self.workers()),
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
            history=self.history_status,
            streams=len(self.live.listeners),
            samples=self.live.samples,
        )


def _upstream(where: Where) -> str:
    """Where an external name is answered, as a clause."""
    if where.servers:
        rule = f" (rule for {text_of(where.suffix)})" if where.suffix not in (b"", ROOT) else ""
        return f"forwarded to {', '.join(where.servers)}{rule}"
    if where.by_dnsd:
        return "dnsd answers it: a name of `hosts`, or a special-use name (RFC 6761)"
    return ""


def _cached(where: Where) -> str:
    """What the cache of one worker holds for a name, as a clause."""
    if not where.servers:
        return ""
    if where.left is None:
        return "the cache of the queried worker has no reply"
    rcode = Rcode(where.rcode).name if where.rcode in set(Rcode) else str(where.rcode)
    if where.left < 0:
        return f"a cached reply ({rcode}) expired {-where.left:.0f} s ago"
    return f"a cached reply ({rcode}) is valid for {where.left:.0f} s"
