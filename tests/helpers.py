"""Conditions with a deadline, counted work, and deep directories.

In `tests/` (support of all tests). Change here: how a test waits, and how it counts work.

Tests do not sleep: they wait for a condition with `until` or `eventually`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 20.0  # seconds; long for busy machines, only a failing test reaches it
_STEP = 0.005


def until(condition: Callable[[], T], what: str = "", deadline: float = DEADLINE) -> T:
    """The first true value of `condition()`; the test fails at the deadline."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {deadline} s: {what or condition}"
        time.sleep(_STEP)
    return value


async def eventually(
    condition: Callable[[], T | Awaitable[T]], what: str = "", deadline: float = DEADLINE
) -> T:
    """`until` on the running event loop; `condition` may be a coroutine function."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline} s: {what or condition}"
        await asyncio.sleep(_STEP)


@contextmanager
def deep(root: Path, *names: str) -> Iterator[int]:
    """Nested directories; the descriptor of the innermost, because its path may be too long."""
    made = [os.open(root, os.O_RDONLY)]
    for name in names:
        os.mkdir(name, dir_fd=made[-1])
        made.append(os.open(name, os.O_RDONLY, dir_fd=made[-1]))
        if len(made) > 2:
            os.close(made.pop(-2))
    try:
        yield made[-1]
    finally:
        for one in made:
            os.close(one)
        # The cleanup of tmp_path calls shutil.rmtree, which recurses in Python 3.11.
        subprocess.run(["rm", "-rf", str(root / names[0])], check=True)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the calls of this thread during the block, by qualified name."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            calls[frame.f_code.co_qualname] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def calls_of(
    functions: Sequence[Callable[..., object]], run: Callable[[], T]
) -> tuple[T, list[int]]:
    """The result of `run`, and its number of calls of each function."""
    codes = [function.__code__ for function in functions]  # type: ignore[attr-defined]
    counts = [0] * len(codes)

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes:
            counts[codes.index(frame.f_code)] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        result = run()
    finally:
        sys.setprofile(before)
    return result, counts


def lines_of(work: Callable[[], object]) -> int:
    """The number of lines of Python that a call executes."""
    count = 0

    def trace(_frame: object, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    collecting = gc.isenabled()
    gc.disable()  # a callback of the collector would be counted too
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(None)
        if collecting:
            gc.enable()
    return count
