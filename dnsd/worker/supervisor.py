"""Keeps the workers running, and sends every change to all of them.

In `worker/` (control process side of the data plane). Change here: when workers start, are
replaced, and stop, and when a change counts as answered everywhere.

Each worker has a *slot*: sockets that the control process binds once and holds open until the
end. Packets queue in the kernel between one worker and its replacement, and none is lost.

* A worker that ends unexpectedly is replaced at once. If that repeats, or if the worker ends
  before it has a table, the pause before the replacement grows (with jitter, up to `MAX_PAUSE`),
  so that a bug at the start does not become a fork bomb.
* A worker that does not read its changes, sends an invalid message, or sends no heartbeat is
  ended, and so replaced.
* New settings for workers (`renew`) need new workers. Successors start on the same sockets. When
  all of them answer, the former workers finish. If one successor cannot start, all former workers
  stay: all workers answer by the same settings.
* `broadcast` takes the frames of one batch. When every worker has applied them, `on_applied` is
  called: the change is answered everywhere.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import structlog
from msgspec import Struct
from msgspec.structs import replace

from dnsd.answer.transport import Transport
from dnsd.observe.facts import WorkerStatus
from dnsd.observe.tap import Samples, Watch
from dnsd.runtime.tasks import Tasks
from dnsd.transport.listener import Listener, close
from dnsd.upstream.status import Where
from dnsd.worker import counters
from dnsd.worker.messages import (
    Applied,
    Drain,
    Flush,
    Flushed,
    Opened,
    Peek,
    Peeked,
    Probe,
    Probed,
    Setup,
    Table,
    Up,
    Upstream,
    packed,
)
from dnsd.worker.process import State, Timeouts, WorkerProcess
from dnsd.worker.requests import NoWorker, Requests
from dnsd.worker.table_load import TableLoad

log = structlog.get_logger(__name__)

FIRST_PAUSE, MAX_PAUSE = 0.1, 10.0  # seconds before a worker that fails at once is replaced
_LASTING = 10.0  # seconds; a worker that lived so long did not fail at once
# A worker that had a table did not fail at its start: something killed it, or a query did. It is
# replaced without a pause so many times in a row, because no other process may answer.
_EXCUSED = 20
_CHECK_EVERY = 1.0  # seconds between two checks for silent workers
_GRACE = 2.0  # seconds after the limit of a drain until workers are ended
_MAX_PENDING = 10_000  # changes whose time is measured while no worker answers
_START_FAILURES = 3  # of one slot, after which a start fails


class WorkersFailed(Exception):
    """A worker does not start. The text has the reason and its last line of output."""


class _Slot(Struct, eq=False):
    """The sockets of one worker, its processes, and the totals of its former processes."""

    index: int
    listeners: Sequence[Listener]
    past: counters.Totals
    current: WorkerProcess | None = None
    workers: list[WorkerProcess] = []  # current, successor, and those that finish
    restarts: int = 0
    failures: int = 0
    last_end: str = ""


class Supervisor:
    """All workers. Call the methods on the event loop that started it."""

    def __init__(
        self,
        slots: Sequence[Sequence[Listener]],
        setup: Setup,
        table: Callable[[], Iterator[bytes]],
        timeouts: Timeouts = Timeouts(),  # noqa: B008  (frozen)
    ) -> None:
        """`slots`: the sockets of each worker. `setup`: its `index` and `sockets` are ignored.
        `table`: the frames of the whole table; the zone may change while they are taken.
        """
        self.slots = [_Slot(index, some, counters.zero()) for index, some in enumerate(slots)]
        self.setup = setup
        self.on_applied: list[Callable[[float, float], None]] = []  # (handed in, answered)
        self.on_samples: list[Callable[[Samples], None]] = []
        self._table, self._timeouts = table, timeouts
        self._released = self._stopping = False
        self._step = 0  # of the last change
        self._pending: deque[tuple[int, float]] = deque(maxlen=_MAX_PENDING)
        self._without_table: list[WorkerProcess] = []
        self._tasks = Tasks()
        self._changed = asyncio.Event()
        self._watch = Watch(0)
        self._requests = Requests()

    # -- starting --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes. They wait for `release`."""
        for slot in self.slots:
            self._spawn(slot, self.setup)
        self._tasks.start(self._end_silent_workers(), "look for silent workers")

    def release(self) -> None:
        """The zone can be answered from: send the table, after which the workers answer."""
        self._released = True
        self._load(self._workers())

    async def opened(self) -> None:
        """Wait until every slot answers. Raises WorkersFailed when a slot fails repeatedly."""
        while not all(slot.current and slot.current.state is State.OPEN for slot in self.slots):
            for slot in self.slots:
                if slot.failures >= _START_FAILURES:
                    raise WorkersFailed(slot.last_end)
            await self._next_change()

    async def _next_change(self) -> None:
        """Wait until a worker opens, ends, or applies a change."""
        self._changed.clear()
        await self._changed.wait()

    def _spawn(self, slot: _Slot, setup: Setup) -> WorkerProcess | None:
        try:
            worker = WorkerProcess(
                replace(setup, index=slot.index, sockets=()),
                slot.listeners,
                timeouts=self._timeouts,
                on_message=self._received,
            )
        except OSError as error:
            slot.last_end = f"it could not be started: {error.strerror}"
            slot.failures += 1
            log.exception("cannot start a worker", worker=slot.index)
            self._tasks.start(self._replace(slot), "replace a worker")
            return None
        slot.workers.append(worker)
        slot.current = slot.current or worker
        self._tasks.start(self._follow(slot, worker), "follow a worker")
        if self._released:
            # Workers that start in the same step of the event loop get one table.
            self._without_table.append(worker)
            if len(self._without_table) == 1:
                asyncio.get_running_loop().call_soon(self._load_started)
        return worker

    def _load_started(self) -> None:
        workers, self._without_table = self._without_table, []
        self._load([worker for worker in workers if worker.load is None])

    def _load(self, workers: Sequence[WorkerProcess]) -> None:
        if workers:
            load = TableLoad(self._table(), workers)
            self._tasks.start(load.run(lambda: self._step), "send a table")

    # -- changes ---------------------------------------------------------------------------

    @property
    def wants_changes(self) -> bool:
        """Whether a worker has begun to load a table; if not, changes need not be compiled."""
        return self._released

    def broadcast(self, frames: Sequence[bytes], at: float) -> None:
        """Have every worker apply `frames` in one step. `at`: when their cause was handed in,
        in seconds of time.monotonic()."""
        self._step += 1
        self._pending.append((self._step, at))
        message, during_load = packed(Table(self._step, tuple(frames))), b""
        for worker in self._workers():
            if worker.load is None:
                worker.change(message)
            else:
                during_load = during_load or packed(Table(0, tuple(frames)))
                worker.change(during_load)

    def reload(self, at: float) -> None:
        """Send the whole table to every worker, which answers from the former one until the new
        one is complete. `at`: as in `broadcast`."""
        self._step += 1
        self._pending.append((self._step, at))
        if self._released:
            self._load(self._workers())

    async def caught_up(self) -> None:
        """Wait until every change before this call is answered everywhere."""
        last = self._step
        while self._pending and self._pending[0][0] <= last:
            await self._next_change()

    def _received(self, worker: WorkerProcess, message: Up) -> None:
        if isinstance(message, Applied | Opened):
            self._acknowledge()
        if isinstance(message, Opened):
            if self._watch != Watch(0):
                worker.send(self._watch)
            self._changed.set()
        elif isinstance(message, Samples):
            for observer in self.on_samples:
                observer(message)
        elif isinstance(message, Probed | Peeked | Flushed):
            self._requests.receive(worker, message)

    def _acknowledge(self) -> None:
        answering = [worker.applied for worker in self._workers() if worker.state is State.OPEN]
        everywhere = min(answering, default=-1)
        now = time.monotonic()
        while self._pending and self._pending[0][0] <= everywhere:
            _, at = self._pending.popleft()
            for observer in self.on_applied:
                observer(at, now)
            self._changed.set()

    # -- requests --------------------------------------------------------------------------

    def watch(self, rate: int, patterns: tuple[bytes, ...] = ()) -> None:
        """Have every worker sample queries (see dnsd.observe.tap) for `on_samples`."""
        self._watch = Watch(rate, patterns)
        for worker in self._workers():
            worker.send(self._watch)

    async def probe(self, packet: bytes, client: bytes, transport: Transport) -> bytes | None:
        """The reply of a worker to this packet, upstreams included; None if it drops the packet.

        Raises NoWorker.
        """
        worker = self._open_workers()[0]
        probed: Probed = await self._requests.send(
            worker, lambda number: Probe(number, packet, client, transport.index)
        )
        return probed.reply

    async def peek(self, name: bytes, type_: int) -> Where | None:
        """Where an external name would be answered; None: dnsd does not forward.

        Raises NoWorker.
        """
        worker = self._open_workers()[0]
        peeked: Peeked = await self._requests.send(worker, lambda number: Peek(number, name, type_))
        return peeked.where

    async def flush(self, name: bytes | None) -> int:
        """Forget cached replies of upstreams in every worker: those for `name`, or all (None).

        Returns how many, -1 without a cache. Raises NoWorker.
        """
        replies: list[Flushed] = await asyncio.gather(
            *(
                self._requests.send(worker, lambda number: Flush(number, name))
                for worker in self._open_workers()
            )
        )
        counts = [reply.count for reply in replies]
        return sum(counts) if min(counts) >= 0 else -1

    def _open_workers(self) -> list[WorkerProcess]:
        answering = [worker for worker in self._workers() if worker.state is State.OPEN]
        if not answering:
            raise NoWorker("no worker answers now")
        return answering

    def servers(self) -> list[tuple[Upstream, ...]]:
        """The upstream servers, as each worker sees them."""
        return [worker.servers for worker in self._workers()]

    # -- replacing -------------------------------------------------------------------------

    async def _follow(self, slot: _Slot, worker: WorkerProcess) -> None:
        """Wait for the end of a worker, and replace it unless that was intended."""
        reason = await asyncio.shield(worker.ended)  # a cancel must not reach it
        slot.workers.remove(worker)
        self._requests.fail(worker)
        slot.past = counters.summed((slot.past, worker.counters))
        self._acknowledge()
        self._changed.set()
        if worker is not slot.current or self._stopping:
            return
        slot.current = None
        # The last line of a traceback has the error.
        slot.last_end = f"{reason}: {worker.last_line}" if worker.last_line else reason
        lived = time.monotonic() - worker.started
        slot.failures = 1 if lived >= _LASTING else slot.failures + 1
        log.error(
            "a worker ended and is being replaced",
            worker=slot.index,
            pid=worker.process.pid,
            reason=reason,
            lived=round(lived, 1),
        )
        await self._replace(slot, excused=_EXCUSED if worker.applied >= 0 else 0)

    async def _replace(self, slot: _Slot, excused: int = 0) -> None:
        slot.restarts += 1
        failures = slot.failures - excused
        if failures > 0:
            longest = min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311
        if not self._stopping and slot.current is None:
            self._spawn(slot, self.setup)

    async def _end_silent_workers(self) -> None:
        while not self._stopping:
            for worker in self._workers():
                if worker.is_silent():
                    worker.kill("it sent no heartbeat")
            await asyncio.sleep(_CHECK_EVERY)

    async def renew(self, setup: Setup) -> None:
        """Replace each worker by one with this setup, without a gap.

        All or none: the former workers finish when every successor answers. Raises WorkersFailed
        when a successor does not start; then the successors end, and the former workers stay.
        """
        successors: list[WorkerProcess] = []
        try:
            for slot in self.slots:
                successor = self._spawn(slot, setup)
                if successor is None:
                    raise WorkersFailed(slot.last_end)  # noqa: TRY301
                successors.append(successor)
            while not all(successor.state is State.OPEN for successor in successors):
                for successor in successors:
                    if successor.state is State.GONE:
                        reason = await asyncio.shield(successor.ended)
                        raise WorkersFailed(reason)  # noqa: TRY301
                await self._next_change()
        except BaseException:
            self._dismiss(successors)
            raise
        order = Drain(0.0, self.setup.limits.idle_timeout, handover=True)
        self.setup = setup
        for slot, successor in zip(self.slots, successors, strict=True):
            former, slot.current = slot.current, successor
            if former is not None and former is not successor:
                former.drain(order)

    def _dismiss(self, successors: Sequence[WorkerProcess]) -> None:
        """End successors that do not take over. They answer what they have received."""
        current = [slot.current for slot in self.slots]
        order = Drain(0.0, self.setup.limits.idle_timeout, handover=True)
        for successor in successors:
            # A successor in an empty slot is the current worker: its end lets it be replaced.
            if successor.state is State.OPEN and successor not in current:
                successor.drain(order)
            else:
                successor.kill("another worker did not start")

    # -- stopping --------------------------------------------------------------------------

    async def drain(self, quiet: float, limit: float) -> None:
        """Let every worker finish and exit; end those that run after `limit` seconds."""
        self._stopping = True
        order = Drain(quiet, limit)
        for worker in self._workers():
            if worker.state is State.OPEN:
                worker.drain(order)
            else:
                worker.kill("it did not answer yet")
        await self._all_ended(limit + _GRACE)
        await self.stop()

    async def stop(self) -> None:
        """End every worker now, and close the sockets. Can be called again, also after a cancel."""
        self._stopping = True
        for worker in self._workers():
            worker.kill("dnsd stops")
        await self._all_ended()
        await self._tasks.close()
        for slot in self.slots:
            close(slot.listeners)

    async def _all_ended(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait until all workers are reaped. (A gather that is cancelled would cancel `ended`.)"""
        ends = [worker.ended for slot in self.slots for worker in slot.workers]
        if ends:
            await asyncio.wait(ends, timeout=timeout)

    # -- status ----------------------------------------------------------------------------

    def counters(self) -> counters.Totals:
        """The totals of all workers, former ones included; see dnsd.worker.counters."""
        parts = [slot.past for slot in self.slots]
        return counters.summed([*parts, *(worker.counters for worker in self._workers())])

    def status(self) -> list[WorkerStatus]:
        """The status of each slot."""
        now = time.monotonic()
        return [
            WorkerStatus(
                index=slot.index,
                pid=worker.process.pid if worker else 0,
                state=worker.state.value if worker else "waiting",
                age=now - worker.started if worker else 0.0,
                lag=worker.lag if worker else 0.0,
                restarts=slot.restarts,
                last_end=slot.last_end,
            )
            for slot in self.slots
            for worker in [slot.current]
        ]

    def _workers(self) -> list[WorkerProcess]:
        return [
            worker
            for slot in self.slots
            for worker in slot.workers
            if worker.state is not State.GONE
        ]
