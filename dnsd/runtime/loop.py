"""Which event loop a process uses: uvloop where it is enabled and installed, else that of asyncio.

In `runtime/` (both planes). Change here: how the event loop is chosen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec


def uvloop_is_here() -> bool:
    """Whether uvloop is installed. Does not import it."""
    return find_spec("uvloop") is not None


def loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The `loop_factory` of `asyncio.Runner`; None: the default loop."""
    if not uvloop:
        return None
    from uvloop import new_event_loop

    return new_event_loop
