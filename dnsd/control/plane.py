"""The control plane: takes batches of the sources, and sends frames to the workers.

In `control/` (control process). Change here: what one batch does, and in which order.

    source -> ControlPlane.publish -> Pipeline.feed -> Change -> compile_change -> Supervisor

A batch is one step for the workers too. Each Change is compiled at once, while the zone is as the
Change left it; the frames of the batch are sent together. A batch that takes longer than a step of
the event loop (`runtime/steps.py`) is continued in the next ones, and so are a zone that is rebuilt
and the table of a new view. The frames of each step are sent at its end.

While the claim is NOT_READY every answer is SERVFAIL, so no name is compiled. With the first other
claim (FRESH when the sources are synced) the workers get the whole table.

The observers in `on_answered` (admin, history, metrics) get each Change after its frames are sent,
so no client waits for them. `supervisor.on_applied` reports when all workers have applied a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import structlog

from dnsd.cluster.objects import Event, Key, Service
from dnsd.control.claims import Claim, claim_of, join
from dnsd.control.resolve import own_addresses, schema_config, worker_setup
from dnsd.control.serial import SerialFile
from dnsd.control.settings import Settings
from dnsd.control.views import ViewZones
from dnsd.dns.names import Name, text_of
from dnsd.dns.rrset import RRset
from dnsd.runtime.steps import Step, in_steps
from dnsd.sources.source import Batch, Source
from dnsd.transport.listener import Listener
from dnsd.upstream.clients import compile_clients
from dnsd.worker.supervisor import Supervisor
from dnsd.zone.building import addresses_at
from dnsd.zone.change import Cause, Change
from dnsd.zone.compile import NODES_PER_FRAME, compile_all, compile_change, compile_empty
from dnsd.zone.frame import NOT_READY, compile_state
from dnsd.zone.journal import Journal
from dnsd.zone.merge import APEX_KEY, HOSTS, OVERRIDES, YIELDS
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.schema import names_of
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.zone import Zone

log = structlog.get_logger(__name__)

_KEYS = 100  # objects of a batch in one piece of work


class ControlPlane:
    """The settings, sources, pipeline, and supervisor of one control process.

    `slots`: the listeners of each worker. `listeners`: those of one worker. `addresses`: where
    they are bound, with their ports.
    `started_at`: seconds since the epoch. `started` and `handed_in` (of the batch whose Changes
    the observers get): seconds of time.monotonic().
    """

    def __init__(
        self,
        settings: Settings,
        slots: Sequence[Sequence[Listener]],
        sources: Sequence[Source],
        serials: SerialFile,
        clusters: Sequence[str] = ("",),
    ) -> None:
        """`clusters`: the name of each source, for `publish`; that of the first is empty."""
        self.settings = settings
        self.sources, self.clusters = sources, clusters
        self.started_at, self.started = time.time(), time.monotonic()
        self.handed_in = self.started
        self.listeners = tuple(slots[0])
        self.addresses = [*dict.fromkeys(listener.address for listener in slots[0])]
        self.synced = asyncio.Event()  # there is a zone to answer from
        self._claims = dict.fromkeys(clusters, Claim())
        self._claim = Claim()  # the join, as the workers have it
        self._here = own_addresses(self.addresses)
        self.journal = Journal(settings.journal.changes, settings.journal.size)
        self.pipeline = Pipeline(
            schema_config(settings, self.addresses), serials.first(self.started_at), log=log
        )
        self.on_answered: list[Callable[[Change], None]] = []
        self._unreported: list[Change] = []  # to `on_answered`
        self.pipeline.on_change.append(self._compile)
        view = settings.views
        self.view_zones = ViewZones(view, self.pipeline) if view.on else None
        self.supervisor = Supervisor(slots, worker_setup(settings), self.table)
        self._serials = serials
        self._published: deque[tuple[Batch, str, float]] = deque()  # with cluster and time
        self._rest: Iterator[None] | None = None  # of the work that was begun
        self._working = False  # in a step of `_work`, or between two
        self._compiling = False  # whether the workers need the frames of the current step
        self._frames: list[bytes] = []
        self._observer_failures = 0
        self._pinned: set[Key] = set()
        self._pin(settings)

    # -- from the sources to the workers ---------------------------------------------------

    def publish(self, batch: Batch, cluster: str = "") -> None:
        """Take in a batch of a source: state, zone, journal, workers.

        A batch that fits into a step of the event loop is one step for all of them. The rest of a
        larger one follows in further steps, and then the batches that were published meanwhile.
        """
        self._published.append((batch, cluster, time.monotonic()))
        if not self._working:
            self._work()

    def _work(self) -> None:
        """One step: a part of what is left to do."""
        self._working = True
        former, step = self._claim, Step()
        self._begin()
        pieces, self._rest = self._rest or self._pieces(), None
        try:
            for _ in pieces:
                if step.is_over:
                    self._rest = pieces
                    break
            if self._claim != former:
                self._frames.append(self._claim_frame())
            self._finish(whole=former.state == NOT_READY and self.state != NOT_READY)
        finally:
            self._continue()
        if self.state != NOT_READY and not self.synced.is_set():
            # The journal begins here: the Changes that built the zone are of no use.
            self.pipeline.journal = self.journal
            self.synced.set()

    def _continue(self) -> None:
        """Do the rest in the next step of the event loop."""
        building = self.view_zones is not None and self.view_zones.building
        self._working = bool(self._published or self._rest or building)
        if self._working:
            asyncio.get_running_loop().call_soon(self._work)

    def _pieces(self) -> Iterator[None]:
        """Batches first; then tables of views."""
        while True:
            while self._published:
                yield from self._apply(*self._published.popleft())
            if self.view_zones is None or not self.view_zones.build():
                return
            yield

    def _apply(self, batch: Batch, cluster: str, handed_in: float) -> Iterator[None]:
        """Apply a batch, in pieces. Until its end, the claim of the source is the worse one."""
        self.handed_in = max(handed_in, self.handed_in)
        now, claim = time.time(), claim_of(batch)
        if claim != self._claims[cluster]:
            self._set_claim(cluster, join([self._claims[cluster], claim]))
        for _ in self.pipeline.feed_slowly(batch, now, cluster):
            yield
        if self.settings.ns_service and not self.settings.schema.ns_addresses and not cluster:
            self._follow_own_service(batch, now)
        keys = iter({key_of(event).within(cluster) for event in batch.events})
        while some := list(islice(keys, _KEYS)):
            if self.view_zones is not None:
                self.view_zones.follow(some)
            pods = [key for key in some if key.kind == "Pod"]
            if self.settings.upstream.search_completion and self._compiling and pods:
                self._frames.append(compile_clients(self.pipeline.pods(pods)))
            yield
        if claim != self._claims[cluster]:
            self._set_claim(cluster, claim)

    def _set_claim(self, cluster: str, claim: Claim) -> None:
        self._claims[cluster] = claim
        self._claim = join(self._claims.values())

    def place(self, contributor: Key, rrsets: Sequence[RRset], cause: Cause) -> Change | None:
        """Set the records of a contributor that is not an object: see Pipeline.put."""
        self.handed_in = time.monotonic()
        self._begin()
        change = self.pipeline.put(contributor, rrsets, cause, _age(cause.at))
        self._finish()
        return change

    def _begin(self) -> None:
        """A step begins: from here on frames are collected, if the workers need them."""
        self._compiling = self.supervisor.wants_changes and self.state != NOT_READY
        if self.view_zones is not None:
            self.view_zones.compiling = self._compiling

    def _finish(self, *, whole: bool = False) -> None:
        """The frames that were collected are sent as one step; or the `whole` table is.

        A whole table also makes up for a frame that could not be compiled.
        """
        if self.view_zones is not None:
            self._frames += self.view_zones.take()
        frames, self._frames = self._frames, []
        failures, self._observer_failures = self._observer_failures, self.pipeline.observer_failures
        if failures != self._observer_failures:
            whole = True
            if self.view_zones is not None:
                self.view_zones.rebuild(self.pipeline.zone)
        if whole:
            self.supervisor.reload(self.handed_in)
        elif frames:
            self.supervisor.broadcast(frames, self.handed_in)
        self._serials.reach(self._serial())
        self.pipeline.zone.compact()
        unreported, self._unreported = self._unreported, []
        for change in unreported:
            self._report(change)
        if not self._working:
            self._continue()

    def _report(self, change: Change) -> None:
        for observer in self.on_answered:
            try:
                observer(change)
            except Exception:  # it is answered already, and the other observers need it
                log.exception("an observer of a change failed, a bug", serial=change.serial)

    def _serial(self) -> int:
        """The latest serial of all zones, which the next run must exceed."""
        serial = self.pipeline.zone.serial
        return serial if self.view_zones is None else self.view_zones.last_serial(serial)

    def _follow_own_service(self, batch: Batch, at: float) -> None:
        """Give ns.dns.ZONE the addresses that `ns_service` has now."""
        key = _service_key(self.settings.ns_service)
        if not any(key_of(event) == key for event in batch.events):
            return
        service = self._own_service(self.settings)
        if service is None:
            self.pipeline.set_ns_addresses(self._here, Cause(APEX_KEY, at=at))
        else:
            cause = Cause(key, service.version, service.origin, at)
            self.pipeline.set_ns_addresses(service.cluster_ips, cause)

    def _own_service(self, settings: Settings) -> Service | None:
        """The Service that `ns_service` names, if it exists and has addresses."""
        if not settings.ns_service:
            return None
        service = self.pipeline.state.get(_service_key(settings.ns_service))
        return service if isinstance(service, Service) and service.cluster_ips else None

    # -- what the workers get --------------------------------------------------------------

    @property
    def state(self) -> int:
        """What the workers claim: FRESH, STALE, or NOT_READY of dnsd.zone.frame."""
        return self._claim.state

    @property
    def unknown(self) -> list[Name]:
        """The names below which no source knows what exists."""
        config = self.pipeline.zone.config
        return [name for key in self._claim.unknown for name in names_of(key, config)]

    def _claim_frame(self) -> bytes:
        return compile_state(self.state, self.pipeline.zone.serial, tuple(self.unknown))

    def _compile(self, change: Change) -> None:
        if self.on_answered:
            self._unreported.append(change)
        if self._compiling:
            self._frames.append(compile_change(change, self.pipeline.zone))

    def table(self) -> Iterator[bytes]:
        """The frames of the whole table. The zone may change between two of them."""
        zone = self.pipeline.zone
        if self.state == NOT_READY:
            yield compile_empty(zone)
        else:
            if self.settings.upstream.search_completion:
                yield from self._clients()
            yield from compile_all(zone)
            if self.view_zones is not None:
                yield from self.view_zones.tables()
        yield self._claim_frame()

    def _clients(self) -> Iterator[bytes]:
        """The frames of all pods, for search-path completion."""
        keys = iter(self.pipeline.pod_keys())
        yield compile_clients({}, reset=True)
        while some := list(islice(keys, NODES_PER_FRAME)):
            yield compile_clients(self.pipeline.pods(some))

    def _pin(self, settings: Settings) -> None:
        """Set the names of the setting `hosts` in the zones of dnsd, and remove former ones."""
        wanted = dict(pinned_names(settings, self.pipeline.zone))
        for contributor in self._pinned - wanted.keys():
            self.pipeline.put(contributor, (), Cause(contributor))
        for contributor, sets in wanted.items():
            self.pipeline.put(contributor, sets, Cause(contributor, origin=settings.named("hosts")))
        self._pinned = set(wanted)

    # -- new settings ----------------------------------------------------------------------

    async def reconfigure(self, settings: Settings) -> None:
        """Apply other settings. Only those that a reload can change may differ.

        All or nothing: the steps that can fail come first. Raises SettingsError for settings that
        cannot be used, and WorkersFailed if the workers do not start with them; then the former
        settings stay.
        """
        setup = worker_setup(settings)
        schema_config(settings, self.addresses)  # raises SettingsError
        if setup != self.supervisor.setup:
            await self.supervisor.renew(setup)
        before = self.pipeline.zone
        await in_steps(self.pipeline.reconfigure_slowly(self._schema(settings)))
        # From here to the end this is one step of the event loop.
        completion = settings.upstream.search_completion
        whole = (
            self.pipeline.zone is not before
            or completion != self.settings.upstream.search_completion
        )
        self.handed_in = time.monotonic()
        self._begin()
        self.settings = settings
        self.pipeline.set_ns_addresses(self._schema(settings).ns_addresses, Cause(APEX_KEY))
        self._pin(settings)
        self._finish(whole=whole)
        await asyncio.sleep(0)  # to free the former zone takes a step of its own

    def _schema(self, settings: Settings) -> SchemaConfig:
        """The configuration of the schema, with the addresses of `ns_service` now."""
        return schema_config(settings, self.addresses, self._own_service(settings))

    def close(self) -> None:
        """Save the serial for the next run. Batches that are not applied yet are dropped."""
        self._published.clear()
        self._rest = None
        self._serials.close(self._serial())


def key_of(event: Event) -> Key:
    """The key of the object that an event adds, changes, or removes."""
    return event if isinstance(event, Key) else event.key


def _service_key(text: str) -> Key:
    """The key of the Service NAMESPACE/NAME."""
    namespace, _, name = text.partition("/")
    return Key("Service", namespace, name)


def _age(at: float) -> str:
    """A time in the format of creationTimestamp (RFC 3339 in UTC); "" for 0."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def pinned_names(settings: Settings, zone: Zone) -> Iterator[tuple[Key, tuple[RRset, ...]]]:
    """The names of the setting `hosts` in the zones of dnsd: contributor and records of each."""
    how = OVERRIDES if settings.upstream.hosts_override else YIELDS
    for name, addresses in settings.upstream.hosts.items():
        if zone.zone_of(name) is not None:
            rrsets = addresses_at(name, addresses, settings.schema.ttl)
            yield Key(HOSTS, how, text_of(name).removesuffix(".")), tuple(rrsets)
