"""Requests to workers: each gets the reply with its id, or an error."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from dnsd.worker.messages import Down, Flush, Flushed
from dnsd.worker.process import WorkerProcess
from dnsd.worker.requests import NoWorker, Requests
from tests.helpers import eventually
from tests.upstream.clock import SteppedLoop, run_stepped


class Worker:
    def __init__(self) -> None:
        self.sent: list[Down] = []

    def send(self, message: Down) -> None:
        self.sent.append(message)


def process(worker: Worker) -> WorkerProcess:
    return cast(WorkerProcess, worker)


def ask(requests: Requests, worker: Worker) -> asyncio.Task[Flushed]:
    return asyncio.create_task(
        requests.send(process(worker), lambda number: Flush(number, b"\x01a\x00"))
    )


async def test_each_request_gets_the_reply_with_its_id() -> None:
    requests, worker = Requests(), Worker()
    first, second = ask(requests, worker), ask(requests, worker)
    await eventually(lambda: len(worker.sent) == 2)
    one, two = (cast(Flush, message).id for message in worker.sent)
    requests.receive(process(worker), Flushed(two, 2))
    requests.receive(process(worker), Flushed(one, 1))
    assert [(await first).count, (await second).count] == [1, 2]


async def test_a_reply_of_another_worker_or_to_no_request_is_ignored() -> None:
    requests, worker, other = Requests(), Worker(), Worker()
    asked = ask(requests, worker)
    await eventually(lambda: worker.sent)
    number = cast(Flush, worker.sent[0]).id
    requests.receive(process(other), Flushed(number, 1))
    requests.receive(process(worker), Flushed(number + 1, 2))
    requests.receive(process(worker), Flushed(number, 3))
    requests.receive(process(worker), Flushed(number, 4))
    assert (await asked).count == 3


async def test_the_end_of_a_worker_fails_its_requests_only() -> None:
    requests, worker, other = Requests(), Worker(), Worker()
    failed, stays = ask(requests, worker), ask(requests, other)
    await eventually(lambda: worker.sent and other.sent)
    requests.fail(process(worker))
    with pytest.raises(NoWorker, match="ended"):
        await failed
    requests.receive(process(other), Flushed(cast(Flush, other.sent[0]).id, 1))
    assert (await stays).count == 1


def test_a_request_without_a_reply_fails_after_its_timeout() -> None:
    async def test(loop: SteppedLoop) -> None:
        worker = Worker()
        asked = ask(Requests(), worker)
        await eventually(lambda: worker.sent)
        loop.advance(60.0)
        with pytest.raises(NoWorker, match="did not reply"):
            await asked

    run_stepped(test)
