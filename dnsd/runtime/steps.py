"""Divides long work into short steps of the event loop.

In `runtime/` (both planes). Change here: how long one task may occupy the event loop.

Long work is an iterator that yields after each piece: a few milliseconds at most, at a point where
the data is consistent. A step does as many pieces as fit into `STEP`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic, thread_time

STEP = 0.020  # seconds of CPU time; with the last piece, a step takes less than 50 ms


class Step:
    """The step of the event loop that begins now."""

    __slots__ = ("_cpu_end", "_end")

    def __init__(self) -> None:
        self._end, self._cpu_end = monotonic() + STEP, thread_time() + STEP

    @property
    def is_over(self) -> bool:
        """Whether other tasks should run before the next piece."""
        # The CPU time is a system call of microseconds, and never ahead of the wall clock.
        return monotonic() >= self._end and thread_time() >= self._cpu_end


async def in_steps(pieces: Iterable[object]) -> None:
    """Do all pieces. Other tasks run between two steps."""
    step = Step()
    for _ in pieces:
        if step.is_over:
            await asyncio.sleep(0)
            step = Step()
