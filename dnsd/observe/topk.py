"""What is asked most: top-K in bounded memory, over a sliding window.

`Heavy` counts a stream with at most `2 * capacity` counters, after the idea of Space-Saving
(Metwally, Agrawal, El Abbadi, 2005), with its evictions done many at once: when the table is
full the smaller half goes, and the largest count that went is the *floor*. Whoever comes
after that may have been among those that went, so it begins at the floor, and the floor is
its *error*:

* an estimate is never below the true count, and at most its error above it;
* whoever truly has more than the floor is in the table.

Evicting half of the table at a time makes the cost of an item constant on average, where
finding the smallest counter for each newcomer would be a search.

`Window` is a ring of such tables, a table a slot of time, merged when somebody asks. What is
a slot old falls out as a whole, so "over one minute" means the minute up to one slot ago.
No clock: whoever calls says what time it is.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Count(NamedTuple, Generic[K]):
    """An item and how often it came: at most `times`, at least `times - error`."""

    item: K
    times: int
    error: int


class Heavy(Generic[K]):
    """Counts items, the `capacity` most frequent ones for sure when they are frequent enough."""

    __slots__ = ("_counts", "_errors", "capacity", "floor", "total")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.floor = 0  # the most an item that is not in the table can have
        self.total = 0
        self._counts: dict[K, int] = {}
        self._errors: dict[K, int] = {}  # of those whose error is not 0

    def add(self, item: K, times: int = 1) -> None:
        """Count an item."""
        self.total += times
        counts = self._counts
        known = counts.get(item)
        if known is not None:
            counts[item] = known + times
            return
        if len(counts) >= 2 * self.capacity:
            self._evict()
        self._counts[item] = self.floor + times  # not `counts`: evicting makes a new table
        if self.floor:
            self._errors[item] = self.floor

    def _evict(self) -> None:
        ordered = sorted(self._counts.items(), key=lambda pair: pair[1], reverse=True)
        self.floor = max(self.floor, ordered[self.capacity][1])
        self._counts = dict(ordered[: self.capacity])
        self._errors = {one: self._errors[one] for one in self._counts if one in self._errors}

    def items(self) -> dict[K, tuple[int, int]]:
        """Every item in the table: (count, error)."""
        return {one: (count, self._errors.get(one, 0)) for one, count in self._counts.items()}

    def __len__(self) -> int:
        return len(self._counts)


class Window(Generic[K]):
    """The most frequent items of the last `slots` times `seconds` seconds."""

    __slots__ = ("_capacity", "_ring", "_seconds", "_slots")

    def __init__(self, slots: int, seconds: float, capacity: int) -> None:
        self._slots, self._seconds, self._capacity = slots, seconds, capacity
        self._ring: dict[int, Heavy[K]] = {}  # number of the slot -> its table

    def add(self, item: K, now: float, times: int = 1) -> None:
        """Count an item at `now` seconds of the caller's clock, which never goes back."""
        number = int(now // self._seconds)
        table = self._ring.get(number)
        if table is None:
            self._forget(number)
            table = self._ring[number] = Heavy(self._capacity)
        table.add(item, times)

    def top(self, k: int, now: float) -> list[Count[K]]:
        """The `k` most frequent items, the most frequent first; equal ones in no order."""
        self._forget(int(now // self._seconds))
        tables = [table.items() for table in self._ring.values()]
        floors = [table.floor for table in self._ring.values()]
        merged: dict[K, tuple[int, int]] = {}
        for item in {item for table in tables for item in table}:
            count = error = 0
            for table, floor in zip(tables, floors, strict=True):
                # Not in a table: it may have been there, up to the floor.
                one, wrong = table.get(item, (floor, floor))
                count += one
                error += wrong
            merged[item] = count, error
        ordered = sorted(merged.items(), key=lambda pair: pair[1][0], reverse=True)[:k]
        return [Count(item, count, error) for item, (count, error) in ordered]

    def total(self, now: float) -> int:
        """How many items came in the window."""
        self._forget(int(now // self._seconds))
        return sum(table.total for table in self._ring.values())

    def _forget(self, current: int) -> None:
        for number in [one for one in self._ring if one <= current - self._slots]:
            del self._ring[number]

    def __len__(self) -> int:
        """How many counters are held."""
        return sum(map(len, self._ring.values()))
