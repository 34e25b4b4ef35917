"""Source: an API server, followed live.

`reflector.py` says what the server says, one kind at a time; here it is compared with what
is already known, and only differences become events. So a relist after 410 costs the zone
nothing where nothing changed, its deletions come out at its end, and memory does not double
meanwhile: of an object that is listed again in the same version the old copy stays.

Rules:

* Each scope (a kind, or a kind in one namespace) is followed by a task of its own, and
  fails alone. Services, EndpointSlices, Namespaces and what else is `needed` must have been
  listed before the source is `synced`. Any other resource holds nobody up that is unknown,
  forbidden, or fails again and again while the needed ones do not; nor does one namespace
  that is forbidden while others are not. What is not known for that reason is said with each
  batch, unless it is that there is no such resource.
* That a CRD is not installed (404) is a fact, not a failure: its scope is `absent`, is asked
  for again at every try, in each of its versions, and followed once it is there. What was
  known of it is taken back when the server goes on saying so.
* Until everything has been listed nothing is published, for nothing is answered either; then
  all is, what others depend on first. So a Service is worked on once, not once for itself and
  again with its slices. When one scope fails, the others are published all the same, so that
  the admin API can show them.
* `synced` stays true from then on. What changes is the age of what is known: when no scope
  has had a sign of life for `stale_after`, the source is `stale`, until one has. Silence is
  measured by a clock that nobody sets, and a snapshot's from the start.
* A reconcile lists a scope beside its watch and compares. Differences that an event touched
  meanwhile are none; the rest was lost, and is corrected, counted and logged.
* Addresses of one cluster are never served for another. The uid of kube-system is asked
  before a snapshot is served, again whenever a stream was opened, and before a reconcile
  corrects anything. When the server cannot be asked in time, a snapshot must be of the same
  URL and CA. A uid that changes takes everything back at once.
* `namespaces` and `service_selector` are filters of the server's. A `namespace_selector`
  is too, for Namespaces; objects of namespaces that it hides are kept, and not published,
  so that a label that changes needs no list.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing, suppress

import msgspec
import structlog

from dnsd.cluster.objects import CLUSTER_SCOPED, RESOURCES, Event, Key
from dnsd.cluster.store import Packed, unpack, unpack_events
from dnsd.sources.kubernetes.client import ApiError, Client, Unreachable
from dnsd.sources.kubernetes.credentials import KubeError
from dnsd.sources.kubernetes.identity import Identity, OtherCluster
from dnsd.sources.kubernetes.informer import Informer, explain, reconcile
from dnsd.sources.kubernetes.reflector import ListWatch, Retry, WatchChunk, reflect
from dnsd.sources.kubernetes.scope import Scope
from dnsd.sources.kubernetes.settings import ALWAYS, KubernetesConfig
from dnsd.sources.kubernetes.snapshot import Header, Snapshot
from dnsd.sources.source import Batch, SourceStatus

log = structlog.get_logger("dnsd.kubernetes")

# One request a namespace and kind up to here (a Role in each is enough for what is in it);
# beyond, one watch of the cluster and a filter here costs the server less.
MAX_NAMESPACE_SCOPES = 16
# A resource counts as gone when it was not there so often in a row: a server that is starting
# denies a CRD for a moment.
ABSENCES = 3
# So often in a row an optional resource may fail before it is no longer waited for, once
# everything that is needed has been listed. More keeps all names unanswered for longer when
# one resource is broken, fewer denies its names because of one bad moment.
FAILURES = 3
# Objects that the names of others depend on: these are published first.
FIRST = ("EndpointSlice", "Node", "Gateway")
RUN = 200  # objects that are published at once: the control loop breathes after each batch
NOT_THERE = "-"  # stands for the version of an absent resource in a snapshot


def scopes(config: KubernetesConfig) -> list[Scope]:
    """The scopes that `config` asks for, Namespaces first."""
    named = config.namespaces if len(config.namespaces) <= MAX_NAMESPACE_SCOPES else ()
    out = []
    for kind in config.kinds:
        resource = RESOURCES[kind]
        labels = {"Namespace": config.namespace_selector, "Service": config.service_selector}
        selector = labels.get(kind, "")
        if kind == "Namespace" and named:
            out += [Scope(resource, "", selector, one) for one in named]
        elif kind in CLUSTER_SCOPED:
            out.append(Scope(resource, "", selector))
        else:
            out += [Scope(resource, one, selector) for one in named or ("",)]
    return out


def _nobody(batch: Batch) -> None:
    """Who listens before `run`."""


class KubernetesSource:
    """A `Source` that follows an API server. `snapshot`: what to begin with, when it fits.

    `now` is the time of day, for statuses; `clock` tells how long something takes.
    """

    def __init__(
        self,
        client: Client,
        config: KubernetesConfig | None = None,
        *,
        snapshot: Snapshot | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.client = client
        self.config = config or KubernetesConfig()
        self._snapshot = snapshot
        self._now, self._clock = now, clock
        self._contact_at = clock()  # with any scope, by that clock; or the start
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._informers = [
            Informer(ListWatch(client, scope, self.config.page_size, rng=self._rng))
            for scope in scopes(self.config)
        ]
        self._publish: Callable[[Batch], None] = _nobody
        self._identity = Identity(client)
        self._from_snapshot = False
        self._held = True  # nothing is published yet
        self._unknown: tuple[Key, ...] = ()  # see Batch
        self._told = False  # all there was at the start has been published
        self._stale = False  # as last published
        self.snapshot_refused = ""  # why the snapshot was not served
        self._only = frozenset(self.config.namespaces)
        self._needed = frozenset((*ALWAYS, *self.config.needed))

    # -- the Source protocol ------------------------------------------------------------

    async def run(self, publish: Callable[[Batch], None]) -> None:
        """Publish until cancelled; see `Source.run`."""
        self._publish = publish
        if self._snapshot is not None:
            await self._begin_with(self._snapshot)
            self._snapshot = None
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    for informer in self._informers:
                        group.create_task(self._follow(informer))
                        group.create_task(self._reconcile_at_times(informer))
                    group.create_task(self._watch_age())
                    group.create_task(self._ask_again())
            except* OtherCluster as errors:
                why = str(errors.exceptions[0])
                log.warning("another cluster answers: all names are taken back", why=why)
                self._take_all_back()

    def status(self) -> list[SourceStatus]:
        """One status a scope."""
        now = self._clock()
        out = []
        for informer in self._informers:
            status = msgspec.structs.replace(informer.status)
            if status.state == "synced" and now - informer.contact > self.config.stale_after:
                status.state = "stale"
                status.detail = f"no sign of life for {now - informer.contact:.0f} s"
            if informer.kind == "Namespace" and not status.detail:
                status.detail = self._identity.problem
            out.append(status)
        return out

    def reload(self) -> None:
        """Reconcile every scope now."""
        for informer in self._informers:
            informer.due.set()

    # -- what the server asks -----------------------------------------------------------

    @property
    def synced(self) -> bool:
        """Whether every kind that is needed has said all it has, and that was published."""
        return self._told and self._complete

    @property
    def _complete(self) -> bool:
        return all(informer.settled for informer in self._informers)

    @property
    def state(self) -> str:
        """How good what is known is, one word.

        `starting`: too little to answer; `snapshot`: the last run's; `synced`; `stale`: of
        before the API server fell silent.
        """
        if not self.synced:
            return "snapshot" if self._from_snapshot else "starting"
        return "stale" if self._silent else "synced"

    @property
    def _silent(self) -> bool:
        """Whether nobody has shown a sign of life for too long."""
        return self._clock() - self._contact_at > self.config.stale_after

    @property
    def ready(self) -> bool:
        """Whether queries should be sent here (readiness)."""
        if self.state == "starting":
            return False
        return self.config.ready_when_stale or not self._silent

    @property
    def cluster(self) -> str:
        """The cluster's identity, the uid of kube-system; "" while unknown."""
        return self._identity.uid

    def to_save(self) -> tuple[Header, list[Packed]] | None:
        """What a snapshot of now holds; None while something is being listed, or unsynced.

        It can be written in a thread. Equal `versions` in two headers mean that nothing
        changed in between.
        """
        if not self.synced or any(informer.seen is not None for informer in self._informers):
            return None
        versions = {
            f.list_watch.scope.id: f.version or NOT_THERE
            for f in self._informers
            if f.version or f.excused
        }
        header = Header(self._identity.uid, self.client.endpoint, versions, self._now())
        return header, [one for informer in self._informers for one in informer.known.values()]

    # -- following ----------------------------------------------------------------------

    async def _follow(self, informer: Informer) -> None:
        steps = reflect(informer.list_watch, informer.version)
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Retry):
                    self._trouble(informer, step)
                else:
                    if step.opening:
                        await self._identity.confirm()
                    self._contact(informer, step)
                    self._say(self._visible(informer, informer.take(step)))
                    self._advance(informer, step)
                await self._tell_all()
                await asyncio.sleep(0)

    def _contact(self, informer: Informer, chunk: WatchChunk) -> None:
        status = informer.status
        status.last_contact = self._now()
        self._contact_at = informer.contact = self._clock()
        if chunk.events:
            status.last_event = status.last_contact
        informer.absences = 0
        if status.state in ("failing", "absent") and (chunk.word or chunk.quiet):
            log.info("followed again", scope=informer.list_watch.scope.id)
            status.state = "synced" if informer.synced else "starting"
            status.detail = ""

    def _advance(self, informer: Informer, chunk: WatchChunk) -> None:
        """Whether this scope has said all: its listing ended, or its resumed watch caught up."""
        if informer.synced:
            return
        bookmark = bool(chunk.version) and not chunk.events and not chunk.refused
        caught_up = bool(informer.version) and not chunk.listing and (chunk.quiet or bookmark)
        if chunk.complete or caught_up:
            before = self.synced
            informer.synced, informer.excused, informer.failures = True, False, 0
            informer.status.state, informer.status.detail = "synced", ""
            self._excuse(informer)
            self._sync_changed(before)

    async def _tell_all(self) -> None:
        """Publish what is known, when it is everything or when the rest is not to be had yet."""
        if not self._held or not (self._complete or self._one_fails()):
            return
        self._held = False
        try:
            await self._publish_all()
            self._told = True
        finally:
            self._held = not self._told
        self._sync_changed(False)

    def _one_fails(self) -> bool:
        """Whether one scope fails while another has said all it has."""
        return any(informer.synced for informer in self._informers) and any(
            informer.status.state == "failing" for informer in self._informers
        )

    def _sync_changed(self, before: bool) -> None:
        if self.synced and not before:
            self._from_snapshot = False
            log.info("synced", server=self.client.host, objects=self._count())
        self._say([], always=True)

    def _trouble(self, informer: Informer, retry: Retry) -> None:
        error, status, before = retry.error, informer.status, self.synced
        informer.seen = None
        if (
            isinstance(error, ApiError)
            and error.status == 404
            and informer.kind not in self._needed
        ):
            self._absent(informer)
            return
        status.errors += 1
        if isinstance(error, ApiError) and error.expired:
            return
        informer.failures += 1
        informer.forbidden = isinstance(error, ApiError) and error.status == 403
        detail = explain(error, informer.list_watch.scope)
        if informer.kind in self.config.needed and not informer.synced:
            detail += "; nothing is answered before they are known, because policies need them"
        if detail != status.detail:
            log.warning("cannot be followed", scope=informer.list_watch.scope.id, problem=detail)
        status.state, status.detail = "failing", detail
        if self._excuse(informer):
            self._sync_changed(before)

    def _absent(self, informer: Informer) -> None:
        """The server does not have this resource."""
        before, status = self.synced, informer.status
        if status.state != "absent":
            log.info("not installed", scope=informer.list_watch.scope.id)
        informer.absences += 1
        if informer.absences == ABSENCES:
            gone = self._shown_keys(informer)
            informer.forget()
            informer.excused = True  # before anything is said: it is no reason to be unsynced
            self._say([*gone])
        status.state, status.detail = "absent", "the API server has no such resource (yet)"
        if self._excuse(informer):
            self._sync_changed(before)

    def _excuse(self, tried: Informer) -> bool:
        """Find out who is not waited for any more, now that one was tried; whether that is news."""
        found = [
            one for one in self._informers if not one.settled and self._may_lack(one, one is tried)
        ]
        for one in found:
            one.excused = True
        return self._note_unknown() or bool(found)

    def _note_unknown(self) -> bool:
        before = self._unknown
        lacking = (
            one
            for one in self._informers
            if (one.excused or one.blank) and not one.synced and one.status.state != "absent"
        )
        self._unknown = tuple(Key(*one.list_watch.scope.place, "") for one in lacking)
        return before != self._unknown

    def _may_lack(self, informer: Informer, tried: bool) -> bool:
        """Whether the others go on without this one; see the module's rules.

        Failures of long ago, when perhaps nothing was in reach, count with the next one.
        """
        if informer.kind not in self._needed:
            needed = (one for one in self._informers if one.kind in self._needed)
            return (
                informer.status.state == "absent"
                or informer.forbidden
                or (tried and informer.failures >= FAILURES and all(one.settled for one in needed))
            )
        alike = (one for one in self._informers if one.kind == informer.kind)
        return informer.forbidden and any(one.synced for one in alike)

    def _visible(self, informer: Informer, events: list[Event]) -> list[Event]:
        """The events that the filters let through, and what a Namespace among them uncovers."""
        if informer.kind == "Node" or not (self._only or self.config.namespace_selector):
            return events
        if informer.kind != "Namespace":
            return [event for event in events if self._shown(event.namespace)]
        out: list[Event] = []
        for event in events:
            if self._only and event.name not in self._only:
                continue
            out.append(event)
            out += self._uncovered(event)
        return out

    def _shown(self, namespace: str) -> bool:
        if self._only and namespace not in self._only:
            return False
        return not self.config.namespace_selector or any(
            informer.kind == "Namespace" and informer.known.get("", namespace)
            for informer in self._informers
        )

    def _uncovered(self, event: Event) -> list[Event]:
        """With a namespace_selector, a Namespace shows and hides what is in it."""
        if not self.config.namespace_selector:
            return []
        inside = (
            one
            for informer in self._informers
            if informer.kind not in CLUSTER_SCOPED
            for one in informer.known.objects(event.name)
        )
        return [one.key for one in inside] if isinstance(event, Key) else list(inside)

    def _say(self, events: list[Event], *, always: bool = False) -> None:
        if self._held:
            events = []
        if events or always:
            self._stale = self.state in ("snapshot", "stale")
            self._publish(Batch(tuple(events), self.synced, self._stale, self._unknown))

    def _count(self) -> int:
        return sum(informer.status.objects for informer in self._informers)

    async def _watch_age(self) -> None:
        """Say when answers become stale, and when they are so no longer."""
        while True:
            await asyncio.sleep(min(1.0, self.config.stale_after / 4))
            if self.synced and self._stale != (self.state == "stale"):
                self._say([], always=True)

    async def _reconcile_at_times(self, informer: Informer) -> None:
        every = self.config.reconcile_every
        pause = every
        while True:
            timeout = pause * (0.9 + self._rng.random() / 5) if pause else None
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await informer.due.wait()
            informer.due.clear()
            try:
                lost = await reconcile(informer, self._identity.insist)
                self._say(self._visible(informer, lost))
                pause = every
            except (ApiError, Unreachable) as error:
                log.warning(
                    "reconcile failed", scope=informer.list_watch.scope.id, problem=str(error)
                )
                informer.status.errors += 1
                pause = min(every, self.client.timing.backoff_max)

    # -- identity and snapshot ----------------------------------------------------------

    async def _ask_again(self) -> None:
        """Streams that were believed without an answer are not believed for long."""
        while True:
            await asyncio.sleep(self.client.timing.backoff_max)
            if self._identity.owed:
                await self._identity.insist()

    def _take_all_back(self) -> None:
        gone = [key for informer in self._informers for key in self._shown_keys(informer)]
        for informer in self._informers:
            informer.forget()
        self._note_unknown()
        self._from_snapshot = self._told = False
        self._held = True
        self._publish(Batch(tuple(gone), synced=False))

    async def _begin_with(self, snapshot: Snapshot) -> None:
        """Serve the snapshot, unless it is another cluster's or of other filters."""
        header = snapshot.header
        self.snapshot_refused = await self._refusal(header)
        if self.snapshot_refused:
            log.warning("the snapshot is not served", reason=self.snapshot_refused)
            return
        places = {informer.list_watch.scope.place: informer for informer in self._informers}
        for start in range(0, len(snapshot.objects), RUN):
            for one in map(unpack, snapshot.objects[start : start + RUN]):
                inside = one.name if one.kind == "Namespace" else one.namespace
                place = places.get((one.kind, inside)) or places.get((one.kind, ""))
                if place is not None:
                    place.put(one)
            await asyncio.sleep(0)
        for informer in self._informers:
            version = header.versions.get(informer.list_watch.scope.id, "")
            informer.blank = version == NOT_THERE
            informer.version = "" if informer.blank else version
        self._note_unknown()
        self._held = False
        await self._publish_all()
        # Not before: what is not published yet must not be denied.
        self._from_snapshot = self._told = True
        self._say([], always=True)
        log.info("the snapshot is served", objects=len(snapshot.objects), written=header.written)

    async def _publish_all(self) -> None:
        """Publish what is known, as it is when its turn comes: the watches go on meanwhile."""
        for informer in sorted(self._informers, key=lambda one: one.kind not in FIRST):
            places = list(informer.known.places())
            for start in range(0, len(places), RUN):
                shown = [
                    packed
                    for place in places[start : start + RUN]
                    if self._shown_place(informer, *place)
                    and (packed := informer.known.get(*place)) is not None
                ]
                self._say(unpack_events(shown))
                await asyncio.sleep(0)

    def _shown_keys(self, informer: Informer) -> list[Key]:
        """The objects of a scope that have been published."""
        return [
            Key(informer.kind, *place)
            for place in informer.known.places()
            if self._shown_place(informer, *place)
        ]

    def _shown_place(self, informer: Informer, namespace: str, name: str) -> bool:
        """Whether the object of this name is, or is to be, published."""
        if informer.kind == "Node":
            return True
        if informer.kind == "Namespace":
            return not self._only or name in self._only
        return self._shown(namespace)

    async def _refusal(self, header: Header) -> str:
        """Why a snapshot with this header must not be served; "" when it may be."""
        followed = {informer.list_watch.scope.id for informer in self._informers}
        if set(header.versions) != followed:
            return "made with other kinds or filters than those now configured"
        for informer in self._informers:
            scope, kind = informer.list_watch.scope.id, informer.kind
            if kind in self.config.needed and header.versions[scope] == NOT_THERE:
                return f"made without {scope}, without which nothing is answered now"
        try:
            self._identity.uid = await self._identity.ask()
        except KubeError as error:
            log.info("the cluster cannot be asked who it is", problem=str(error))
        known = self._identity.uid
        if known and header.cluster:
            same = known == header.cluster
            return "" if same else f"of another cluster (kube-system has uid {header.cluster})"
        same = header.endpoint == self.client.endpoint
        self._identity.uid = known or header.cluster
        return "" if same else "of another API server, and the cluster's uid cannot be compared"
