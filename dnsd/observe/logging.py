"""The log: one line an event, on stderr, JSON where a program reads it and text on a terminal.

Modules log with `structlog.get_logger(...)`: an event in plain words and fields beside it
(`log.warning("cannot read manifest", file=..., line=...)`). Nothing is logged for a query.
`set_level` changes the level of a running process, loggers that exist already included.
"""

from __future__ import annotations

import io
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_MAX_FIELD = 2000  # characters of one field; what comes from outside may be of any length

_threshold = logging.INFO


def set_level(level: str) -> None:
    """Log `level` ("debug", "info", "warning", "error") and what is worse from now on."""
    global _threshold
    _threshold = LEVELS[level]
    logging.getLogger().setLevel(_threshold)


class _Stderr(io.TextIOBase):
    """The standard error stream as it is when something is logged, not when it was set up."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Set up logging for this process: `form` is "json", "text" or "auto" (text on a tty).

    The standard library's loggers (of the packages we use) go the same way.
    """
    out: TextIO = stream or cast(TextIO, _Stderr())
    as_text = form == "text" or (form == "auto" and out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.UnicodeDecoder(),
        _bounded,
    ]
    last: structlog.typing.Processor
    if as_text:
        last = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        before_last: list[structlog.typing.Processor] = []
    else:
        last = structlog.processors.JSONRenderer()
        before_last = [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[_filtered, *shared, *before_last, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *before_last,
            last,
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logging.getLogger().handlers = [handler]
    set_level(level)


def logger(room: str) -> FilteringBoundLogger:
    """A logger whose lines say which room of the house speaks."""
    bound: FilteringBoundLogger = structlog.get_logger(room=room)
    return bound


def _filtered(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if LEVELS.get(method, logging.ERROR) < _threshold:
        raise structlog.DropEvent
    return event


def _bounded(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > _MAX_FIELD:
            event[name] = f"{value[:_MAX_FIELD]}… ({len(value)} characters)"
    return event
