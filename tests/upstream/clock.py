"""An event loop whose clock moves when a test moves it: timeouts without real waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose time is ahead of the real time by the seconds that it was advanced."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    def advance(self, seconds: float) -> None:
        """Moves the clock; timers that are due then run next."""
        self.ahead += seconds


def run_stepped(test: Callable[[SteppedLoop], Coroutine[Any, Any, T]]) -> T:
    """Runs a test on a loop of its own and gives it the loop."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SteppedLoop)
        return runner.run(test(loop))
