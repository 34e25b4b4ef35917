"""Waiting without sleeping: conditions with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 20.0  # seconds; long because machines are shared, never reached when all is well
_STEP = 0.005


def until(condition: Callable[[], T], what: str = "", deadline: float = DEADLINE) -> T:
    """The first truthy value of `condition()`; fails the test when the deadline passes."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {deadline} s: {what or condition}"
        time.sleep(_STEP)
    return value


async def eventually(
    condition: Callable[[], T | Awaitable[T]], what: str = "", deadline: float = DEADLINE
) -> T:
    """Like `until`, on the running event loop; `condition` may be a coroutine function."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline} s: {what or condition}"
        await asyncio.sleep(_STEP)
