"""A table on its way to several workers: one compilation, at the pace of the fastest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

from structlog.testing import capture_logs

from dnsd.worker.messages import Assembler, Down, Open, Table, read_down
from dnsd.worker.process import Load, State, WorkerProcess
from dnsd.worker.table_load import TableLoad
from tests.helpers import eventually

AHEAD = 3  # messages that a worker of these tests takes before it has no room


class Worker:
    """A worker that reads when the test lets it."""

    def __init__(self) -> None:
        self.load: Load | None = None
        self.state = State.OPEN
        self.queue: list[bytes] = []
        self.killed = ""

    def begin(self, load: Load) -> None:
        self.load = load

    @property
    def has_room(self) -> bool:
        return len(self.queue) < AHEAD

    def put(self, message: bytes) -> None:
        self.queue.append(message)

    def kill(self, reason: str) -> None:
        self.killed = reason

    def read(self, count: int = 1000) -> list[Down]:
        """The next messages; the queue then has room."""
        data = b"".join(self.queue[:count])
        del self.queue[:count]
        if self.load is not None:
            self.load.resume()
        return [read_down(body) for body in Assembler(1 << 30).take(data)]


class Frames:
    """Frames that count how many of them were taken."""

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, 0

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self.count):
            self.taken += 1
            yield b"%d" % number


def load(frames: Iterator[bytes], *workers: Worker) -> asyncio.Task[None]:
    return asyncio.create_task(
        TableLoad(frames, cast("list[WorkerProcess]", list(workers))).run(lambda: 7)
    )


async def test_all_workers_get_the_same_bytes_then_the_last_step_and_open() -> None:
    first, second = Worker(), Worker()
    await load(iter([b"x"]), first, second)
    assert first.queue[0] is second.queue[0]
    expected = [Table(0, (b"x",)), Table(7, ()), Open()]
    assert first.read() == second.read() == expected
    assert first.load is second.load is None


async def test_no_frame_is_compiled_before_a_worker_needs_it() -> None:
    frames, worker = Frames(10), Worker()
    running = load(iter(frames), worker)
    await eventually(lambda: not worker.has_room)
    assert frames.taken == AHEAD
    worker.read(1)
    await eventually(lambda: frames.taken == AHEAD + 1)
    while not running.done():
        worker.read()
        await asyncio.sleep(0)
    assert frames.taken == 10


async def test_a_slow_worker_does_not_delay_another() -> None:
    frames, fast, slow = Frames(10), Worker(), Worker()
    running = load(iter(frames), fast, slow)
    while not running.done():
        fast.read()
        await asyncio.sleep(0)
    assert len(slow.read()) == 12


async def test_a_load_without_workers_compiles_nothing_more() -> None:
    frames, ended, replaced = Frames(10), Worker(), Worker()
    running = load(iter(frames), ended, replaced)
    await eventually(lambda: not ended.has_room)
    ended.state, replaced.load = State.GONE, None
    former = frames.taken
    running_load = ended.load
    assert running_load is not None
    running_load.resume()
    await running
    assert frames.taken == former
    assert len(ended.queue) == AHEAD


async def test_the_workers_of_a_table_that_cannot_be_compiled_are_ended() -> None:
    def fail() -> Iterator[bytes]:
        yield b"x"
        raise RuntimeError("a bug")

    worker = Worker()
    with capture_logs() as logs:
        await load(fail(), worker)
    assert worker.killed == "its table could not be compiled"
    assert logs[0]["log_level"] == "error"
