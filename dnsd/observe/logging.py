"""Logging: one line for each event on stderr, as JSON, or as text on a terminal.

In `observe/` (control plane). Change here: the format and the level of the log.

Modules log with `structlog.get_logger(...)`: an event in plain words, and fields beside it
(`log.warning("cannot read manifest", file=..., line=...)`). A query is never logged. `set_level`
changes the level of a running process, also for existing loggers.
"""

from __future__ import annotations

import io
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_MAX_FIELD = 2000  # characters of one field; input from outside may have any length

_threshold = logging.INFO


def set_level(level: str) -> None:
    """Log events of `level` ("debug", "info", "warning", "error") and above from now on."""
    global _threshold
    _threshold = LEVELS[level]
    logging.getLogger().setLevel(_threshold)


class _Stderr(io.TextIOBase):
    """The standard error stream at the time of each event, not at the time of `configure`."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Set up logging for this process. `form`: "json", "text", or "auto" (text on a terminal).

    The loggers of the standard library, which other packages use, get the same format.
    """
    out: TextIO = stream or cast(TextIO, _Stderr())
    as_text = form == "text" or (form == "auto" and out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.UnicodeDecoder(),
        _bounded,
    ]
    rendering: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if as_text:
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[_filtered, *shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logging.getLogger().handlers = [handler]
    set_level(level)


def _filtered(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if LEVELS.get(method, logging.ERROR) < _threshold:
        raise structlog.DropEvent
    return event


def _bounded(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > _MAX_FIELD:
            event[name] = f"{value[:_MAX_FIELD]}… ({len(value)} characters)"
    return event
