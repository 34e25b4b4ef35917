"""The source that watches an API server.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: when objects are
published, and what a source reports about itself.

`reflector.py` yields what the server sends, for one resource. An informer compares this with the
objects that are present, and only differences become events. So a relist after 410 costs the zone
nothing where nothing changed, its deletions follow at its end, and memory does not double: for an
object that is listed again in the same version the present copy stays.

Rules
* Each scope (a kind, or a kind in one namespace) has a task of its own, and fails alone.
  `readiness.py` decides which scopes must be listed before the source is `synced`.
* A CRD that is not installed (404) is not a failure: its scope is `absent`. Every attempt queries
  each of its versions again. If the server keeps answering 404, the objects are withdrawn.
* Nothing is published before everything is listed, because nothing is answered either. Then
  everything is published, dependencies first, so that a Service is compiled once and not again with
  its slices. If one scope fails, the others are published anyway, for the admin API.
* `synced` stays true from then on. The age of the objects changes: if no scope has had contact for
  `stale_after`, the source is `stale` until one has. The monotonic clock measures the silence, that
  of a snapshot from the start of the process.
* A reconcile lists a scope beside its watch and compares. A difference that an event touched
  meanwhile does not count. Any other is a lost event: it is corrected, counted, and logged.
* Addresses of one cluster are never served for another. The uid of kube-system is queried before a
  snapshot is served, again after each opened stream, and before a reconcile corrects anything. If
  the server does not answer in time, a snapshot must be of the same URL and CA. A uid that changes
  withdraws everything at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing, suppress

import structlog
from msgspec.structs import replace

from dnsd.cluster.objects import Event
from dnsd.cluster.store import Packed, unpack
from dnsd.sources.kubernetes.client import Client
from dnsd.sources.kubernetes.errors import ApiError, KubeError, Unreachable
from dnsd.sources.kubernetes.filter import NamespaceFilter
from dnsd.sources.kubernetes.identity import Identity, OtherCluster
from dnsd.sources.kubernetes.informer import Informer, describe, reconcile
from dnsd.sources.kubernetes.readiness import Readiness
from dnsd.sources.kubernetes.reflector import ListWatch, Retry, WatchChunk, reflect
from dnsd.sources.kubernetes.scope import scopes
from dnsd.sources.kubernetes.settings import ALWAYS, KubernetesConfig
from dnsd.sources.kubernetes.snapshot import Header, Snapshot
from dnsd.sources.source import Batch, SourceStatus

log = structlog.get_logger("dnsd.kubernetes")

# A resource is absent after so many 404 in a row: a server that starts denies a CRD for a moment.
ABSENCES = 3
# Objects that the names of others depend on. These are published first.
FIRST = ("EndpointSlice", "Node", "Gateway")
BATCH = 200  # objects that are published at once; the control loop runs other tasks between batches
ABSENT = "-"  # the version of an absent resource in a snapshot


class KubernetesSource:
    """A `Source` that watches an API server. `snapshot`: served at the start, if it fits.

    `now`: the time of day, for statuses. `clock`: a monotonic clock, for durations.
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
        self.config = config = config or KubernetesConfig()
        self._snapshot = snapshot
        self._now, self._clock = now, clock
        self._contact_at = clock()  # the last contact of any scope, or the start
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._informers = [
            Informer(ListWatch(client, scope, config.page_size, rng=self._rng))
            for scope in scopes(config)
        ]
        self._readiness = Readiness(self._informers, (*ALWAYS, *config.needed))
        self._filter = NamespaceFilter(
            self._informers, config.namespaces, config.namespace_selector
        )
        self._publish: Callable[[Batch], None] = lambda _: None
        self.identity = Identity(client)
        self._from_snapshot = False
        self._holding = True  # no objects are published yet
        self._published = False  # all objects of the start are published
        self._stale = False  # as last published
        self.snapshot_refused = ""  # why the snapshot is not served

    # -- the Source protocol ------------------------------------------------------------

    async def run(self, publish: Callable[[Batch], None]) -> None:
        """Publish until canceled; see `Source.run`."""
        self._publish = publish
        if self._snapshot is not None:
            await self._serve_snapshot(self._snapshot)
            self._snapshot = None
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    for informer in self._informers:
                        group.create_task(self._watch(informer))
                        group.create_task(self._reconcile_periodically(informer))
                    group.create_task(self._watch_staleness())
                    group.create_task(self._query_pending_identity())
            except* OtherCluster as errors:
                reason = str(errors.exceptions[0])
                log.warning("another cluster answers: all names are withdrawn", reason=reason)
                self._withdraw_all()

    def status(self) -> list[SourceStatus]:
        """One status for each scope."""
        now = self._clock()
        out = []
        for informer in self._informers:
            status = replace(
                informer.status, objects=len(informer.store), resource_version=informer.version
            )
            if status.state == "synced" and now - informer.contact_at > self.config.stale_after:
                status.state = "stale"
                status.detail = f"no contact for {now - informer.contact_at:.0f} s"
            if informer.kind == "Namespace" and not status.detail:
                status.detail = self.identity.problem
            out.append(status)
        return out

    def reload(self) -> None:
        """Reconcile every scope now."""
        for informer in self._informers:
            informer.reconcile_now.set()

    # -- the state of the source --------------------------------------------------------

    @property
    def synced(self) -> bool:
        """Whether every needed kind is listed and published."""
        return self._published and self._readiness.complete

    @property
    def state(self) -> str:
        """How good the objects are.

        `starting`: too few to answer; `snapshot`: of the last run; `synced`; `stale`: of before the
        API server stopped answering.
        """
        if not self.synced:
            return "snapshot" if self._from_snapshot else "starting"
        return "stale" if self._silent else "synced"

    @property
    def _silent(self) -> bool:
        return self._clock() - self._contact_at > self.config.stale_after

    @property
    def ready(self) -> bool:
        """Whether clients should send queries here (readiness)."""
        if self.state == "starting":
            return False
        return self.config.ready_when_stale or not self._silent

    def to_save(self) -> tuple[Header, list[Packed]] | None:
        """The contents of a snapshot; None while a listing is under way, or unsynced.

        It can be written in a thread. Equal `versions` in two headers mean that nothing changed in
        between.
        """
        if not self.synced or any(informer.listed is not None for informer in self._informers):
            return None
        versions = {
            informer.id: informer.version or ABSENT
            for informer in self._informers
            if informer.version or informer.excused
        }
        header = Header(self.identity.uid, self.client.endpoint, versions, self._now())
        return header, [one for informer in self._informers for one in informer.store.values()]

    # -- watching -----------------------------------------------------------------------

    async def _watch(self, informer: Informer) -> None:
        async with aclosing(reflect(informer.list_watch, informer.version)) as steps:
            async for step in steps:
                if isinstance(step, Retry):
                    self._fail(informer, step.error)
                else:
                    if step.opening:
                        await self.identity.confirm()
                    self._note_contact(informer, step)
                    self._send(self._filter.apply(informer, informer.apply(step)))
                    self._note_progress(informer, step)
                await self._publish_start()
                await asyncio.sleep(0)

    def _note_contact(self, informer: Informer, chunk: WatchChunk) -> None:
        status = informer.status
        status.last_contact = self._now()
        self._contact_at = informer.contact_at = self._clock()
        if chunk.events:
            status.last_event = status.last_contact
        informer.absences = 0
        if status.state in ("failing", "absent") and (chunk.has_data or chunk.quiet):
            log.info("watched again", scope=informer.id)
            status.state = "synced" if informer.synced else "starting"
            status.detail = ""

    def _note_progress(self, informer: Informer, chunk: WatchChunk) -> None:
        """Note whether the listing of this scope has ended, or its resumed watch has caught up."""
        if informer.synced:
            return
        bookmark = bool(chunk.version) and not chunk.events and not chunk.refused
        caught_up = bool(informer.version) and not chunk.listing and (chunk.quiet or bookmark)
        if chunk.complete or caught_up:
            before = self.synced
            informer.synced, informer.excused, informer.failures = True, False, 0
            informer.status.state, informer.status.detail = "synced", ""
            self._readiness.update(informer)
            self._send_claim(before)

    async def _publish_start(self) -> None:
        """Publish all objects when everything is listed, or when the rest is not available yet."""
        if not self._holding or not (self._readiness.complete or self._readiness.partial):
            return
        self._holding = False
        try:
            await self._publish_all()
            self._published = True
        finally:
            self._holding = not self._published
        self._send_claim(False)

    def _send_claim(self, synced_before: bool) -> None:
        """Publish a batch without events, after `synced` or `unknown` may have changed."""
        if self.synced and not synced_before:
            self._from_snapshot = False
            objects = sum(len(informer.store) for informer in self._informers)
            log.info("synced", server=self.client.host, objects=objects)
        self._send([], always=True)

    def _fail(self, informer: Informer, error: KubeError) -> None:
        status, synced_before = informer.status, self.synced
        informer.listed = None
        code = error.status if isinstance(error, ApiError) else 0
        if code == 404 and informer.kind not in self._readiness.needed:
            self._note_absence(informer)
        else:
            status.errors += 1
            if code == 410:
                return
            informer.failures += 1
            informer.forbidden = code == 403
            detail = describe(error, informer.list_watch.scope)
            if informer.kind in self.config.needed and not informer.synced:
                detail += "; nothing is answered before they are known, because policies need them"
            if detail != status.detail:
                log.warning("cannot be watched", scope=informer.id, problem=detail)
            status.state, status.detail = "failing", detail
        if self._readiness.update(informer):
            self._send_claim(synced_before)

    def _note_absence(self, informer: Informer) -> None:
        if informer.status.state != "absent":
            log.info("not installed", scope=informer.id)
        informer.absences += 1
        if informer.absences == ABSENCES:
            gone = self._filter.keys(informer)
            informer.reset()
            informer.excused = True  # before the batch: an absent resource does not end `synced`
            self._send(gone)
        informer.status.state = "absent"
        informer.status.detail = "the API server has no such resource (yet)"

    def _send(self, events: list[Event], *, always: bool = False) -> None:
        if self._holding:
            events = []
        if events or always:
            self._stale = self.state in ("snapshot", "stale")
            unknown = self._readiness.unknown
            self._publish(Batch(tuple(events), self.synced, self._stale, unknown))

    async def _publish_all(self) -> None:
        """Publish each object in the state that it has at its turn: the watches go on meanwhile."""
        for informer in sorted(self._informers, key=lambda one: one.kind not in FIRST):
            places = list(informer.store.places())
            for start in range(0, len(places), BATCH):
                things = [
                    informer.store.object(*place)
                    for place in places[start : start + BATCH]
                    if self._filter.passes(informer.kind, *place)
                ]
                self._send([thing for thing in things if thing is not None])
                await asyncio.sleep(0)

    async def _watch_staleness(self) -> None:
        """Publish when the objects become stale, and when they are no longer stale."""
        while True:
            await asyncio.sleep(min(1.0, self.config.stale_after / 4))
            if self.synced and self._stale != (self.state == "stale"):
                self._send([], always=True)

    async def _reconcile_periodically(self, informer: Informer) -> None:
        every = pause = self.config.reconcile_every
        while True:
            timeout = pause * (0.9 + self._rng.random() / 5) if pause else None
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await informer.reconcile_now.wait()
            informer.reconcile_now.clear()
            try:
                lost = await reconcile(informer, self.identity.check)
                self._send(self._filter.apply(informer, lost))
                pause = every
            except (ApiError, Unreachable) as error:
                log.warning("reconcile failed", scope=informer.id, problem=str(error))
                informer.status.errors += 1
                pause = min(every, self.client.timing.backoff_max)

    # -- identity and snapshot ----------------------------------------------------------

    async def _query_pending_identity(self) -> None:
        """Check the streams that were trusted without an answer."""
        while True:
            await asyncio.sleep(self.client.timing.backoff_max)
            if self.identity.pending:
                await self.identity.check()

    def _withdraw_all(self) -> None:
        gone = [key for informer in self._informers for key in self._filter.keys(informer)]
        for informer in self._informers:
            informer.reset()
        self._readiness.update_unknown()
        self._from_snapshot = self._published = False
        self._holding = True
        self._publish(Batch(tuple(gone), synced=False))

    async def _serve_snapshot(self, snapshot: Snapshot) -> None:
        """Serve the snapshot, unless it is of another cluster or of other filters."""
        header = snapshot.header
        self.snapshot_refused = await self._snapshot_problem(header)
        if self.snapshot_refused:
            log.warning("the snapshot is not served", reason=self.snapshot_refused)
            return
        by_place = {informer.list_watch.scope.place: informer for informer in self._informers}
        for start in range(0, len(snapshot.objects), BATCH):
            for thing in map(unpack, snapshot.objects[start : start + BATCH]):
                inside = thing.name if thing.kind == "Namespace" else thing.namespace
                informer = by_place.get((thing.kind, inside)) or by_place.get((thing.kind, ""))
                if informer is not None:
                    informer.store.put(thing)
            await asyncio.sleep(0)
        for informer in self._informers:
            version = header.versions.get(informer.id, "")
            informer.not_in_snapshot = version == ABSENT
            informer.version = "" if informer.not_in_snapshot else version
        self._readiness.update_unknown()
        self._holding = False
        await self._publish_all()
        # Only now: a name that is not published yet must not be denied.
        self._from_snapshot = self._published = True
        self._send([], always=True)
        log.info("the snapshot is served", objects=len(snapshot.objects), written=header.written)

    async def _snapshot_problem(self, header: Header) -> str:
        """Why a snapshot with this header must not be served, or an empty string."""
        if set(header.versions) != {informer.id for informer in self._informers}:
            return "made with other kinds or filters than those now configured"
        for informer in self._informers:
            if informer.kind in self.config.needed and header.versions[informer.id] == ABSENT:
                return (
                    f"made without {informer.id}, which must be known before anything is answered"
                )
        try:
            self.identity.uid = await self.identity.query()
        except KubeError as error:
            log.info("the identity of the cluster is unknown", problem=str(error))
        known = self.identity.uid
        if known and header.cluster:
            same = known == header.cluster
            return "" if same else f"of another cluster (kube-system has uid {header.cluster})"
        same = header.endpoint == self.client.endpoint
        self.identity.uid = known or header.cluster
        return "" if same else "of another API server, and the uid of the cluster is unknown"
