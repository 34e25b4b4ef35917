"""What happens, for those who listen: changes of the zone, states of the sources.

Nothing is rendered while nobody listens. Each listener has a bounded queue; one that does
not read loses events and is told how many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from dnsd.admin.records import shown
from dnsd.dns.names import text_of
from dnsd.zone.change import Change
from dnsd.zone.zone import Zone

MAX_LISTENERS = 32
_QUEUE = 1000  # events that wait for one listener
_SHOWN = 200  # RRsets and names of one change


class TooMany(Exception):
    """No further listener is taken now."""


class Event(Struct, frozen=True):
    """One event of a stream (WHATWG HTML 9.2). `id`: the zone's serial, "" for none."""

    name: str
    data: bytes
    id: str = ""

    def wire(self) -> bytes:
        """Its bytes in the stream. JSON has no line breaks of its own, so one data line does."""
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.name}\ndata: ".encode() + self.data + b"\n\n"


class Listener:
    """The queue of one who listens. `lost`: events it was too slow for."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUE)
        self.lost = 0

    def offer(self, event: Event) -> None:
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lost += 1


class Listeners:
    """All who listen."""

    def __init__(self) -> None:
        self._all: set[Listener] = set()
        self._states: dict[str, str] = {}

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """A listener, for as long as the context lasts. Raises TooMany."""
        if len(self._all) >= MAX_LISTENERS:
            raise TooMany(f"{MAX_LISTENERS} listeners are there already")
        listener = Listener()
        self._all.add(listener)
        try:
            yield listener
        finally:
            self._all.discard(listener)

    def __len__(self) -> int:
        return len(self._all)

    def change(self, change: Change) -> None:
        """The zone changed."""
        if self._all:
            self._tell(change_event(change))

    def reset(self, zone: Zone) -> None:
        """The zone was built anew: nobody can follow it by changes."""
        if self._all:
            data = msgspec.json.encode({"serial": zone.serial, "names": len(zone)})
            self._tell(Event("reset", data, str(zone.serial)))

    def states(self, now: Mapping[str, str]) -> None:
        """The sources' states, by name; those that differ from the last ones are told."""
        for name, state in now.items():
            before = self._states.get(name)
            if before is not None and before != state and self._all:
                told = {"source": name, "before": before, "state": state}
                self._tell(Event("source", msgspec.json.encode(told)))
        self._states = dict(now)

    def _tell(self, event: Event) -> None:
        for listener in self._all:
            listener.offer(event)


def change_event(change: Change) -> Event:
    """A change of the zone as an event."""
    cause = change.cause
    data = {
        "serial": change.serial,
        "owner": str(change.contributor),
        "cause": {**cause.key._asdict(), "version": cause.version, "origin": cause.origin},
        "at": cause.at,
        "removed": [shown(one) for one in change.removed[:_SHOWN]],
        "added": [shown(one) for one in change.added[:_SHOWN]],
        "born": [text_of(name) for name in change.born[:_SHOWN]],
        "died": [text_of(name) for name in change.died[:_SHOWN]],
        "more": max(0, len(change.removed) - _SHOWN) + max(0, len(change.added) - _SHOWN),
    }
    return Event("change", msgspec.json.encode(data), str(change.serial))
