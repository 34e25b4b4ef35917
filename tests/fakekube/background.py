"""A fake server with its own event loop in a thread, for tests that wait for processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.fakekube.server import FakeKube

T = TypeVar("T")


class Background:
    """The server `kube`. `do` and `wait_for` run in its thread."""

    def __init__(self, kube: FakeKube, loop: asyncio.AbstractEventLoop) -> None:
        self.kube, self._loop = kube, loop

    def do(self, what: Callable[[FakeKube], T]) -> T:
        async def run() -> T:
            return what(self.kube)

        return self.wait_for(run())

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)


@contextmanager
def background(**options: Any) -> Iterator[Background]:
    """A listening FakeKube(**options)."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> FakeKube:
        kube = FakeKube(**options)
        await kube.start()
        return kube

    kube = asyncio.run_coroutine_threadsafe(make(), loop).result(30)
    try:
        yield Background(kube, loop)
    finally:
        asyncio.run_coroutine_threadsafe(kube.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
