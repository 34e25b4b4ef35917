"""All names in canonical order, for those who page through them.

A zone finds a name at once and has no order. Sorting 100,000 names for each page would cost
the control process a third of a second, so the first page builds a sorted list of keys, in
steps between which the event loop has its turn, and every later change is put in its place.

The key of a name is its labels from the right, each behind its length, so that whatever lies
below a name begins with its key: a zone, a namespace, a Service is one stretch of the list.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable

from dnsd.dns.names import Name, labels_of
from dnsd.zone.change import Change
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.zone import Zone

_STEP = 2000  # names made into keys before the event loop has its turn
_SCANNED = 200_000  # keys walked over for one page, 60 ns each
_CANDIDATES = 2_500  # names looked at for one page, a few microseconds each


def key_of(name: Name) -> bytes:
    """The key of a name: labels from the right, with their lengths."""
    return b"".join([bytes((len(label),)) + label for label in reversed(list(labels_of(name)))])


def name_of_key(key: bytes) -> Name:
    """The name of a key; raises ValueError for bytes that are no key."""
    labels: list[bytes] = []
    position = 0
    while position < len(key):
        end = position + 1 + key[position]
        if not 0 < key[position] < 64 or end > len(key):
            raise ValueError("is no key of a name")
        labels.append(key[position:end])
        position = end
    return b"".join(reversed(labels)) + b"\0"


class NameIndex:
    """The names of a pipeline's zone in order; empty until somebody asks."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._keys: list[bytes] | None = None
        self._missed: list[Change] = []  # while the list is built
        self._building = asyncio.Lock()
        self._generation = 0
        pipeline.on_change.append(self._follow)
        pipeline.on_rebuild.append(self._reset)

    async def ready(self) -> None:
        """Builds the list unless it is there."""
        async with self._building:
            while self._keys is None:
                await self._build()

    def page(
        self,
        under: Name,
        after: bytes,
        limit: int,
        wanted: Callable[[Name], bool],
        label: bytes = b"",
    ) -> tuple[list[Name], bytes]:
        """Up to `limit` names at or below `under` that are `wanted`, behind the key `after`.

        And the key to go on behind, b"" at the end. `label`: octets that a wanted name has
        in one of its labels, which is looked at first. A page may be short, or empty, and
        not the last: so many names are looked at and no more. `ready` must have been awaited.
        """
        keys = self._keys or []
        prefix = key_of(under)
        begin = bisect_right(keys, after) if after else bisect_left(keys, prefix)
        end = bisect_left(keys, prefix + b"\xff")  # no length is 255
        last = min(end, begin + _SCANNED)
        found: list[Name] = []
        looked_at = 0
        for start in range(begin, last, _STEP):
            for key in keys[start : min(last, start + _STEP)]:
                if label not in key:
                    continue
                looked_at += 1
                name = name_of_key(key)
                if wanted(name):
                    found.append(name)
                if len(found) == limit or looked_at == _CANDIDATES:
                    return found, key
        return found, keys[last - 1] if last < end else b""

    def count(self, under: Name) -> int:
        """How many names exist at or below `under`."""
        keys, prefix = self._keys or [], key_of(under)
        return bisect_left(keys, prefix + b"\xff") - bisect_left(keys, prefix)

    async def _build(self) -> None:
        generation = self._generation
        self._missed.clear()
        names = list(self._pipeline.zone.names())
        keys: list[bytes] = []
        for start in range(0, len(names), _STEP):
            keys += [key_of(name) for name in names[start : start + _STEP]]
            await asyncio.sleep(0)
        await asyncio.to_thread(keys.sort)
        if generation != self._generation:
            return  # another zone took the place of the one that was read
        self._keys = keys
        for change in self._missed:
            self._follow(change)
        self._missed.clear()

    def _follow(self, change: Change) -> None:
        if not (change.born or change.died):
            return
        if self._keys is None:
            if self._building.locked():
                self._missed.append(change)
            return
        for name in change.died:
            key = key_of(name)
            position = bisect_left(self._keys, key)
            if self._keys[position : position + 1] == [key]:
                del self._keys[position]
        for name in change.born:
            key = key_of(name)
            position = bisect_left(self._keys, key)
            if self._keys[position : position + 1] != [key]:
                insort(self._keys, key)

    def _reset(self, _: Zone) -> None:
        self._keys = None
        self._generation += 1
