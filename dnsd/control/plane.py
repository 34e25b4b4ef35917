"""The rooms of the control plane put together, and what passes between them.

Left in: batches of what the cluster says. Right out: frames for the workers. Between them
stands the pipeline, and this module is the only place where the two meet:

    source -> House.publish -> Pipeline.feed -> Change -> compile_change -> Supervisor

A batch is one step for the workers too. Before the zone changes, tables that are on their
way to new workers are settled. A Change is compiled at once, while the zone is as it left
it.

While the state is NOT_READY every answer is SERVFAIL, so no name is compiled; with the first
other claim (FRESH when the sources are synced) the workers get the whole table.

Whoever only looks on (admin, history, metrics) adds itself to `on_answered`, who are told of a
Change once its frames are out: a client waits for those, and for nobody else. How long it took
until a change is answered everywhere is told to `supervisor.followers`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import structlog

from dnsd.cluster.objects import Key, Pod, Service
from dnsd.control.serial import SerialFile
from dnsd.control.settings import own_addresses, schema_config, view_config, worker_setup
from dnsd.control.views import ViewZones
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import Name, name_from_text
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.types import Type
from dnsd.settings.schema import Settings
from dnsd.sources.source import Batch, Source
from dnsd.transport.listen import Pair
from dnsd.upstream.clients import compile_clients
from dnsd.worker.supervisor import Supervisor
from dnsd.zone.change import Cause, Change
from dnsd.zone.compile import NODES_PER_FRAME, compile_all, compile_change, compile_empty
from dnsd.zone.frame import FRESH, NOT_READY, STALE, compile_state
from dnsd.zone.journal import Journal
from dnsd.zone.merge import APEX, GIVES_WAY, HOSTS, OVERRIDES
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.schema import names_of
from dnsd.zone.zone import Zone

log = structlog.get_logger(__name__)


class ControlPlane:
    """Settings, sources, pipeline and supervisor of one control process.

    `slots`: the bound sockets of each worker. `addresses`: where that is, ports resolved.
    `started_at`: seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        slots: Sequence[Sequence[Pair]],
        sources: Sequence[Source],
        serials: SerialFile,
    ) -> None:
        self.settings = settings
        self.sources = sources
        self.started_at = time.time()
        self.addresses = [pair.address for pair in slots[0]]
        self.state = NOT_READY  # of dnsd.zone.compile: what the workers are told to claim
        self._lacking: tuple[Key, ...] = ()  # what no source knows about: see Batch.unknown
        self.synced = asyncio.Event()  # there is something to answer with
        self._here = own_addresses(self.addresses)
        self.journal = Journal(settings.journal_changes, settings.journal_size)
        self.pipeline = Pipeline(
            schema_config(settings, self.addresses), serials.first(self.started_at), log=log
        )
        self.on_answered: list[Callable[[Change], None]] = []
        self._untold: list[Change] = []  # to the onlookers
        self.pipeline.on_change.append(self._follow)
        view = view_config(settings)
        self.view_zones = ViewZones(view, self.pipeline) if view.on else None
        self.supervisor = Supervisor(slots, worker_setup(settings), self._table)
        self._serials = serials
        self._frames: list[bytes] = []
        self._pinned: set[Key] = set()
        self._pin(settings)

    # -- from the sources to the workers ---------------------------------------------------

    def publish(self, batch: Batch) -> None:
        """Take in a batch: state, zone, journal, workers. One step for all of them."""
        handed_in = time.monotonic()
        claim = _claim_of(batch)
        if claim == NOT_READY:  # what is taken back must not be denied first
            self.claim(claim)
        self._begin()
        try:
            now = time.time()
            self.pipeline.feed(batch, now)
            if self.settings.ns_service and not self.settings.ns_addresses:
                self._follow_own_service(batch, now)
            self._follow_pods(batch)
        except Exception:
            # What the frames lack, a whole table has: no worker may stay behind the zone.
            log.exception("a change could not be passed on, sending the whole table")
            self._begin()
            self.supervisor.reload(handed_in)
        self._tell_of_clients(batch)
        self._finish(handed_in)
        if claim != NOT_READY and not self.synced.is_set():
            # From here on: how the zone came to be is of no use to anyone.
            self.pipeline.journal = self.journal
            self.synced.set()
        self.claim(claim, batch.unknown)

    def place(self, contributor: Key, rrsets: Sequence[RRset], cause: Cause) -> Change | None:
        """What a contributor that is no object of the cluster contributes: see Pipeline.put."""
        handed_in = time.monotonic()
        self._begin()
        change = self.pipeline.put(contributor, rrsets, cause, _age(cause.at))
        self._finish(handed_in)
        return change

    def _begin(self) -> None:
        """Frames are collected from here on, if there is anybody to tell."""
        self._frames.clear()
        if self.view_zones is not None:
            self.view_zones.take()
            self.view_zones.tell = self.supervisor.wants_changes and self.state != NOT_READY

    def _finish(self, handed_in: float) -> None:
        """The frames that were collected go out, as one step."""
        if self.view_zones is not None:
            self._frames += self.view_zones.take()
        if self._frames:
            self.supervisor.broadcast(self._frames, handed_in)
        self._serials.reach(self._serial())
        self.pipeline.zone.compact()
        untold, self._untold = self._untold, []
        for change in untold:
            self._tell_observers(change)

    def _tell_observers(self, change: Change) -> None:
        for observer in self.on_answered:
            try:
                observer(change)
            except Exception:  # it is answered already, which matters more
                log.exception(
                    "a change was answered, and not followed by all", serial=change.serial
                )

    def _serial(self) -> int:
        """The serial that the next run must come after."""
        serial = self.pipeline.zone.serial
        return serial if self.view_zones is None else self.view_zones.last_serial(serial)

    def _follow_own_service(self, batch: Batch, at: float) -> None:
        """ns.dns.ZONE has the addresses of `ns_service`, whatever they are now."""
        key = _service_key(self.settings.ns_service)
        if not any(
            (event if isinstance(event, Key) else event.key) == key for event in batch.events
        ):
            return
        service = self._own_service(self.settings)
        if service is None:
            self.pipeline.reached_at(self._here, Cause(APEX, at=at))
        else:
            cause = Cause(key, service.version, service.origin, at)
            self.pipeline.reached_at(service.cluster_ips, cause)

    def _own_service(self, settings: Settings) -> Service | None:
        """The Service that `ns_service` names, if it is known and has addresses."""
        if not settings.ns_service:
            return None
        found = self.pipeline.state.get(_service_key(settings.ns_service))
        return found if isinstance(found, Service) and found.cluster_ips else None

    def _follow_pods(self, batch: Batch) -> None:
        if self.view_zones is not None:
            events = (event for event in batch.events if event.kind == "Pod")
            self.view_zones.pods({one if isinstance(one, Key) else one.key: None for one in events})

    def claim(self, state: int, lacking: tuple[Key, ...] = ()) -> None:
        """Tell the workers to answer as FRESH, STALE or NOT_READY (dnsd.zone.compile).

        `lacking`: what nobody knows about, as of `Batch.unknown`.
        """
        before = self.state, self._lacking
        self.state, self._lacking = state, lacking
        if before == (state, lacking):
            return
        if before[0] == NOT_READY:
            self.supervisor.reload(time.monotonic())
        else:
            self.supervisor.broadcast([self._claimed()], time.monotonic())

    def _claimed(self) -> bytes:
        """The frame of what the workers may claim."""
        zone = self.pipeline.zone
        return compile_state(self.state, zone.serial, tuple(self.unknown))

    @property
    def unknown(self) -> list[Name]:
        """Names below which nobody knows what exists."""
        config = self.pipeline.zone.config
        return [name for what in self._lacking for name in names_of(what, config)]

    def _follow(self, change: Change) -> None:
        if self.on_answered:
            self._untold.append(change)
        if self.supervisor.wants_changes and self.state != NOT_READY:
            self._frames.append(compile_change(change, self.pipeline.zone))

    def _tell_of_clients(self, batch: Batch) -> None:
        """What search-path completion needs to know of the pods that changed."""
        if not self.settings.search_completion or self.state == NOT_READY:
            return
        keys = {
            event if isinstance(event, Key) else event.key
            for event in batch.events
            if (event.kind == "Pod")
        }
        if keys:
            pods = {key: self.pipeline.state.get(key) for key in keys}
            here = [pod for pod in pods.values() if isinstance(pod, Pod)]
            gone = [key for key, pod in pods.items() if pod is None]
            self._frames.append(compile_clients(here, gone))

    def _table(self) -> Iterator[bytes]:
        """The frames of the whole table. The zone may change between two of them."""
        zone = self.pipeline.zone
        if self.state == NOT_READY:
            yield compile_empty(zone)
        else:
            if self.settings.search_completion:
                yield from self._clients()
            yield from compile_all(zone)
            if self.view_zones is not None:
                yield from self.view_zones.tables()
        yield self._claimed()

    def _clients(self) -> Iterator[bytes]:
        """The frames of all pods, for search-path completion."""
        state = self.pipeline.state
        keys = iter(state.pod_keys())
        yield compile_clients((), reset=True)
        while some := list(islice(keys, NODES_PER_FRAME)):
            pods = [pod for key in some if isinstance(pod := state.get(key), Pod)]
            yield compile_clients(pods)

    def _pin(self, settings: Settings) -> None:
        """Puts the names of the setting `hosts` that lie in our zones there, and no others."""
        wanted = dict(pinned_names(settings, self.pipeline.zone))
        for contributor in self._pinned - wanted.keys():
            self.pipeline.put(contributor, (), Cause(contributor))
        for contributor, sets in wanted.items():
            self.pipeline.put(contributor, sets, Cause(contributor, origin=settings.named("hosts")))
        self._pinned = set(wanted)

    # -- new settings ----------------------------------------------------------------------

    async def reconfigure(self, settings: Settings) -> None:
        """Go on with other settings (only those that a reload can change may differ).

        All of it or nothing: what can fail comes first. Raises SettingsError for what cannot
        be used and WorkersFailed when workers do not start with it; all goes on as it was.
        """
        setup = worker_setup(settings)
        Zone(schema_config(settings, self.addresses), 0)  # before anything is half done
        if setup != self.supervisor.setup:
            await self.supervisor.renew(setup)
        # From here to the end nobody else has a turn.
        completion = settings.search_completion != self.settings.search_completion
        now = time.monotonic()
        self._begin()
        own = self._own_service(settings)
        rebuilt = self.pipeline.reconfigure(schema_config(settings, self.addresses, own))
        self.settings = settings
        self._pin(settings)
        if rebuilt or completion:  # a whole table has all that the frames say, and the clients
            self._begin()
            self.supervisor.reload(now)
        self._finish(now)

    def close(self) -> None:
        """Save what outlives the run."""
        self._serials.close(self._serial())


def _service_key(text: str) -> Key:
    """The key of the Service that is written as NAMESPACE/NAME."""
    namespace, _, name = text.partition("/")
    return Key("Service", namespace, name)


def _age(at: float) -> str:
    """A time as the API writes creationTimestamps; "" for none."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def _claim_of(batch: Batch) -> int:
    """What answers may claim once the batch is in the zone."""
    if batch.stale:
        return STALE
    return FRESH if batch.synced else NOT_READY


def pinned_names(settings: Settings, zone: Zone) -> Iterator[tuple[Key, tuple[RRset, ...]]]:
    """The names of the setting `hosts` in our zones: contributor and records of each."""
    how = OVERRIDES if settings.hosts_override else GIVES_WAY
    for text, addresses in settings.hosts:
        name = name_from_text(text)
        if zone.zone_of(name) is None:
            continue
        packed = [pack_address(address) for address in addresses]
        sets = (
            rrset(name, type_, settings.ttl, [one for one in packed if len(one) == size])
            for type_, size in ((Type.A, 4), (Type.AAAA, 16))
        )
        yield Key(HOSTS, how, text), tuple(one for one in sets if one.rdatas)
