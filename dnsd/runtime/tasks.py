"""Background tasks whose exceptions are logged.

In `runtime/` (both planes). Change here: how background tasks start and end.

asyncio reports the exception of a task only when the garbage collector frees the task, and loses
it when the loop ends first. Each component that starts tasks owns a `Tasks`. It keeps a reference
to each task until the task ends (the event loop keeps only a weak one), and logs each exception
at once with the name of the task.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Tasks:
    """The background tasks of one component. Use it in the event loop that runs them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start `work` as a task. `name` describes it in the log: "record the new zone"."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        log_failure(task, name)
        return task

    async def close(self) -> None:
        """Cancel the tasks that run, and wait until they end. Raises no exception of a task."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._running)


def log_failure(
    future: asyncio.Future[Any] | concurrent.futures.Future[Any],
    name: str,
    *expected: type[Exception],
) -> None:
    """Log the exception of a task or of a call in a thread, unless it is one of `expected`."""

    def ended(done: asyncio.Future[Any] | concurrent.futures.Future[Any]) -> None:
        if done.cancelled() or (error := done.exception()) is None or isinstance(error, expected):
            return
        log.error("a background task failed, a bug", task=name, exc_info=error)

    future.add_done_callback(ended)
