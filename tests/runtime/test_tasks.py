"""Background tasks: every exception is logged, and closing ends them all."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from structlog.testing import capture_logs

from dnsd.runtime.tasks import Tasks, log_failure
from tests.helpers import eventually


async def fail() -> None:
    raise ValueError("broken")


async def test_the_exception_of_a_task_is_logged_with_its_name() -> None:
    tasks = Tasks()
    with capture_logs() as logs:
        tasks.start(fail(), "record the zone")
        await eventually(lambda: not len(tasks))
    (line,) = logs
    assert (line["log_level"], line["task"]) == ("error", "record the zone")
    assert str(line["exc_info"]) == "broken"


async def test_the_result_of_a_task_can_be_awaited() -> None:
    async def work() -> int:
        return 7

    assert await Tasks().start(work(), "count") == 7


async def test_closing_cancels_and_logs_nothing() -> None:
    tasks = Tasks()
    with capture_logs() as logs:
        task = tasks.start(asyncio.Event().wait(), "wait")
        await tasks.close()
    assert task.cancelled()
    assert (len(tasks), logs) == (0, [])


async def test_expected_exceptions_and_results_are_not_logged() -> None:
    with ThreadPoolExecutor(1) as threads, capture_logs() as logs:
        for work, expected in ((int, ()), (lambda: int("x"), (ValueError,)), (_fail, ())):
            future = threads.submit(work)
            log_failure(future, "count", *expected)
            await asyncio.wait({asyncio.wrap_future(future)})
    (line,) = logs
    assert str(line["exc_info"]) == "broken"


def _fail() -> None:
    raise ValueError("broken")
