"""Long work in short steps of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import thread_time

from dnsd.runtime.steps import STEP, Step, in_steps


def busy(seconds: float) -> None:
    """Use CPU time."""
    end = thread_time() + seconds
    while thread_time() < end:
        pass


def test_a_step_is_over_after_its_cpu_time() -> None:
    step = Step()
    assert not step.is_over
    busy(STEP)
    assert step.is_over


async def test_other_tasks_run_between_two_steps() -> None:
    done: list[str] = []

    def pieces() -> Iterator[None]:
        for number in range(3):
            busy(STEP)
            done.append(f"piece {number}")
            yield

    async def other() -> None:
        for _ in range(2):
            done.append("other")
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    await in_steps(pieces())
    await others
    assert done == ["piece 0", "other", "piece 1", "other", "piece 2"]


async def test_pieces_that_fit_into_a_step_are_one_step() -> None:
    others = asyncio.create_task(asyncio.sleep(0))
    await in_steps(range(3))
    assert not others.done()
    await others
