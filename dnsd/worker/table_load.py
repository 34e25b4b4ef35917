"""A whole table on its way to workers: compiled once, and the same bytes sent to all of them.

In `worker/` (control process side of the data plane). Change here: how a whole table reaches
workers that start, or that must replace theirs.

One step of the event loop compiles one frame and puts it into the queue of each worker. Changes
of the zone go into the same queues between the frames. A node frame says what a name *is*, so a
worker that applies its queue in order ends with the zone as it is (see zone/compile.py): no Change
has to wait for the rest of a table.

* The pace is that of the fastest worker. A slower one has the frames in its queue, which are the
  same objects in all queues. So the frames in memory are at most one table, whatever the number
  of workers.
* A worker is at a step only when its table is complete. So changes that go out during the load
  have step 0, and the end of the load has the number of the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import structlog

from dnsd.worker.messages import Open, Table, packed
from dnsd.worker.process import State, WorkerProcess

log = structlog.get_logger(__name__)


class TableLoad:
    """The load of one table into `workers`. `frames` are taken one by one."""

    def __init__(self, frames: Iterator[bytes], workers: Sequence[WorkerProcess]) -> None:
        self._frames = frames
        self._workers = workers
        self._room = asyncio.Event()
        for worker in workers:
            worker.begin(self)

    def resume(self) -> None:
        """A worker has room in its queue, or ended."""
        self._room.set()

    async def run(self, step: Callable[[], int]) -> None:
        """Send the table. `step` returns the number of the last change that was sent."""
        try:
            for frame in self._frames:
                if not await self._send(packed(Table(0, (frame,)))):
                    return
        except Exception:
            log.exception("a table could not be compiled; its workers are replaced")
            for worker in self._taking_part():
                worker.kill("its table could not be compiled")
            return
        for worker in self._taking_part():
            worker.put(packed(Table(step(), ())))
            worker.put(packed(Open()))
            worker.load = None

    async def _send(self, message: bytes) -> bool:
        """Put a message into all queues, and wait until one of the workers needs the next.

        False when no worker takes part any more.
        """
        for worker in self._taking_part():
            worker.put(message)
        await asyncio.sleep(0)
        while workers := self._taking_part():
            if any(worker.has_room for worker in workers):
                return True
            self._room.clear()
            await self._room.wait()
        return False

    def _taking_part(self) -> list[WorkerProcess]:
        """The workers that have not ended and did not begin another load."""
        return [
            worker
            for worker in self._workers
            if worker.load is self and worker.state is not State.GONE
        ]
