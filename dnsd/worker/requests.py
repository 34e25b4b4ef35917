"""Requests to workers: a message with an id goes down, and the reply with that id comes back.

In `worker/` (control process side of the data plane). Change here: how the control process waits
for the reply of a worker.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from dnsd.worker.messages import Flush, Flushed, Peek, Peeked, Probe, Probed
from dnsd.worker.process import WorkerProcess

_TIMEOUT = 10.0  # seconds until a worker must have replied

Request = Probe | Peek | Flush
Response = Probed | Peeked | Flushed


class NoWorker(Exception):
    """No worker answers now, or the worker did not reply in time."""


class Requests:
    """The requests that wait for a reply."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[WorkerProcess, asyncio.Future[Any]]] = {}

    async def send(self, worker: WorkerProcess, build: Callable[[int], Request]) -> Any:
        """The reply of this worker to `build(id)`. Raises NoWorker."""
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = worker, future
        worker.send(build(number))
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await future
        except TimeoutError as error:
            raise NoWorker(f"the worker did not reply within {_TIMEOUT:.0f} s") from error
        finally:
            self._waiting.pop(number, None)

    def receive(self, worker: WorkerProcess, message: Response) -> None:
        """A worker replied. A reply that nothing waits for is ignored."""
        waiting = self._waiting.get(message.id)
        if waiting is not None and waiting[0] is worker and not waiting[1].done():
            waiting[1].set_result(message)

    def fail(self, worker: WorkerProcess) -> None:
        """A worker ended: its requests get no reply."""
        for requested, future in list(self._waiting.values()):
            if requested is worker and not future.done():
                future.set_exception(NoWorker("the worker ended before it replied"))
