"""What manifests would do: names that would appear, vanish, change, and what conflicts.

The schema is a pure function, so the answer is the real one: the contributors that the manifests
concern get a second zone of their own, with everybody else who says something about the same
names, and what comes out is compared with the zone that is served. Nothing is applied, and
the cost is that of the manifests, not of the cluster.

Three ways to read manifests (`Mode`): they are applied (`kubectl apply`: what they do not
mention stays), they are deleted (`kubectl delete -f`), or they are all there is (a directory
that dnsd follows: what is not in it goes).

What only the cluster can decide is said, not guessed: a Service that asks for a ClusterIP and
has none yet will get one, and a headless Service has names when it has ready endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum

import msgspec
from msgspec import Struct

from dnsd.cluster.objects import (
    CONTRIBUTOR_KINDS,
    EndpointSlice,
    Event,
    Gateway,
    Key,
    Node,
    Object,
    Pod,
    Route,
    Service,
)
from dnsd.cluster.state import State
from dnsd.dns.addresses import address_text
from dnsd.dns.names import Name, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.text import canonical, rdata_text
from dnsd.dns.types import Type, type_text
from dnsd.sources.manifests.file import parse
from dnsd.zone.change import Cause
from dnsd.zone.merge import APEX
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.schema import age_of, examine
from dnsd.zone.zone import Zone

MAX_OBJECTS = 20_000  # in manifests that are planned; more is a cluster, not a change
LATER = "(a ClusterIP, allocated when it is applied)"


class Mode(Enum):
    """How manifests are meant."""

    APPLY = "apply"
    DELETE = "delete"
    WHOLE = "whole"


class TooMuch(ValueError):
    """More objects than a plan takes."""


class Manifests(Struct, frozen=True):
    """What manifests say: objects, what is wrong with them, kinds that have no names."""

    objects: tuple[Object, ...]
    problems: tuple[str, ...] = ()
    skipped: dict[str, int] = {}


class Row(Struct, frozen=True):
    """One name and type: values in zone-file text, none before or after it exists.

    `owner`: whose it is ("Service prod/web"), or was. `asked`: about how many questions for
    the name came in the last ten minutes; None when nobody counts.
    """

    name: str
    type: str
    ttl: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    owner: str
    asked: int | None = None


class Plan(Struct, frozen=True):
    """What would be different. Rows in canonical order of their names."""

    appear: tuple[Row, ...]
    vanish: tuple[Row, ...]
    change: tuple[Row, ...]
    conflicts: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    objects: int
    skipped: dict[str, int]

    @property
    def breaks(self) -> bool:
        """Whether names that exist would be gone."""
        return bool(self.vanish)

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not (self.appear or self.vanish or self.change):
            return "No name would change."
        counts = (
            (len({row.name for row in self.appear}), "appear"),
            (len({row.name for row in self.vanish}), "vanish"),
            (len({row.name for row in self.change}), "change"),
        )
        said = ", ".join(
            f"{count} name{'s' if count != 1 else ''} would {what}"
            for count, what in counts
            if count
        )
        asked = len({row.name for row in (*self.vanish, *self.change) if row.asked})
        tail = f"; {asked} of those that vanish or change are asked right now" if asked else ""
        return f"{said}{tail}."


def read_manifests(data: bytes, file: str = "manifests.yaml") -> Manifests:
    """What YAML or JSON text says; never raises for any bytes. Blocks while it parses."""
    read = parse(file, data)
    return Manifests(
        tuple(entry.object for entry in read.entries),
        tuple(map(str, read.problems)),
        dict(read.skipped),
    )


def plan(
    pipeline: Pipeline,
    manifests: Manifests,
    mode: Mode = Mode.APPLY,
    asked: Callable[[Name], int] | None = None,
) -> Plan:
    """How the zone would differ. `asked`: how often a name was asked lately, 0 for never.

    Raises TooMuch for more than MAX_OBJECTS.
    """
    if len(manifests.objects) > MAX_OBJECTS:
        raise TooMuch(f"{len(manifests.objects)} objects, a plan takes {MAX_OBJECTS}")
    draft = _Draft(pipeline, manifests, mode)
    rows = {row: kind for kind, row in _rows(draft, asked)}
    return Plan(
        appear=tuple(row for row, kind in rows.items() if kind == "appear"),
        vanish=tuple(row for row, kind in rows.items() if kind == "vanish"),
        change=tuple(row for row, kind in rows.items() if kind == "change"),
        conflicts=tuple(_conflicts(draft)),
        problems=(*manifests.problems, *draft.problems),
        notes=tuple(draft.notes),
        objects=len(manifests.objects),
        skipped=manifests.skipped,
    )


class _Draft:
    """The second zone: the contributors concerned as they would be, and who shares their names."""

    def __init__(self, pipeline: Pipeline, manifests: Manifests, mode: Mode) -> None:
        self.pipeline = pipeline
        self.objects = manifests.objects
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.later: set[Name] = set()  # names whose address is allocated later
        self.scratch = State(pipeline.zone.config.external.node_port_types)
        events = tuple(self._events(mode))
        self._seed(events)
        self.contributors = sorted(self.scratch.apply(events))
        self.zone = Zone(pipeline.zone.config, pipeline.zone.serial)
        self.touched = self._build()

    def _events(self, mode: Mode) -> Iterator[Event]:
        if mode is Mode.DELETE:
            yield from (one.key for one in self.objects)
            return
        if mode is Mode.WHOLE:
            there = {one.key for one in self.objects}
            # Pods and Nodes are never in anybody's manifests, and follow from nothing there.
            yield from (
                one.key
                for one in self.pipeline.state.objects()
                if one.key not in there and not isinstance(one, Pod | Node)
            )
        for one in self.objects:
            yield self._kept_address(one) if isinstance(one, Service) else one

    def _kept_address(self, new: Service) -> Service:
        """A Service that names no ClusterIP keeps the one it has (as the API server does)."""
        if new.cluster_ips or new.headless or new.type == "ExternalName":
            return new
        old = self.pipeline.state.get(new.key)
        if isinstance(old, Service) and old.cluster_ips and old.type != "ExternalName":
            return msgspec.structs.replace(
                new, cluster_ips=old.cluster_ips, allocated=old.allocated
            )
        self.notes.append(f"{new.key} gets a ClusterIP when it is applied; its names are known now")
        return new

    def _seed(self, events: Iterable[Event]) -> None:
        """Puts what is there now, of the contributors concerned, into the scratch state."""
        state = self.pipeline.state
        contributors: dict[Key, None] = {}
        for event in events:
            key = event if isinstance(event, Key) else event.key
            for thing in (state.get(key), event):
                if thing is None or isinstance(thing, Key):
                    continue
                if isinstance(thing, EndpointSlice) and thing.service:
                    contributors[Key("Service", thing.namespace, thing.service)] = None
                elif isinstance(thing, Gateway):
                    contributors |= dict.fromkeys(state.routes_of(thing.key))
                elif thing.kind in CONTRIBUTOR_KINDS:
                    contributors[thing.key] = None
        if any(event.kind == "Node" for event in events):
            types = self.pipeline.zone.config.external.node_port_types
            contributors |= {one.key: None for one in state.services() if one.type in types}
        if self.pipeline.zone.external:  # a Service at node ports depends on all of them
            self.scratch.apply(state.nodes())
        routes = [event for event in events if isinstance(event, Route)]
        for contributor in contributors:
            there = state.get(contributor)
            slices = state.slices_of(contributor) if contributor.kind == "Service" else ()
            routes += [there] if isinstance(there, Route) else []
            self.scratch.apply([one for one in (there, *slices) if one is not None])
        for parent in (parent for route in routes for parent in route.parents):
            gateway = state.get(parent.key)
            self.scratch.apply([gateway] if gateway is not None else [])

    def _build(self) -> list[Name]:
        """Builds the second zone; the names that may be different in it."""
        served, config = self.pipeline.zone, self.pipeline.zone.config
        wanted: dict[Key, list[RRset]] = {}
        names: dict[Name, None] = {}
        for contributor in self.contributors:
            subject = self.scratch.subject(contributor)
            made, found = examine(subject, config) if subject is not None else ([], [])
            wanted[contributor] = made
            self.problems += found
            self._note(contributor, made)
            names.update(
                dict.fromkeys(one.name for one in (*served.contribution(contributor), *made))
            )
        for name in names:
            for contributor in served.contributors(name):
                if contributor != APEX and contributor not in wanted:
                    wanted[contributor] = list(served.contribution(contributor))
        for contributor, made in wanted.items():
            subject = self.scratch.subject(contributor)
            age = served.age(contributor) if subject is None else age_of(subject)
            self.zone.replace(contributor, made, Cause(contributor), age if served.external else "")
        return list(names)

    def _note(self, contributor: Key, made: Sequence[RRset]) -> None:
        service = self.scratch.get(contributor)
        if not isinstance(service, Service) or service.type == "ExternalName":
            return
        if service.headless and not any(one.type for one in made):
            self.notes.append(f"{contributor} is headless: its names come with its ready endpoints")
        elif not service.headless and not service.cluster_ips:
            below = f"{service.name}.{service.namespace}.svc."
            self.later.update(one.name for one in made if text_of(one.name).startswith(below))


def _rows(draft: _Draft, asked: Callable[[Name], int] | None) -> Iterator[tuple[str, Row]]:
    served, planned = draft.pipeline.zone, draft.zone
    for name in sorted(draft.touched, key=canonical):
        types = {*served.types(name), *planned.types(name)}
        if name in draft.later and not served.exists(name):
            count = None if asked is None else asked(name)
            yield (
                "appear",
                Row(text_of(name), "A", 0, (), (LATER,), _contributor(planned, name), count),
            )
        for type_ in sorted(types):
            before, after = served.rrset(name, type_), planned.rrset(name, type_)
            if type_ == Type.SOA or _same(before, after):
                continue
            said = after or before
            row = Row(
                text_of(name),
                type_text(type_),
                said.ttl if said else 0,
                _values(before),
                _values(after),
                _contributor(planned if after else served, name),
                None if asked is None else asked(name),
            )
            yield _kind(served, planned, name, before, after), row


def _same(before: RRset | None, after: RRset | None) -> bool:
    return before == after


def _kind(
    served: Zone, planned: Zone, name: Name, before: RRset | None, after: RRset | None
) -> str:
    """A name that keeps some records changes, whichever types come and go."""
    if before is None and not served.types(name):
        return "appear"
    if after is None and not planned.types(name):
        return "vanish"
    return "change"


def _values(rrset: RRset | None) -> tuple[str, ...]:
    return tuple(rdata_text(rrset.type, one) for one in rrset.rdatas) if rrset else ()


def _contributor(zone: Zone, name: Name) -> str:
    return ", ".join(str(contributor) for contributor in zone.contributors(name))


def _conflicts(draft: _Draft) -> Iterator[str]:
    visible_rrsets: dict[Key, Object] = {}
    for one in draft.objects:
        if one.key in visible_rrsets:
            yield f"{one.key} is there twice, in {visible_rrsets[one.key].origin} and {one.origin}"
        visible_rrsets.setdefault(one.key, one)
    yield from _taken_addresses(draft)
    for name in draft.touched:
        contributors = draft.zone.contributors(name)
        pinned = [contributor for contributor in contributors if contributor.kind == "Record"]
        if pinned and len(contributors) > len(pinned):
            others = ", ".join(
                str(contributor) for contributor in contributors if contributor.kind != "Record"
            )
            yield f"{text_of(name)} has records pinned by hand, and would be of {others} too"


def _taken_addresses(draft: _Draft) -> Iterator[str]:
    """ClusterIPs that two Services would have."""
    mine = {
        address: one
        for one in draft.objects
        if isinstance(one, Service)
        for address in one.cluster_ips
    }
    if not mine:
        return
    holders: dict[bytes, Key] = {}
    for service in draft.scratch.services():
        for address in service.cluster_ips:
            other = holders.setdefault(address, service.key)
            if other != service.key:
                yield f"{address_text(address)} would be the ClusterIP of {other} and {service.key}"
    for service in draft.pipeline.state.services():
        for address in service.cluster_ips:
            new = mine.get(address)
            if new is not None and new.key != service.key and service.key not in draft.contributors:
                yield f"{address_text(address)} of {new.key} is the ClusterIP of {service.key}"
