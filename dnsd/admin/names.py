"""All names of the zone in canonical order, for pages of records.

In `admin/` (control plane: the HTTP API). Change here: how names are paged.

A zone finds a name by hash, and has no order. Sorting 100,000 names for each page would block the
control process for a third of a second. So the first page builds a sorted list of keys, in steps
that let other tasks run, and each later change inserts or deletes its keys.

The key of a name is its labels from the right, each with its length in front. So all names below a
name start with its key: a zone, a namespace, or a Service is one range of the list.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable

from dnsd.dns.names import Name, labels_of
from dnsd.zone.change import Change
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.zone import Zone

_STEP = 2000  # names converted to keys before other tasks run
_SCANNED = 200_000  # keys scanned for one page, 60 ns each
_CANDIDATES = 2_500  # names matched for one page, a few microseconds each


def key_of(name: Name) -> bytes:
    """The key of a name: labels from the right, with their lengths."""
    return b"".join([bytes((len(label),)) + label for label in reversed(list(labels_of(name)))])


def name_of_key(key: bytes) -> Name:
    """The name of a key. Raises ValueError for other bytes."""
    labels: list[bytes] = []
    position = 0
    while position < len(key):
        end = position + 1 + key[position]
        if not 0 < key[position] < 64 or end > len(key):
            raise ValueError("is not the key of a name")
        labels.append(key[position:end])
        position = end
    return b"".join(reversed(labels)) + b"\0"


class NameIndex:
    """The names of a pipeline's zone in order. It is built at the first use."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._keys: list[bytes] | None = None
        self._missed: list[Change] = []  # changes during the build
        self._building = asyncio.Lock()
        self._generation = 0
        pipeline.on_change.append(self._follow)
        pipeline.on_rebuild.append(self._reset)

    async def ready(self) -> None:
        """Build the list unless it exists."""
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
        """Up to `limit` names at or below `under` that are `wanted`, after the key `after`.

        Also returns the key to continue after, b"" at the end. `label`: octets in one label of
        each wanted name, for a fast check. The work for a page is bounded, so a page that is
        short or empty may not be the last. `ready` must have been awaited.
        """
        keys = self._keys or []
        prefix = key_of(under)
        begin = bisect_right(keys, after) if after else bisect_left(keys, prefix)
        end = bisect_left(keys, prefix + b"\xff")  # no label has 255 octets
        last = min(end, begin + _SCANNED)
        found: list[Name] = []
        matched = 0
        for start in range(begin, last, _STEP):
            for key in keys[start : min(last, start + _STEP)]:
                if label not in key:
                    continue
                matched += 1
                name = name_of_key(key)
                if wanted(name):
                    found.append(name)
                if len(found) == limit or matched == _CANDIDATES:
                    return found, key
        return found, keys[last - 1] if last < end else b""

    def count(self, under: Name) -> int:
        """The number of names at or below `under`."""
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
            return  # the zone was rebuilt meanwhile
        self._keys = keys
        for change in self._missed:
            self._follow(change)
        self._missed.clear()

    def _follow(self, change: Change) -> None:
        keys = self._keys
        if keys is None:
            if self._building.locked() and (change.born or change.died):
                self._missed.append(change)
            return
        for key in map(key_of, change.died):
            position = bisect_left(keys, key)
            if keys[position : position + 1] == [key]:
                del keys[position]
        for key in map(key_of, change.born):
            position = bisect_left(keys, key)
            if keys[position : position + 1] != [key]:
                insort(keys, key)

    def _reset(self, _: Zone) -> None:
        self._keys = None
        self._generation += 1
