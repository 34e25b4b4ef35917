"""Which event loop a process uses."""

from __future__ import annotations

import asyncio

import pytest

from dnsd.runtime.loop import loop_factory, uvloop_is_here


def test_without_uvloop_it_is_the_loop_of_asyncio() -> None:
    assert loop_factory(uvloop=False) is None


@pytest.mark.skipif(not uvloop_is_here(), reason="uvloop is not installed")
def test_with_uvloop_it_is_a_loop_of_uvloop() -> None:
    async def module() -> str:
        return type(asyncio.get_running_loop()).__module__

    with asyncio.Runner(loop_factory=loop_factory(uvloop=True)) as runner:
        assert runner.run(module()).startswith("uvloop")
