"""From what the cluster says to what is served: State, schema, zone, journal in one step.

A `Batch` goes in, `Change`s come out, one for each contributor whose names are different now.
Every Change is put into the journal and handed to the followers before the next one is
made, so a follower sees the zone exactly as the Change left it.

* The cause of a Change is the last event of its batch that concerned the contributor: what an
  answer can be traced to is the slice that just came, not the Service that was always there.
* A bug that one object brings to light must not take the others with it: what cannot be
  computed is logged and counted, its contributor keeps the names it had, and is tried again with
  the next event that concerns it.
* An observer that raises is logged and counted (`observer_failures`). The Change is made, and the
  other observers get it.
* Each source has a `State` of its own, and its contributors are Keys within its cluster. So two
  sources may hold objects of the same name: the zone merges what they contribute, and the end of
  one leaves the other.

Pure: no clock and no I/O. The caller passes in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from dnsd.cluster.objects import CONTRIBUTOR_KINDS, Event, Key, Pod
from dnsd.cluster.state import State
from dnsd.dns.names import Name, text_of
from dnsd.dns.rrset import RRset
from dnsd.sources.source import Batch
from dnsd.zone.change import Cause, Change
from dnsd.zone.config import SchemaConfig
from dnsd.zone.journal import Journal
from dnsd.zone.merge import APEX
from dnsd.zone.schema import age_of, apex, examine
from dnsd.zone.zone import Zone

_MAX_PROBLEMS = 10_000  # contributors whose problems are remembered


# Contributor, its RRsets, cause, age: see Zone.replace.
Renewal = Callable[[Key, Sequence[RRset], Cause, str], object]


class Log(Protocol):
    """The log that a pipeline writes to: the methods of a structlog logger that it calls."""

    def info(self, event: str, **fields: object) -> object: ...

    def warning(self, event: str, **fields: object) -> object: ...

    def exception(self, event: str, **fields: object) -> object: ...


class _NoLog:
    """The log of a pipeline that was given none."""

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...

    def exception(self, event: str, **fields: object) -> None: ...


class Pipeline:
    """Holds `state`, `zone` and `journal`, and keeps them in step.

    `on_change` are called with each Change, `on_rebuild` with the zone when it was built anew
    (its serial is higher; there are no Changes from the one before), `on_contribution` with what a
    contributor contributes now, whether or not that changes what is served.

    `failures`: how often a contributor could not be computed. `failed`: those that still could
    not, with the error's text. `problems`: by contributor, what the schema had to leave out. The
    contributors that lost a name to another are in `zone.disputes`.
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
        self.zone = Zone(config, serial, unpacked=True)  # see `compact_all`
        self.journal = journal
        self.on_change: list[Callable[[Change], None]] = []
        self.on_rebuild: list[Callable[[Zone], None]] = []
        self.on_contribution: list[Renewal] = []
        self.failures = self.observer_failures = 0
        self.failed: dict[Key, str] = {}
        self.problems: dict[Key, tuple[str, ...]] = {}
        self._placed: dict[Key, tuple[tuple[RRset, ...], Cause, str]] = {}
        self._disputed: dict[Name, tuple[Key, ...]] = {}  # as last logged

    def feed(self, batch: Batch, at: float, cluster: str = "") -> list[Change]:
        """Applies a batch of a source, handed in at `at` (seconds). Its Changes, in order."""
        state = self.states.get(cluster)
        if state is None:
            types = self.zone.config.external.node_port_types
            state = self.states[cluster] = State(types)
        dirty: dict[Key, Cause] = {}
        for event in batch.events:
            for contributor in state.apply((event,)):
                # Last cause wins, and the contributor keeps its place in the queue.
                dirty[contributor] = _cause(event, at, cluster)
        changes = []
        for contributor, cause in dirty.items():
            change = self._renew(self.zone, contributor.within(cluster), cause)
            if change is not None:
                changes.append(change)
                self._tell(change)
        state.compact()
        return changes

    def pods(self, keys: Iterable[Key]) -> dict[Key, Pod | None]:
        """The Pods with these keys, of any source; None for a Pod that does not exist."""
        found = {}
        for key in keys:
            state = self.states.get(key.cluster)
            pod = state.get(key) if state is not None else None
            found[key] = pod if isinstance(pod, Pod) else None
        return found

    def pod_keys(self) -> list[Key]:
        """The keys of all Pods, of every source."""
        return [
            key.within(cluster)
            for cluster, state in self.states.items()
            for key in state.pod_keys()
        ]

    def pods_with(self, address: bytes) -> list[Pod]:
        """The Pods of every source that have this packed address."""
        return [pod for state in self.states.values() for pod in state.pods_with(address)]

    def compact_all(self) -> Iterator[None]:
        """Once what there was at the start is in: see Zone.compact_all."""
        return self.zone.compact_all()

    def put(
        self, contributor: Key, rrsets: Sequence[RRset], cause: Cause, age: str = ""
    ) -> Change | None:
        """What a contributor contributes that no object stands behind (a record pinned by hand).

        It stays through `reconfigure`; no RRsets: it is gone. `age`: as of `Zone.replace`.
        """
        if rrsets:
            self._placed[contributor] = tuple(rrsets), cause, age
        else:
            self._placed.pop(contributor, None)
        change = self._replace(self.zone, contributor, rrsets, cause, age)
        if change is not None:
            self._tell(change)
        return change

    def reached_at(self, addresses: tuple[bytes, ...], cause: Cause) -> Change | None:
        """From now on ns.dns.ZONE has these addresses (packed); nothing else is computed anew."""
        config = msgspec.structs.replace(self.zone.config, ns_addresses=addresses)
        if config == self.zone.config:
            return None
        self.zone.config = config
        change = self._replace(self.zone, APEX, apex(config), cause, "")
        if change is not None:
            self._tell(change)
        return change

    def reconfigure(self, config: SchemaConfig) -> bool:
        """Serves the same objects by another schema configuration; False if it is the same.

        The zone is built anew beside the old one and takes its place, with the next serial.
        """
        if config == self.zone.config:
            return False
        serial = (self.zone.serial + 1) % 2**32
        zone = Zone(config, serial)
        self.problems.clear()
        self._disputed.clear()
        for cluster, state in self.states.items():
            state.follow_nodes(config.external.node_port_types)
            for thing in state.objects():
                if thing.kind in CONTRIBUTOR_KINDS:
                    key = thing.key.within(cluster)
                    self._renew(zone, key, Cause(key, thing.version, thing.origin))
        for contributor, (rrsets, cause, age) in self._placed.items():
            self._replace(zone, contributor, rrsets, cause, age)
        zone.serial = serial
        self.zone = zone
        if self.journal is not None:
            self.journal.clear()
        self._notify(self.on_rebuild, zone)
        return True

    def _renew(self, zone: Zone, contributor: Key, cause: Cause) -> Change | None:
        """Puts what the schema now says of one contributor into the zone."""
        try:
            subject = self.states[contributor.cluster].subject(contributor)
            names, found = examine(subject, zone.config) if subject is not None else ([], [])
            # Inside, age decides nothing, and is not worth the memory.
            age = age_of(subject) if subject is not None and zone.config.external.zones else ""
            change = self._replace(zone, contributor, names, cause, age)
        except Exception as error:  # noqa: BLE001 - one bad object must not affect the others
            self.failures += 1
            self.failed[contributor] = f"{type(error).__name__}: {error}"
            self._log.exception(
                "names not computed, the previous ones stay", contributor=str(contributor)
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
        """Logs who has a name that several want, when it is news."""
        if found == self._disputed.get(name, ()):
            return
        if not found:
            del self._disputed[name]
            self._log.info("nobody else wants the name any more", name=text_of(name))
        elif name in self._disputed or len(self._disputed) < _MAX_PROBLEMS:
            self._disputed[name] = found
            self._log.warning(
                "several want one name; the oldest has it",
                name=text_of(name),
                served=str(found[0]),
                left_out=[str(contributor) for contributor in found[1:10]],
            )

    def _note(self, contributor: Key, found: tuple[str, ...]) -> None:
        """Remembers what is not served of a contributor, and logs it when it is news."""
        if found == self.problems.get(contributor, ()):
            return
        if not found:
            del self.problems[contributor]
        elif contributor in self.problems or len(self.problems) < _MAX_PROBLEMS:
            self.problems[contributor] = found
            self._log.warning("not served", contributor=str(contributor), problems=found[:10])

    def _tell(self, change: Change) -> None:
        if self.journal is not None:
            self.journal.append(change)
        self._notify(self.on_change, change)

    def _notify(self, observers: Iterable[Callable[..., object]], *news: object) -> None:
        for observer in observers:
            try:
                observer(*news)
            except Exception:  # noqa: BLE001 - the zone is what it is, and others must get it
                self.observer_failures += 1
                self._log.exception("an observer of the zone failed, a bug")


def _cause(event: Event, at: float, cluster: str) -> Cause:
    if isinstance(event, Key):  # it is gone: nothing says where it was
        return Cause(event.within(cluster), at=at)
    return Cause(event.key.within(cluster), event.version, event.origin, at)
