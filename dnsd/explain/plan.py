"""Compute what manifests would change: names that appear, vanish, or change, and conflicts.

In `explain/` (control plane: pure). Change here: what `dnsd plan` reports.

The schema is a pure function, so the plan is exact. The contributors that the manifests concern are
put into a second zone, together with all others at the same names, and the result is compared with
the served zone. Nothing is applied. The cost depends on the manifests, not on the cluster.

Manifests are read in one of three ways (`Mode`): they are applied (`kubectl apply`: objects that
they do not mention stay), deleted (`kubectl delete -f`), or the whole state (a directory that dnsd
follows: objects that are not in it are deleted).

The plan reports, and does not guess, what only the cluster can decide: a Service that requests a
ClusterIP gets one later, and a headless Service has names once it has ready endpoints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

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
from dnsd.dns.text import canonical, values_of
from dnsd.dns.types import Type, type_text
from dnsd.sources.manifests.file import parse
from dnsd.zone.change import Cause
from dnsd.zone.merge import APEX_KEY
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.schema import age_of, examine
from dnsd.zone.zone import Zone

MAX_OBJECTS = 20_000  # in the manifests of one plan
LATER = "(a ClusterIP, allocated when it is applied)"
Mode = Literal["apply", "delete", "whole"]


class TooMuch(ValueError):
    """The manifests have more objects than a plan accepts."""


class Manifests(Struct, frozen=True):
    """Parsed manifests. `skipped`: the number of objects of each kind that has no names."""

    objects: tuple[Object, ...]
    problems: tuple[str, ...] = ()
    skipped: dict[str, int] = {}


class Row(Struct, frozen=True):
    """One name and type. Values are zone-file text, empty while the record does not exist.

    `owner`: the contributors ("Service prod/web"). `asked`: estimated queries for the name in the
    last ten minutes, None without counts.
    """

    name: str
    type: str
    ttl: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    owner: str
    asked: int | None = None


class Plan(Struct, frozen=True):
    """The differences. Rows are in canonical order of their names (RFC 4034 6.1)."""

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
        """Whether existing names would vanish."""
        return bool(self.vanish)

    @property
    def verdict(self) -> str:
        """The plan in one sentence."""
        counts = [
            (len({row.name for row in getattr(self, kind)}), kind)
            for kind in ("appear", "vanish", "change")
        ]
        summary = ", ".join(
            f"{count} name{'s' * (count != 1)} would {kind}" for count, kind in counts if count
        )
        queried = len({row.name for row in (*self.vanish, *self.change) if row.asked})
        tail = f"; clients currently query {queried} of those that vanish or change"
        return f"{summary}{tail if queried else ''}." if summary else "No name would change."

    def fields(self) -> dict[str, object]:
        """The plan as the API and `dnsd plan --json` show it."""
        plain = {name: getattr(self, name) for name in self.__struct_fields__}
        return {"verdict": self.verdict, "breaks": self.breaks, **plain}


def read_manifests(*files: tuple[str, bytes]) -> Manifests:
    """Parse files of YAML or JSON (by their name). Never raises. Blocks while it parses."""
    parts = [parse(name, data) for name, data in files]
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    return Manifests(
        tuple(manifest.object for part in parts for manifest in part.manifests),
        tuple(str(problem) for part in parts for problem in part.problems),
        skipped,
    )


def plan(
    pipeline: Pipeline,
    manifests: Manifests,
    mode: Mode = "apply",
    queries: Callable[[Name], int] | None = None,
) -> Plan:
    """How the zone would differ. `queries`: the recent number of queries for a name.

    Raises TooMuch for more than MAX_OBJECTS.
    """
    if len(manifests.objects) > MAX_OBJECTS:
        raise TooMuch(f"{len(manifests.objects)} objects; a plan accepts at most {MAX_OBJECTS}")
    draft = _Draft(pipeline, manifests, mode)
    rows: dict[str, list[Row]] = {"appear": [], "vanish": [], "change": []}
    for kind, row in _rows(draft, queries):
        rows[kind].append(row)
    return Plan(
        appear=tuple(rows["appear"]),
        vanish=tuple(rows["vanish"]),
        change=tuple(rows["change"]),
        conflicts=tuple(_conflicts(draft)),
        problems=(*manifests.problems, *draft.problems),
        notes=tuple(draft.notes),
        objects=len(manifests.objects),
        skipped=manifests.skipped,
    )


class _Draft:
    """The second zone: the changed contributors, and all others at the same names."""

    def __init__(self, pipeline: Pipeline, manifests: Manifests, mode: Mode) -> None:
        self.pipeline = pipeline
        self.objects = manifests.objects
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.later: set[Name] = set()  # names whose address is allocated later
        self.scratch = State(pipeline.zone.config.external.node_port_types)
        events = tuple(self._events(mode))
        self._copy_current(events)
        self.contributors = sorted(self.scratch.apply(events))
        self.zone = Zone(pipeline.zone.config, pipeline.zone.serial)
        self.touched = self._build()

    def _events(self, mode: Mode) -> Iterator[Event]:
        if mode == "delete":
            yield from (one.key for one in self.objects)
            return
        if mode == "whole":
            kept = {one.key for one in self.objects}
            # A directory of manifests does not hold the Pods and Nodes of the cluster.
            yield from (
                one.key
                for one in self.pipeline.state.objects()
                if one.key not in kept and not isinstance(one, Pod | Node)
            )
        for one in self.objects:
            yield self._with_address(one) if isinstance(one, Service) else one

    def _with_address(self, new: Service) -> Service:
        """A Service without a ClusterIP keeps its current one, as in the API server."""
        if new.cluster_ips or new.headless or new.type == "ExternalName":
            return new
        old = self.pipeline.state.get(new.key)
        if isinstance(old, Service) and old.cluster_ips and old.type != "ExternalName":
            return msgspec.structs.replace(
                new, cluster_ips=old.cluster_ips, allocated=old.allocated
            )
        self.notes.append(
            f"{new.key} gets a ClusterIP when it is applied; only its names are known"
        )
        return new

    def _copy_current(self, events: Iterable[Event]) -> None:
        """Copy the current objects of the contributors concerned into the scratch state."""
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
        if self.pipeline.zone.external:  # a Service at node ports depends on all nodes
            self.scratch.apply(state.objects("Node"))
        routes = [event for event in events if isinstance(event, Route)]
        for contributor in contributors:
            current = state.get(contributor)
            slices = state.slices_of(contributor) if contributor.kind == "Service" else ()
            routes += [current] if isinstance(current, Route) else []
            self.scratch.apply([one for one in (current, *slices) if one is not None])
        for parent in (parent for route in routes for parent in route.parents):
            gateway = state.get(parent.key)
            self.scratch.apply([gateway] if gateway is not None else [])

    def _build(self) -> list[Name]:
        """Build the second zone, and return the names that may differ in it."""
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
                if contributor != APEX_KEY and contributor not in wanted:
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
            self.notes.append(
                f"{contributor} is headless: it has names once it has ready endpoints"
            )
        elif not service.headless and not service.cluster_ips:
            below = f"{service.name}.{service.namespace}.svc."
            self.later.update(one.name for one in made if text_of(one.name).startswith(below))


def _rows(draft: _Draft, queries: Callable[[Name], int] | None) -> Iterator[tuple[str, Row]]:
    served, planned = draft.pipeline.zone, draft.zone
    for name in sorted(draft.touched, key=canonical):
        count = None if queries is None else queries(name)
        text, holders = text_of(name), _contributors(planned, name)
        if name in draft.later and not served.exists(name):
            yield "appear", Row(text, "A", 0, (), (LATER,), holders, count)
        for type_ in sorted({*served.types(name), *planned.types(name)}):
            before, after = served.rrset(name, type_), planned.rrset(name, type_)
            kept = after or before
            if type_ == Type.SOA or before == after or kept is None:
                continue
            row = Row(
                text,
                type_text(type_),
                kept.ttl,
                _values(before),
                _values(after),
                holders if after else _contributors(served, name),
                count,
            )
            # A name that keeps records of other types changes; it neither appears nor vanishes.
            new = before is None and not served.types(name)
            gone = after is None and not planned.types(name)
            yield "appear" if new else "vanish" if gone else "change", row


def _values(rrset: RRset | None) -> tuple[str, ...]:
    return values_of(rrset) if rrset else ()


def _contributors(zone: Zone, name: Name) -> str:
    return ", ".join(map(str, zone.contributors(name)))


def _conflicts(draft: _Draft) -> Iterator[str]:
    first: dict[Key, Object] = {}
    for one in draft.objects:
        other = first.setdefault(one.key, one)
        if other is not one:
            yield f"{one.key} occurs twice, in {other.origin} and {one.origin}"
    yield from _address_conflicts(draft)
    for name in draft.touched:
        contributors = draft.zone.contributors(name)
        others = [str(one) for one in contributors if one.kind != "Record"]
        if others and len(contributors) > len(others):
            yield f"{text_of(name)} has pinned records, and {', '.join(others)} would own it too"


def _address_conflicts(draft: _Draft) -> Iterator[str]:
    """ClusterIPs that two Services would have."""
    planned = [one for one in draft.objects if isinstance(one, Service)]
    mine = {address: one for one in planned for address in one.cluster_ips}
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
