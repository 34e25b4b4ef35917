"""The settings of the worker processes: their number, their event loop, and how they stop.

In `worker/` (data plane: processes). Change here: what of a worker process is set.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from dnsd.settings.kinds import choice, duration, integer
from dnsd.settings.schema import Group, Setting


class WorkerConfig(Struct, frozen=True, kw_only=True, rename={"count": "workers"}):
    """The worker processes. Durations in seconds."""

    # fmt: off
    count: Annotated[int, Setting(Group.RUNNING, integer(1, 256),
        "Processes that answer. One process uses about one core.")] = 1
    drain_quiet: Annotated[float, Setting(Group.RUNNING, duration(0, 600),
        "On SIGTERM, dnsd answers until no query arrived for this long.", reload=True)] = 1.0
    drain_limit: Annotated[float, Setting(Group.RUNNING, duration(0, 3600),
        "On SIGTERM, dnsd stops after this long even if queries still arrive.",
        reload=True)] = 10.0
    uvloop: Annotated[str, Setting(Group.RUNNING, choice("auto", "on", "off"),
        "Run on uvloop: if it is installed, always, or never.")] = "auto"
    # fmt: on
