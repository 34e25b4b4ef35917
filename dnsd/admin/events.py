"""The events of /api/v1/events: changes of the zone, and state changes of the sources.

In `admin/` (control plane: the HTTP API). Change here: which events clients receive.

An event is encoded only while a listener is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import msgspec
from msgspec import Struct

from dnsd.admin.listeners import Listener, Listeners
from dnsd.admin.records import shown, shown_cause
from dnsd.dns.names import text_of
from dnsd.zone.change import Change
from dnsd.zone.zone import Zone

MAX_LISTENERS = 32
_QUEUE = 1000  # events in the queue of one listener
_SHOWN = 200  # RRsets and names of one change in its event


class Event(Struct, frozen=True):
    """One server-sent event (WHATWG HTML 9.2). `id`: the serial of the zone, or ""."""

    name: str
    data: bytes
    id: str = ""

    @classmethod
    def of(cls, name: str, data: object, id_: str = "") -> Event:
        """An event with `data` encoded as JSON."""
        return cls(name, msgspec.json.encode(data), id_)

    def wire(self) -> bytes:
        """The bytes in the stream. JSON has no line break, so one data line is enough."""
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.name}\ndata: ".encode() + self.data + b"\n\n"


class Events:
    """The producer of events, and its listeners."""

    def __init__(self) -> None:
        self._listeners: Listeners[Listener[Event]] = Listeners(MAX_LISTENERS)
        self._states: dict[str, str] = {}

    def listening(self) -> AbstractContextManager[Listener[Event]]:
        """A listener for as long as the context lasts. Raises TooManyListeners."""
        return self._listeners.added(Listener(_QUEUE))

    def __len__(self) -> int:
        return len(self._listeners)

    def change(self, change: Change) -> None:
        """Send a Change of the zone."""
        if self._listeners:
            self._send(change_event(change))

    def reset(self, zone: Zone) -> None:
        """Send that the zone was rebuilt: clients must read all of it again."""
        if self._listeners:
            data = {"serial": zone.serial, "names": len(zone)}
            self._send(Event.of("reset", data, str(zone.serial)))

    def states(self, now: Mapping[str, str]) -> None:
        """Send the states of sources that differ from those of the last call."""
        for name, state in now.items():
            before = self._states.get(name)
            if before is not None and before != state and self._listeners:
                data = {"source": name, "before": before, "state": state}
                self._send(Event.of("source", data))
        self._states = dict(now)

    def _send(self, event: Event) -> None:
        for listener in self._listeners:
            listener.offer(event)


def change_event(change: Change) -> Event:
    """A Change of the zone as an event."""
    data = {
        "serial": change.serial,
        "owner": str(change.contributor),
        "cause": shown_cause(change.cause),
        "at": change.cause.at,
        "removed": [shown(one) for one in change.removed[:_SHOWN]],
        "added": [shown(one) for one in change.added[:_SHOWN]],
        "born": [text_of(name) for name in change.born[:_SHOWN]],
        "died": [text_of(name) for name in change.died[:_SHOWN]],
        "more": sum(max(0, len(sets) - _SHOWN) for sets in (change.removed, change.added)),
    }
    return Event.of("change", data, str(change.serial))
