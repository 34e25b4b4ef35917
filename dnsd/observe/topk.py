"""The most frequent items of a stream, in bounded memory, over a sliding window.

In `observe/` (control plane). Change here: how top lists are counted.

`FrequencyTable` counts with at most `2 * capacity` counters, after the idea of Space-Saving
(Metwally, Agrawal, El Abbadi, 2005), but evicts many at once. When the table is full, the smaller
half is evicted, and the largest evicted count is the *floor*. A later item may have been among the
evicted ones, so its count starts at the floor, and the floor is its *error*:

* an estimate is never below the true count, and at most its error above it;
* an item that truly has more than the floor is in the table.

Evicting half of the table at a time makes the cost of an item constant on average. A search for the
smallest counter would not be.

`Window` is a ring of such tables, one for each slot of time, which are merged on request. A slot
expires as a whole, so "one minute" means the minute up to one slot ago. The caller passes the time.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Count(NamedTuple, Generic[K]):
    """An item and its count: at most `times`, and at least `times - error`."""

    item: K
    times: int
    error: int


class FrequencyTable(Generic[K]):
    """Counts items. It holds every item that is more frequent than its floor."""

    __slots__ = ("_counts", "_errors", "capacity", "floor")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.floor = 0  # the largest possible count of an item that is not in the table
        self._counts: dict[K, int] = {}
        self._errors: dict[K, int] = {}  # that are not 0

    def add(self, item: K) -> None:
        """Count an item."""
        counts = self._counts
        known = counts.get(item)
        if known is not None:
            counts[item] = known + 1
            return
        if len(counts) >= 2 * self.capacity:
            self._evict()
        self._counts[item] = self.floor + 1  # not `counts`: evicting creates a new table
        if self.floor:
            self._errors[item] = self.floor

    def _evict(self) -> None:
        ordered = sorted(self._counts.items(), key=lambda pair: pair[1], reverse=True)
        self.floor = max(self.floor, ordered[self.capacity][1])
        self._counts = dict(ordered[: self.capacity])
        self._errors = {one: self._errors[one] for one in self._counts if one in self._errors}

    def items(self) -> dict[K, tuple[int, int]]:
        """Each item in the table with its count and error."""
        return {one: (count, self._errors.get(one, 0)) for one, count in self._counts.items()}

    def __len__(self) -> int:
        return len(self._counts)


class Window(Generic[K]):
    """The most frequent items of the last `slots` slots of `seconds` seconds each."""

    __slots__ = ("_capacity", "_ring", "_seconds", "_slots")

    def __init__(self, slots: int, seconds: float, capacity: int) -> None:
        self._slots, self._seconds, self._capacity = slots, seconds, capacity
        self._ring: dict[int, FrequencyTable[K]] = {}  # number of a slot -> its table

    def add(self, item: K, now: float) -> None:
        """Count an item at `now` seconds of a monotonic clock."""
        number = int(now // self._seconds)
        table = self._ring.get(number)
        if table is None:
            self._expire(number)
            table = self._ring[number] = FrequencyTable(self._capacity)
        table.add(item)

    def top(self, k: int, now: float) -> list[Count[K]]:
        """The `k` most frequent items, most frequent first; equal ones in any order."""
        self._expire(int(now // self._seconds))
        tables = [table.items() for table in self._ring.values()]
        floors = [table.floor for table in self._ring.values()]
        merged: dict[K, tuple[int, int]] = {}
        for item in {item for table in tables for item in table}:
            count = error = 0
            for table, floor in zip(tables, floors, strict=True):
                # An item that is not in a table may have been evicted: at most the floor.
                part, uncertain = table.get(item, (floor, floor))
                count += part
                error += uncertain
            merged[item] = count, error
        ordered = sorted(merged.items(), key=lambda pair: pair[1][0], reverse=True)[:k]
        return [Count(item, count, error) for item, (count, error) in ordered]

    def _expire(self, current: int) -> None:
        for number in [one for one in self._ring if one <= current - self._slots]:
            del self._ring[number]

    def __len__(self) -> int:
        """The number of counters in use."""
        return sum(map(len, self._ring.values()))
