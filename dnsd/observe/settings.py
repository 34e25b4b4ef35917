"""The settings of the log and of the history of names.

In `observe/` (control plane: what dnsd reports about itself). Change here: what it keeps and logs.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from dnsd.settings.kinds import choice, duration, size
from dnsd.settings.schema import Group, Setting, prefixed


class LogConfig(Struct, frozen=True, rename=prefixed("log_")):
    """What the processes log, and in which form."""

    # fmt: off
    level: Annotated[str, Setting(Group.RUNNING, choice("debug", "info", "warning", "error"),
        "The least important messages that dnsd logs.", reload=True)] = "info"
    format: Annotated[str, Setting(Group.RUNNING, choice("auto", "json", "text"),
        "Form of the log on stderr. json: JSON lines. auto: text on a terminal, else JSON lines.",
        reload=True)] = "auto"
    # fmt: on


class HistoryConfig(Struct, frozen=True, rename=prefixed("history_")):
    """How long and how much the history keeps. `max_age` in seconds, `max_size` in octets."""

    # fmt: off
    max_age: Annotated[float, Setting(Group.ADMIN, duration(60, 3650 * 86400),
        "How long dnsd keeps changes of names, in the state directory if one is given.",
        )] = 30 * 86400.0
    max_size: Annotated[int, Setting(Group.ADMIN, size(1 << 20, 1 << 40),
        "Size of the history; dnsd removes the oldest changes first.")] = 64 << 20
    # fmt: on
