"""The recent Changes, in order, for those who follow the zone: IXFR, the event stream.

A follower holds a serial and asks what came after it. The journal keeps as many Changes as
two limits allow, in number and in bytes; one who was away for longer is told None, and
takes the whole zone instead. The Changes it holds are consecutive: when a serial is not the
one after the last (the zone was built anew), what was there is of no use and is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from dnsd.zone.change import Change

# What a Change and an RRset weigh in memory beside their octets, rounded up; a guess that
# errs on the side of keeping less.
_CHANGE_OVERHEAD = 400
_RRSET_OVERHEAD = 160
_BYTES_OVERHEAD = 48


class Journal:
    """At most `max_changes` Changes that weigh at most `max_bytes` together."""

    def __init__(self, max_changes: int, max_bytes: int) -> None:
        self.max_changes, self.max_bytes = max_changes, max_bytes
        self._changes: deque[tuple[Change, int]] = deque()
        self._bytes = 0
        self._last: int | None = None  # serial after the newest Change, kept or not

    def append(self, change: Change) -> None:
        """Adds a Change; the oldest go until the limits hold."""
        if self._last is not None and change.serial != (self._last + 1) % 2**32:
            self.clear()
        self._last = change.serial
        size = weight(change)
        self._changes.append((change, size))
        self._bytes += size
        while len(self._changes) > self.max_changes or self._bytes > self.max_bytes:
            self._bytes -= self._changes.popleft()[1]

    def since(self, serial: int) -> list[Change] | None:
        """The Changes after `serial`, oldest first; empty when it is the newest.

        None when they are not all here any more, or the serial was never reached: whoever
        asks has to take the whole zone.
        """
        if self._last is None:
            return None
        behind = (self._last - serial) % 2**32  # RFC 1982: a serial that wrapped is no jump
        if behind > len(self._changes):
            return None
        return [change for change, _ in islice(self._changes, len(self._changes) - behind, None)]

    def latest(self) -> Iterator[Change]:
        """The Changes, newest first."""
        return (change for change, _ in reversed(self._changes))

    def clear(self) -> None:
        """Forgets everything: the zone was built anew."""
        self._changes.clear()
        self._bytes = 0
        self._last = None

    @property
    def bytes(self) -> int:
        """What the Changes weigh, as `weight` estimates it."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._changes)


def weight(change: Change) -> int:
    """About how many bytes of memory a Change keeps from being freed."""
    total = _CHANGE_OVERHEAD
    for part in (change.removed, change.added):
        for one in part:
            total += _RRSET_OVERHEAD + len(one.name)
            total += sum(map(len, one.rdatas)) + _BYTES_OVERHEAD * len(one.rdatas)
    for names in (change.born, change.died, change.zones_born, change.zones_died):
        total += sum(map(len, names)) + _BYTES_OVERHEAD * len(names)
    return total
