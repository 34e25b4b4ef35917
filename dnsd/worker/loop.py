"""Which event loop a process has: uvloop where it is wanted and installed, else asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec


def uvloop_is_here() -> bool:
    """Whether uvloop is installed (it is not imported here)."""
    return find_spec("uvloop") is not None


def loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop of `asyncio.Runner`; None: its own kind."""
    if not uvloop:
        return None
    from uvloop import new_event_loop

    return new_event_loop
