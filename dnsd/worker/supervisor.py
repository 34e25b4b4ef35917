"""Keeps the workers running, and tells them all what changed.

Each worker has a *seat*: its own sockets, bound once by the control process and held open
until the end. Whoever sits there, packets queue in the kernel between one worker and the
next, and none is lost.

* A worker that ends unasked is replaced at once; when that keeps happening, or when it ends
  before it can answer, after longer and longer pauses (with jitter, up to `MAX_PAUSE`), so
  that a bug at start does not become a fork bomb.
* A worker that takes no changes, says nonsense or nothing is ended, and so replaced.
* New settings for workers (`renew`) mean new workers: successors are started on the same
  sockets, and when all of them answer the old ones finish and go. If one cannot start, all
  the old ones stay: no worker answers by other settings than the rest.
* `broadcast` takes the frames of one batch. When every worker has applied them, the
  followers hear how long that took: the change is answered everywhere.

The table of a new worker is `table()`, frames of the zone as it is. Whoever changes the
zone calls `flush_tables` before.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from dnsd.answer.transport import Transport
from dnsd.transport.listen import Pair
from dnsd.upstream.status import Where
from dnsd.worker import counters
from dnsd.worker.messages import (
    Applied,
    Down,
    Drain,
    Flush,
    Flushed,
    Opened,
    Peek,
    Peeked,
    Probe,
    Probed,
    Samples,
    Setup,
    Table,
    Up,
    Upstream,
    Watch,
    packed,
)
from dnsd.worker.process import State, Timeouts, WorkerProcess

log = structlog.get_logger(__name__)

FIRST_PAUSE, MAX_PAUSE = 0.1, 10.0  # seconds before a worker that fails at once is replaced
_LASTING = 10.0  # a worker that lived so long did not fail at once
# A worker that could answer did not fail by itself: somebody killed it, or something that was
# asked did. So many times in a row it is replaced without a pause, for nobody else answers.
_EXCUSED = 20
_LOOK = 1.0  # seconds between two looks for silent workers
_GRACE = 2.0  # beyond the limit of a drain, before workers are ended
_MAX_PENDING = 10_000  # changes whose way is timed, while nobody answers
_QUESTION_TIMEOUT = 10.0  # seconds a probe or a flush may take
_START_FAILURES = 3  # of one seat, before a start is given up


class WorkersFailed(Exception):
    """No worker comes up; the text has the reason and the last line it printed."""


class NoWorker(Exception):
    """Nobody answers right now, or not in time."""


class WorkerStatus(Struct, frozen=True):
    """One seat, for status pages and metrics. Times in seconds."""

    index: int
    pid: int
    state: str  # of dnsd.worker.process.State; "waiting" when nobody sits there
    age: float
    lag: float
    restarts: int
    last_end: str


class _Slot:
    """One worker's place: sockets, who sits there, and what former workers counted."""

    __slots__ = ("current", "failures", "index", "last_end", "links", "pairs", "past", "restarts")

    def __init__(self, index: int, pairs: Sequence[Pair]) -> None:
        self.index, self.pairs = index, pairs
        self.current: WorkerProcess | None = None
        self.links: list[WorkerProcess] = []  # the current one, a successor, those that finish
        self.past = counters.ZERO
        self.restarts = self.failures = 0
        self.last_end = ""


