"""Every coroutine test of this package runs on asyncio's own event loop and on uvloop.

`serve` makes TCP transports that are closed when the test ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from dnsd.transport.limits import StreamLimits
from tests.transport.served import LIMITS, Served


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[type[Served]]:
    made: list[Served] = []

    class Made(Served):
        def __init__(self, limits: StreamLimits = LIMITS) -> None:
            super().__init__(limits)
            made.append(self)

    yield Made
    for served in made:
        await served.close()
