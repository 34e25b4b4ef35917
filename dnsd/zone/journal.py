"""The journal: the recent Changes, in order, for consumers such as IXFR and the event stream.

In `zone/` (control plane: the names that exist). Change here: how many Changes are kept.

A consumer has a serial and requests what came after it. The journal keeps Changes within two
limits, in number and in bytes. A consumer that is behind the oldest Change gets None and takes the
whole zone instead. The Changes are consecutive: if a serial does not follow the last one (the zone
was rebuilt), the older Changes are useless and are dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from dnsd.zone.change import Change

# Octets of memory of a Change, an RRset, and a bytes object besides their content. A guess, rounded
# up: a value too high keeps fewer Changes.
_CHANGE_OVERHEAD = 400
_RRSET_OVERHEAD = 160
_BYTES_OVERHEAD = 48


class Journal:
    """At most `max_changes` Changes of at most `max_bytes` octets together.

    `bytes`: the octets of all Changes, as `weight` estimates them.
    """

    def __init__(self, max_changes: int, max_bytes: int) -> None:
        self.max_changes, self.max_bytes = max_changes, max_bytes
        self._changes: deque[tuple[Change, int]] = deque()
        self.bytes = 0
        self._last: int | None = None  # serial after the newest Change, kept or not

    def append(self, change: Change) -> None:
        """Adds a Change and drops the oldest ones over the limits."""
        if self._last is not None and change.serial != (self._last + 1) % 2**32:
            self.clear()
        self._last = change.serial
        size = weight(change)
        self._changes.append((change, size))
        self.bytes += size
        while len(self._changes) > self.max_changes or self.bytes > self.max_bytes:
            self.bytes -= self._changes.popleft()[1]

    def since(self, serial: int) -> list[Change] | None:
        """The Changes after `serial`, oldest first; empty if it is the newest serial.

        None if some of them were dropped, or if the zone never had this serial: the consumer has
        to take the whole zone.
        """
        if self._last is None:
            return None
        behind = (self._last - serial) % 2**32  # RFC 1982: serials wrap
        if behind > len(self._changes):
            return None
        return [change for change, _ in islice(self._changes, len(self._changes) - behind, None)]

    def latest(self) -> Iterator[Change]:
        """The Changes, newest first."""
        return (change for change, _ in reversed(self._changes))

    def clear(self) -> None:
        """Drops everything, because the zone was rebuilt."""
        self._changes.clear()
        self.bytes = 0
        self._last = None

    def __len__(self) -> int:
        return len(self._changes)


def weight(change: Change) -> int:
    """An estimate of the octets of memory that a Change holds."""
    total = _CHANGE_OVERHEAD
    for part in (change.removed, change.added):
        for rrset in part:
            total += _RRSET_OVERHEAD + len(rrset.name)
            total += sum(map(len, rrset.rdatas)) + _BYTES_OVERHEAD * len(rrset.rdatas)
    for names in (change.born, change.died, change.zones_born, change.zones_died):
        total += sum(map(len, names)) + _BYTES_OVERHEAD * len(names)
    return total
