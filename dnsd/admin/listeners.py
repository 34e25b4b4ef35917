"""Bounded queues between a producer and the streams that read it.

In `admin/` (control plane: the HTTP API). Change here: how streams are bounded.

A listener that does not read loses items, and counts how many. The producer never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class TooManyListeners(Exception):
    """The limit of open streams is reached."""


class Listener(Generic[T]):
    """The queue of one stream. `lost`: items that did not fit."""

    def __init__(self, size: int) -> None:
        self.lost = 0
        self._queue: asyncio.Queue[T] = asyncio.Queue(size)

    def offer(self, item: T) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self.lost += 1

    def waiting(self) -> list[T]:
        """The items in the queue now."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    async def next(self, seconds: float) -> list[T]:
        """All items in the queue, at least one; none if `seconds` pass without any."""
        try:
            async with asyncio.timeout(seconds):
                first = await self._queue.get()
        except TimeoutError:
            return []
        return [first, *self.waiting()]


L = TypeVar("L", bound=Listener[Any])


class Listeners(Generic[L]):
    """The open streams of one producer, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[L] = set()

    @contextmanager
    def added(self, listener: L) -> Iterator[L]:
        """Add a listener for as long as the context lasts. Raises TooManyListeners."""
        if len(self._open) >= self._limit:
            raise TooManyListeners(f"{self._limit} streams are already open; close one first")
        self._open.add(listener)
        try:
            yield listener
        finally:
            self._open.discard(listener)

    def __iter__(self) -> Iterator[L]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)