class Supervisor:
    """All workers. Methods are for the event loop that started it."""

    def __init__(
        self,
        slots: Sequence[Sequence[Pair]],
        setup: Setup,
        table: Callable[[], Iterator[bytes]],
        timeouts: Timeouts = Timeouts(),  # noqa: B008  (frozen)
    ) -> None:
        """`slots`: the sockets of each worker. `setup`: its `index` and `sockets` are ignored."""
        self.slots = [_Slot(index, pairs) for index, pairs in enumerate(slots)]
        self.setup = setup
        self.on_applied: list[Callable[[float, float], None]] = []  # (handed in, answered)
        self._table, self._patience = table, timeouts
        self._released = self._stopping = False
        self._step = 0
        self._pending: deque[tuple[int, float]] = deque(maxlen=_MAX_PENDING)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self.on_samples: list[Callable[[Samples], None]] = []
        self._watch = Watch(0)
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[WorkerProcess, asyncio.Future[Any]]] = {}

    # -- starting --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes. They wait for `release`."""
        for slot in self.slots:
            self._spawn(slot, self.setup)
        self._keep(self._look())

    def release(self) -> None:
        """There is a zone to answer from: let the workers load and open."""
        self._released = True
        for link in self._links():
            self._load(link)

    async def opened(self) -> None:
        """Wait until every seat answers. Raises WorkersFailed when one keeps failing."""
        while not all(slot.current and slot.current.state is State.OPEN for slot in self.slots):
            for slot in self.slots:
                if slot.failures >= _START_FAILURES:
                    raise WorkersFailed(slot.last_end)
            self._changed.clear()
            await self._changed.wait()

    def _spawn(self, slot: _Slot, setup: Setup) -> WorkerProcess | None:
        try:
            link = WorkerProcess(
                msgspec.structs.replace(setup, index=slot.index, sockets=()),
                slot.pairs,
                timeouts=self._patience,
                heard=self._heard,
                printed=_relay,
            )
        except OSError as error:
            slot.last_end = f"it could not be started: {error.strerror}"
            slot.failures += 1
            log.exception("cannot start a worker", worker=slot.index)
            self._keep(self._replace(slot))
            return None
        slot.links.append(link)
        slot.current = slot.current or link
        self._keep(self._follow(slot, link))
        if self._released:
            self._load(link)
        return link

    def _load(self, link: WorkerProcess) -> None:
        link.load(self._table(), self._step)

    # -- what changed ----------------------------------------------------------------------

    @property
    def wants_changes(self) -> bool:
        """Whether anybody has begun to load a table; if not, changes need not be compiled."""
        return self._released

    def flush_tables(self) -> None:
        """The zone is about to change: finish making the tables that are being sent."""
        for link in self._links():
            link.flush_tables()

    def broadcast(self, frames: Sequence[bytes], at: float) -> None:
        """Have every worker apply `frames` in one step; `at` is when their cause was handed in,
        on time.monotonic's clock."""
        self.flush_tables()
        self._step += 1
        message = packed(Table(self._step, tuple(frames)))
        self._pending.append((self._step, at))
        for link in self._links():
            link.change(message)

    def reload(self, at: float) -> None:
        """The zone is another one: send all of it to every worker, which takes it in beside
        what it answers from. `at` as above."""
        self._step += 1
        self._pending.append((self._step, at))
        if self._released:
            for link in self._links():
                self._load(link)

    async def caught_up(self) -> None:
        """Wait until every change so far is answered everywhere."""
        while self._pending:
            self._changed.clear()
            await self._changed.wait()

    def _heard(self, link: WorkerProcess, message: Up) -> None:
        if isinstance(message, Applied | Opened):
            self._acknowledge()
        if isinstance(message, Opened):
            if self._watch != Watch(0):
                link.tell(self._watch)
            self._changed.set()
        elif isinstance(message, Samples):
            for sampler in self.on_samples:
                sampler(message)
        elif isinstance(message, Probed | Peeked | Flushed):
            asked = self._asked.get(message.id)
            if asked is not None and asked[0] is link and not asked[1].done():
                asked[1].set_result(message)

    def _acknowledge(self) -> None:
        answering = [link.applied for link in self._links() if link.state is State.OPEN]
        everywhere = min(answering, default=-1)
        now = time.monotonic()
        while self._pending and self._pending[0][0] <= everywhere:
            _, at = self._pending.popleft()
            for observer in self.on_applied:
                observer(at, now)
        if not self._pending:
            self._changed.set()

    # -- questions ---------------------------------------------------------------------------

    def watch(self, rate: int, needles: tuple[bytes, ...] = ()) -> None:
        """Have every worker sample queries (see dnsd.worker.tap); `on_samples` get them."""
        self._watch = Watch(rate, needles)
        for link in self._links():
            link.tell(self._watch)

    async def ask(self, packet: bytes, client: bytes, transport: Transport) -> bytes | None:
        """What a worker answers to this packet, upstreams included; None: nothing.

        Raises NoWorker.
        """
        probe = Probe(next(self._ids), packet, client, transport.index)
        found: Probed = await self._put_question(self._open_link(), probe.id, probe)
        return found.reply

    async def peek(self, name: bytes, type_: int) -> Where | None:
        """Where a name that is not ours would be answered; None: nothing is forwarded.

        Raises NoWorker.
        """
        peek = Peek(next(self._ids), name, type_)
        found: Peeked = await self._put_question(self._open_link(), peek.id, peek)
        return found.where

    def _open_link(self) -> WorkerProcess:
        for link in self._links():
            if link.state is State.OPEN:
                return link
        raise NoWorker("no worker answers right now")

    async def flush(self, name: bytes | None) -> int:
        """Forget replies of upstreams, in every worker; how many, -1: there is no cache.

        Raises NoWorker.
        """
        waits = []
        for link in self._links():
            if link.state is State.OPEN:
                order = Flush(next(self._ids), name)
                waits.append(self._put_question(link, order.id, order))
        if not waits:
            raise NoWorker("no worker answers right now")
        counts = [found.count for found in await asyncio.gather(*waits)]
        return sum(counts) if min(counts) >= 0 else -1

    async def _put_question(self, link: WorkerProcess, number: int, message: Down) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = link, future
        link.tell(message)
        try:
            async with asyncio.timeout(_QUESTION_TIMEOUT):
                return await future
        except TimeoutError as error:
            raise NoWorker("the worker that was asked did not answer in time") from error
        finally:
            self._asked.pop(number, None)

    def servers(self) -> list[tuple[Upstream, ...]]:
        """The upstream servers, as each worker knows them."""
        return [link.servers for link in self._links()]

    # -- ends and beginnings ---------------------------------------------------------------

    async def _follow(self, slot: _Slot, link: WorkerProcess) -> None:
        reason = await link.ended
        slot.links.remove(link)
        for asked, future in list(self._asked.values()):
            if asked is link and not future.done():
                future.set_exception(NoWorker("the worker that was asked ended"))
        slot.past = counters.summed((slot.past, link.counters))
        self._acknowledge()
        if link is not slot.current or self._stopping:
            self._changed.set()
            return
        slot.current = None
        # The last line of a traceback is the one that says what happened.
        slot.last_end = f"{reason}: {link.last_line}" if link.last_line else reason
        lived = time.monotonic() - link.started
        slot.failures = 1 if lived >= _LASTING else slot.failures + 1
        log.error(
            "a worker ended and is being replaced",
            worker=slot.index,
            pid=link.process.pid,
            reason=reason,
            lived=round(lived, 1),
        )
        self._changed.set()
        await self._replace(slot, excused=_EXCUSED if link.applied >= 0 else 0)

    async def _replace(self, slot: _Slot, excused: int = 0) -> None:
        slot.restarts += 1
        failures = slot.failures - excused
        if failures > 0:
            longest = min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311
        if not self._stopping and slot.current is None:
            self._spawn(slot, self.setup)

    async def _look(self) -> None:
        while not self._stopping:
            for link in self._links():
                if link.is_silent():
                    link.kill("it gave no sign of life any more")
            await asyncio.sleep(_LOOK)

    async def renew(self, setup: Setup) -> None:
        """Replace each worker by one with this setup, without a gap.

        All or none: the old ones finish once every new one answers. Raises WorkersFailed when
        one of the new ones does not come up; then they go, and the old ones stay.
        """
        successors: list[WorkerProcess] = []
        try:
            for slot in self.slots:
                successors.append(self._successor(slot, setup))
                await self._all_open(successors)
        except BaseException:
            self._dismiss(successors)
            raise
        order = Drain(0.0, self.setup.tcp_idle_timeout, handover=True)
        self.setup = setup
        for slot, successor in zip(self.slots, successors, strict=True):
            former, slot.current = slot.current, successor
            if former is not None and former is not successor:
                former.drain(order)

    def _successor(self, slot: _Slot, setup: Setup) -> WorkerProcess:
        link = self._spawn(slot, setup)
        if link is None:
            raise WorkersFailed(slot.last_end)
        return link

    async def _all_open(self, links: Sequence[WorkerProcess]) -> None:
        """Wait until these answer. Raises WorkersFailed when one of them has ended."""
        while not all(link.state is State.OPEN for link in links):
            for link in links:
                if link.state is State.GONE:
                    raise WorkersFailed(await link.ended)
            self._changed.clear()
            await self._changed.wait()

    def _dismiss(self, successors: Sequence[WorkerProcess]) -> None:
        """These succeed nobody after all; what they were asked they still answer."""
        sitting = [slot.current for slot in self.slots]
        order = Drain(0.0, self.setup.tcp_idle_timeout, handover=True)
        for link in successors:
            # One that sits where nobody sat is replaced, and who waits there waits for that.
            if link.state is State.OPEN and link not in sitting:
                link.drain(order)
            else:
                link.kill("another one did not start")

    # -- stopping --------------------------------------------------------------------------

    async def drain(self, quiet: float, limit: float) -> None:
        """Let every worker finish and exit; those still there after `limit` are ended."""
        self._stopping = True
        order = Drain(quiet, limit)
        for link in self._links():
            if link.state is State.OPEN:
                link.drain(order)
            else:
                link.kill("it was not answering yet")
        ends = [link.ended for link in self._links()]
        if ends:
            await asyncio.wait(ends, timeout=limit + _GRACE)
        await self.stop()

    async def stop(self) -> None:
        """End every worker now, and close the sockets."""
        self._stopping = True
        for link in self._links():
            link.kill("it was told to stop")
        await asyncio.gather(*(link.ended for link in self._links()))
        for task in tuple(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for slot in self.slots:
            for pair in slot.pairs:
                pair.close()

    # -- telling ---------------------------------------------------------------------------

    def counters(self) -> counters.Totals:
        """What all workers counted, those that are gone included; see dnsd.worker.counters."""
        parts = [slot.past for slot in self.slots]
        return counters.summed([*parts, *(link.counters for link in self._links())])

    def status(self) -> list[WorkerStatus]:
        """One status a seat."""
        now = time.monotonic()
        return [
            WorkerStatus(
                index=slot.index,
                pid=link.process.pid if link else 0,
                state=link.state.value if link else "waiting",
                age=now - link.started if link else 0.0,
                lag=link.lag if link else 0.0,
                restarts=slot.restarts,
                last_end=slot.last_end,
            )
            for slot in self.slots
            for link in [slot.current]
        ]

    def _links(self) -> list[WorkerProcess]:
        return [link for slot in self.slots for link in slot.links if link.state is not State.GONE]

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _relay(link: WorkerProcess, line: bytes) -> None:
    """Log what a worker printed: its log is JSON lines, anything else is passed on as it is."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
        event, level = str(fields.pop("event")), str(fields.pop("level", "info"))
    except (msgspec.DecodeError, KeyError):
        log.warning("a worker printed", worker=link.index, line=line.decode("utf-8", "replace"))
        return
    fields.pop("timestamp", None)
    speak = {"debug": log.debug, "info": log.info, "warning": log.warning}.get(level, log.error)
    speak(event, **{**fields, "worker": link.index})
