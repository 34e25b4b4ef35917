"""When a source writes its snapshot, with a source of one object and a stepped clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from dnsd.cluster.objects import Service
from dnsd.cluster.store import Packed, pack, unpack
from dnsd.control.saving import SavingSource
from dnsd.sources.kubernetes.snapshot import Header, read
from dnsd.sources.source import Batch, SourceStatus
from tests.helpers import eventually
from tests.upstream.clock import SteppedLoop, run_stepped

EVERY = 60.0  # seconds of the stepped clock


class Stub:
    """A source that publishes what the test hands in. `saves`: how often a snapshot was taken."""

    ready = True

    def __init__(self) -> None:
        self.client = self
        self.name, self.version, self.saves, self.closed = "web", 1, 0, False
        self.publish: Callable[[Batch], None] | None = None

    async def run(self, publish: Callable[[Batch], None]) -> None:
        self.publish = publish
        await asyncio.Event().wait()

    def status(self) -> list[SourceStatus]:
        return []

    def reload(self) -> None: ...

    async def close(self) -> None:
        self.closed = True

    def change(self, name: str) -> None:
        self.name = name
        self.version += 1
        assert self.publish
        self.publish(Batch((Service("default", name),), synced=True))

    def to_save(self) -> tuple[Header, list[Packed]] | None:
        self.saves += 1
        header = Header("uid", "endpoint", {"services": str(self.version)}, float(self.saves))
        return header, [pack(Service("default", self.name))]


@asynccontextmanager
async def running(stub: Stub, path: Path | None) -> AsyncIterator[SavingSource]:
    source = SavingSource(stub, path, EVERY)  # type: ignore[arg-type]
    task = asyncio.create_task(source.run(lambda _: None))
    await eventually(lambda: stub.publish)
    try:
        yield source
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Inline(ThreadPoolExecutor):
    """Runs calls at once, so that a write is done when the loop has no work left."""

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(call(*given, **named))
        except OSError as error:
            done.set_exception(error)
        return done


async def rounds(loop: SteppedLoop, count: int) -> None:
    """So many intervals pass, and the loop does what is due then."""
    for _ in range(count):
        loop.advance(EVERY)
        for _ in range(20):  # steps of the loop
            await asyncio.sleep(0)


def saved(path: Path) -> tuple[str, str]:
    """Name and version in the snapshot."""
    found = read(path, now=0.0, max_age=1e12)
    assert found
    (thing,) = map(unpack, found.objects)
    return thing.name, found.header.versions["services"]


def stepped(test: Callable[[SteppedLoop, Stub, Path], Awaitable[None]], folder: Path) -> None:
    async def run(loop: SteppedLoop) -> None:
        loop.set_default_executor(Inline())
        await test(loop, Stub(), folder / "snapshot")

    run_stepped(run)


def test_a_change_is_written_after_the_interval(tmp_path: Path) -> None:
    async def test(loop: SteppedLoop, stub: Stub, path: Path) -> None:
        async with running(stub, path):
            stub.change("one")
            assert os.listdir(path.parent) == []
            await rounds(loop, 1)
            assert saved(path) == ("one", "2")

    stepped(test, tmp_path)


def test_versions_alone_are_written_at_a_tenth_of_the_rate(tmp_path: Path) -> None:
    async def test(loop: SteppedLoop, stub: Stub, path: Path) -> None:
        async with running(stub, path):
            stub.change("one")
            await rounds(loop, 1)
            stub.version = 3
            await rounds(loop, 8)
            assert saved(path) == ("one", "2")
            await rounds(loop, 1)
            assert saved(path) == ("one", "3")

    stepped(test, tmp_path)


def test_the_last_state_is_written_at_the_end_if_it_differs(tmp_path: Path) -> None:
    async def test(loop: SteppedLoop, stub: Stub, path: Path) -> None:
        async with running(stub, path):
            stub.change("one")
        assert saved(path) == ("one", "2")
        assert stub.closed

    stepped(test, tmp_path)


def test_a_directory_that_is_missing_is_reported_once(tmp_path: Path) -> None:
    async def test(loop: SteppedLoop, stub: Stub, path: Path) -> None:
        async with running(stub, path.parent / "missing" / "snapshot"):
            for number in range(3):
                stub.change(f"n{number}")
                before = stub.saves
                await rounds(loop, 1)
                assert stub.saves > before

    with capture_logs() as logs:
        stepped(test, tmp_path)
    (line,) = logs
    assert line["event"] == "the snapshot cannot be written"


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    async def test(loop: SteppedLoop, stub: Stub, path: Path) -> None:
        async with running(stub, None) as source:
            stub.change("one")
            await rounds(loop, 20)
            assert await source.save() == ""
        assert os.listdir(path.parent) == []

    stepped(test, tmp_path)


def test_a_request_writes_at_once_and_raises_what_prevents_it(tmp_path: Path) -> None:
    async def test(loop: SteppedLoop, stub: Stub, path: Path) -> None:
        async with running(stub, path) as source:
            assert await source.save() == str(path)
            assert saved(path) == ("web", "1")
        async with running(stub, path.parent / "missing" / "snapshot") as source:
            with pytest.raises(FileNotFoundError):
                await source.save()

    stepped(test, tmp_path)
