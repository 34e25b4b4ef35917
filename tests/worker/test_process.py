"""One worker process, as the control process sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from dnsd.answer.settings import EngineConfig
from dnsd.dns.addresses import Address
from dnsd.transport.listener import bind_group, close
from dnsd.worker.messages import Heartbeat, Table, Up, packed
from dnsd.worker.process import State, Timeouts, WorkerProcess
from tests.helpers import eventually
from tests.serving import alive
from tests.worker.data_plane import HOST, SETUP


@asynccontextmanager
async def process(setup=SETUP) -> AsyncIterator[tuple[WorkerProcess, list[Up]]]:
    seen: list[Up] = []
    (listeners,) = bind_group(Address(HOST, 0))
    worker = WorkerProcess(
        setup,
        listeners,
        timeouts=Timeouts(),
        on_message=lambda _, message: seen.append(message),
    )
    try:
        yield worker, seen
    finally:
        worker.kill("the test is over")
        await worker.ended
        close(listeners)


async def test_it_sends_heartbeats_before_it_has_a_table() -> None:
    async with process() as (worker, seen):
        await eventually(lambda: seen)
        assert isinstance(seen[0], Heartbeat)
        assert worker.state is State.STARTING
        assert not worker.is_silent()


async def test_changes_before_the_table_are_not_sent() -> None:
    async with process() as (worker, seen):
        worker.change(packed(Table(1, (b"not a frame",))))  # would end it
        await eventually(lambda: len(seen) > 1)
        assert worker.applied == -1


async def test_the_reason_of_a_kill_is_the_reason_of_the_end() -> None:
    async with process() as (worker, _):
        worker.kill("it sent no heartbeat")
        worker.kill("another reason")
        assert await worker.ended == "it sent no heartbeat"
        assert worker.state is State.GONE
        assert not alive(worker.process.pid)


async def test_an_unexpected_end_names_the_signal() -> None:
    async with process() as (worker, seen):
        await eventually(lambda: seen)
        os.kill(worker.process.pid, signal.SIGTERM)  # a worker ignores it
        os.kill(worker.process.pid, signal.SIGABRT)
        assert await worker.ended == "it was ended by SIGABRT"


async def test_its_output_is_logged_and_the_last_line_is_kept() -> None:
    wrong = replace(SETUP, engine=EngineConfig(allow_query=("nonsense",)))
    with capture_logs() as logs:
        async with process(wrong) as (worker, _):
            assert await worker.ended == "it exited with code 1"
    assert worker.last_line.startswith("ValueError: 'nonsense'")
    lines = [line for line in logs if line["event"] == "output of a worker"]
    assert lines[-1]["line"] == worker.last_line
    assert {line["worker"] for line in lines} == {SETUP.index}


@pytest.mark.parametrize("frame", [b"\x00", b""])
async def test_a_worker_that_cannot_apply_a_frame_exits(frame: bytes) -> None:
    async with process() as (worker, _):
        worker.put(packed(Table(0, (frame,))))
        assert await worker.ended == "it exited with code 1"
