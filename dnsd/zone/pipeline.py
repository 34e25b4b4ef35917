"""The pipeline: from a batch of objects to the Changes of the zone, in one step.

In `zone/` (control plane: the names that exist). Change here: the order of state, schema, zone,
journal, and observers.

A `Batch` goes in, and a `Change` comes out for each contributor whose names changed. Every Change
is appended to the journal and passed to the observers before the next one is made, so an observer
sees the zone exactly as the Change left it.

* The cause of a Change is the last event of its batch that concerned the contributor: an answer is
  traced to the EndpointSlice that just changed, not to the Service that always existed.
* A bug that one object triggers must not affect the others. The error is logged and counted, and
  the contributor keeps its names until the next event that concerns it.
* The error of an observer is logged and counted (`observer_failures`). The Change stays, and the
  other observers get it.
* Each source has its own `State`, and its contributors are Keys within its cluster. So two
  sources may hold objects of the same name: the zone merges their contributions, and the deletion
  of one leaves the other.

Pure: no clock and no I/O. The caller passes in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from dnsd.cluster.objects import CONTRIBUTOR_KINDS, Event, Key, Object, Pod
from dnsd.cluster.state import State
from dnsd.dns.names import Name, text_of
from dnsd.dns.rrset import RRset
from dnsd.sources.source import Batch
from dnsd.zone.change import Cause, Change
from dnsd.zone.journal import Journal
from dnsd.zone.merge import APEX_KEY
from dnsd.zone.schema import age_of, apex, examine
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.zone import Zone

_MAX_PROBLEMS = 10_000  # contributors whose problems are remembered

# Contributor, its RRsets, cause, age: see Zone.replace.
ContributionObserver = Callable[[Key, Sequence[RRset], Cause, str], object]


class Log(Protocol):
    """The log that a pipeline writes to: the methods of a structlog logger that it calls."""

    def info(self, event: str, **fields: object) -> object: ...

    def warning(self, event: str, **fields: object) -> object: ...

    def exception(self, event: str, **fields: object) -> object: ...


class _NoLog:
    """Discards everything."""

    def info(self, event: str, **fields: object) -> None: ...

    warning = exception = info


class _Next(NamedTuple):
    """A zone that is being built, and the contributors that changed since it was begun."""

    zone: Zone
    edited: dict[Key, Cause]


class Pipeline:
    """Holds `states`, `zone`, and `journal`, and keeps them consistent.

    Observers: `on_change` are called with each Change; `on_rebuild` with the zone after it was
    rebuilt (its serial is higher, without Changes from the former one); `on_contribution`
    with the RRsets of a contributor, whether or not that changes what is served.

    `failures` counts the contributors that could not be computed; `failed` has those that still
    cannot, with the text of the error. `problems`: by contributor, what the schema left out.
    `zone.disputes` has the names that several contributors claim.
    """

    def __init__(
        self,
        config: SchemaConfig,
        serial: int,
        journal: Journal | None = None,
        log: Log | None = None,
    ) -> None:
        self._log: Log = log or _NoLog()
        self.state = State(config.external.node_port_types)  # of the first source
        self.states = {"": self.state}  # by cluster
        self.zone = Zone(config, serial, unpacked=True)  # until its `compact_all`
        self.journal = journal
        self.on_change: list[Callable[[Change], None]] = []
        self.on_rebuild: list[Callable[[Zone], None]] = []
        self.on_contribution: list[ContributionObserver] = []
        self.failures = self.observer_failures = 0
        self.failed: dict[Key, str] = {}
        self.problems: dict[Key, tuple[str, ...]] = {}
        self._pinned: dict[Key, tuple[tuple[RRset, ...], Cause, str]] = {}
        self._disputed: dict[Name, tuple[Key, ...]] = {}  # as last logged
        self._next: _Next | None = None  # during `reconfigure_slowly`

    def feed(self, batch: Batch, at: float, cluster: str = "") -> list[Change]:
        """Applies a batch of a source, received at `at` (seconds). Its Changes, in order."""
        return [change for change in self.feed_slowly(batch, at, cluster) if change is not None]

    def feed_slowly(self, batch: Batch, at: float, cluster: str = "") -> Iterator[Change | None]:
        """The same, in pieces: yields after each event and after each contributor.

        Between two pieces the zone lacks Changes of the batch, and everything else may change.
        """
        state = self.states.get(cluster)
        if state is None:
            config = (self._next.zone if self._next else self.zone).config
            state = self.states[cluster] = State(config.external.node_port_types)
        dirty: dict[Key, Cause] = {}
        for event in batch.events:
            for contributor in state.apply((event,)):
                # The last cause counts, and the contributor keeps its place in the order.
                dirty[contributor] = _cause(event, at, cluster)
            yield None
        for contributor, cause in dirty.items():
            yield self._edit(contributor.within(cluster), cause)
        state.compact()

    def get(self, key: Key) -> Object | None:
        """The object with this key, of any source; None if it does not exist."""
        state = self.states.get(key.cluster)
        return state.get(key) if state is not None else None

    def pods(self, keys: Iterable[Key]) -> dict[Key, Pod | None]:
        """The Pods with these keys; None for a Pod that does not exist."""
        found = ((key, self.get(key)) for key in keys)
        return {key: pod if isinstance(pod, Pod) else None for key, pod in found}

    def pod_keys(self) -> list[Key]:
        """The keys of all Pods, of every source."""
        return [
            key.within(cluster)
            for cluster, state in self.states.items()
            for key in state.keys("Pod")
        ]

    def pods_with(self, address: bytes) -> list[Pod]:
        """The Pods of every source that have this packed address."""
        return [pod for state in self.states.values() for pod in state.pods_with(address)]

    def put(
        self, contributor: Key, rrsets: Sequence[RRset], cause: Cause, age: str = ""
    ) -> Change | None:
        """Sets the RRsets of a contributor that is not an object (a pinned record).

        They survive `reconfigure`. Empty: it is gone. `age`: as in `Zone.replace`.
        """
        if rrsets:
            self._pinned[contributor] = tuple(rrsets), cause, age
        else:
            self._pinned.pop(contributor, None)
        return self._edit(contributor, cause)

    def set_ns_addresses(self, addresses: tuple[bytes, ...], cause: Cause) -> Change | None:
        """Sets the packed addresses of ns.dns.ZONE; computes nothing else."""
        config = msgspec.structs.replace(self.zone.config, ns_addresses=addresses)
        if config == self.zone.config:
            return None
        self.zone.config = config
        change = self._replace(self.zone, APEX_KEY, apex(config), cause, "")
        if change is not None:
            self._publish(change)
        return change

    def reconfigure(self, config: SchemaConfig) -> bool:
        """Serves the same objects by another schema configuration; False if it is the same."""
        before = self.zone
        for _ in self.reconfigure_slowly(config):
            pass
        return self.zone is not before

    def reconfigure_slowly(self, config: SchemaConfig) -> Iterator[None]:
        """The same, in pieces: yields after each contributor.

        The zone is rebuilt beside the old one and replaces it at the end, with the next serial.
        Until then the old one is served, and changes go to it. The contributors that they concern
        are computed once more for the new zone.
        """
        if config == self.zone.config:
            return
        zone, edited = self._next = _Next(Zone(config, 0), {})
        self.problems.clear()
        self._disputed.clear()
        try:
            self._follow_nodes(config)
            for contributor in self._contributors():
                self._compute(zone, contributor, self._cause_now(contributor))
                yield
            while edited:
                contributor = next(iter(edited))
                self._compute(zone, contributor, edited.pop(contributor))
                yield
            zone.serial = (self.zone.serial + 1) % 2**32
            self.zone, self._disputed = zone, dict(zone.disputes)
        finally:
            self._next = None
            self._follow_nodes(self.zone.config)
        if self.journal is not None:
            self.journal.clear()
        self._notify(self.on_rebuild, zone)

    def _follow_nodes(self, config: SchemaConfig) -> None:
        for state in self.states.values():
            state.follow_nodes(config.external.node_port_types)

    def _contributors(self) -> list[Key]:
        """Every contributor that exists: first the objects."""
        objects = [
            key.within(cluster)
            for cluster, state in self.states.items()
            for key in state.keys(*CONTRIBUTOR_KINDS)
        ]
        return [*objects, *self._pinned]

    def _cause_now(self, contributor: Key) -> Cause:
        """The object itself as the cause, with its version."""
        found = self.get(contributor)
        return Cause(contributor, found.version, found.origin) if found else Cause(contributor)

    def _edit(self, contributor: Key, cause: Cause) -> Change | None:
        """Computes the RRsets of a contributor anew, and publishes the Change."""
        if self._next is not None:
            self._next.edited[contributor] = cause
        change = self._compute(self.zone, contributor, cause)
        if change is not None:
            self._publish(change)
        return change

    def _compute(self, zone: Zone, contributor: Key, cause: Cause) -> Change | None:
        """Puts the RRsets that a contributor has now into `zone`."""
        pinned = self._pinned.get(contributor)
        if pinned is not None:
            rrsets, cause, age = pinned
            return self._replace(zone, contributor, rrsets, cause, age)
        return self._update(zone, contributor, cause)

    def _update(self, zone: Zone, contributor: Key, cause: Cause) -> Change | None:
        """Puts the RRsets of one contributor into the zone."""
        try:
            subject = self.states[contributor.cluster].subject(contributor)
            names, found = examine(subject, zone.config) if subject is not None else ([], [])
            # Age decides in external zones only; elsewhere it is not worth the memory.
            age = age_of(subject) if subject is not None and zone.config.external.zones else ""
            change = self._replace(zone, contributor, names, cause, age)
        except Exception as error:  # noqa: BLE001 - one bad object must not affect the others
            self.failures += 1
            self.failed[contributor] = f"{type(error).__name__}: {error}"
            self._log.exception(
                "names not computed, the previous names stay", contributor=str(contributor)
            )
            return None
        self.failed.pop(contributor, None)
        self._note(contributor, tuple(found))
        return change

    def _replace(
        self, zone: Zone, contributor: Key, rrsets: Sequence[RRset], cause: Cause, age: str
    ) -> Change | None:
        if zone is self.zone:
            self._notify(self.on_contribution, contributor, rrsets, cause, age)
        if not zone.config.external.zones:
            return zone.replace(contributor, rrsets, cause)
        names = {one.name for one in (*zone.contribution(contributor), *rrsets)}
        change = zone.replace(contributor, rrsets, cause, age)
        for name in names if zone.disputes or self._disputed else ():
            self._note_dispute(name, zone.disputes.get(name, ()))
        return change

    def _note_dispute(self, name: Name, found: tuple[Key, ...]) -> None:
        """Logs which contributor has a claimed name, if that changed."""
        if found == self._disputed.get(name, ()):
            return
        if not found:
            del self._disputed[name]
            self._log.info("name no longer claimed by several objects", name=text_of(name))
        elif name in self._disputed or len(self._disputed) < _MAX_PROBLEMS:
            self._disputed[name] = found
            self._log.warning(
                "name claimed by several objects; the oldest wins",
                name=text_of(name),
                served=str(found[0]),
                left_out=[str(contributor) for contributor in found[1:10]],
            )

    def _note(self, contributor: Key, found: tuple[str, ...]) -> None:
        """Remembers what is not served of a contributor, and logs it if that changed."""
        if found == self.problems.get(contributor, ()):
            return
        if not found:
            del self.problems[contributor]
        elif contributor in self.problems or len(self.problems) < _MAX_PROBLEMS:
            self.problems[contributor] = found
            self._log.warning("not served", contributor=str(contributor), problems=found[:10])

    def _publish(self, change: Change) -> None:
        if self.journal is not None:
            self.journal.append(change)
        self._notify(self.on_change, change)

    def _notify(self, observers: Iterable[Callable[..., object]], *news: object) -> None:
        for observer in observers:
            try:
                observer(*news)
            except Exception:  # noqa: BLE001 - the other observers must get it
                self.observer_failures += 1
                self._log.exception("an observer of the zone failed, a bug")


def _cause(event: Event, at: float, cluster: str) -> Cause:
    if isinstance(event, Key):  # a deletion has no version and no origin
        return Cause(event.within(cluster), at=at)
    return Cause(event.key.within(cluster), event.version, event.origin, at)
