"""Text output of commands: aligned lines, with colors only on a terminal.

In `commands/` (the command line). Change here: how values and tables are printed.

Text from outside (queried names, manifests) goes through `plain`, so that a control character in it
does not reach a terminal.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from datetime import datetime

import click
import msgspec

_MIN_WIDTH = 30  # columns of a sentence on a narrow terminal
_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def plain(text: object) -> str:
    """The text with each unprintable character as an escape."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text)
    )


def echo(text: str = "", **style: bool | str) -> None:
    """Print one line. `style`: of click.style, ignored if stdout is not a terminal."""
    click.echo(click.style(text, **style) if style else text)  # type: ignore[arg-type]


def heading(text: str) -> None:
    """Print a blank line and a heading."""
    echo()
    echo(text, bold=True)


def columns(rows: Iterable[Sequence[object]], indent: str = "  ") -> None:
    """Print rows with aligned columns. The last column is not padded."""
    texts = [[plain(cell) for cell in row] for row in rows]
    if not texts:
        return
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    for row in texts:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        echo(f"{indent}{'  '.join([*cells, row[-1]])}".rstrip())


def wrapped(text: str, indent: int) -> str:
    """The text wrapped for a terminal, all lines but the first indented; else as one line."""
    if not sys.stdout.isatty():
        return text
    width = max(_MIN_WIDTH, shutil.get_terminal_size().columns - indent)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(lines)


def print_json(value: object) -> None:
    """Print indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def ago(at: float, now: float | None = None) -> str:
    """The age of a time in seconds since the epoch: "3 min ago"; "never" for 0."""
    if not at:
        return "never"
    return f"{span(max(0.0, (time.time() if now is None else now) - at))} ago"


def span(seconds: float) -> str:
    """A duration in its largest unit: "90 s" is "2 min"."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def short(seconds: float) -> str:
    """A short duration: "25 µs", "1.5 ms", "2 s"; "-" for 0."""
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return "-" if not seconds else "<1 µs"


def moment(at: float) -> str:
    """A date and time in the time zone of this machine."""
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def count(number: int, noun: str) -> str:
    """ "1 name", "1,200 names"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cause(of: dict[str, str]) -> str:
    """An object as a cause: kind, name, version, and file."""
    where = "/".join(part for part in (of["namespace"], of["name"]) if part)
    version = f"version {of['version']}" if of.get("version") else ""
    more = ", ".join(part for part in (version, of.get("origin", "")) if part)
    return f"{of['kind']} {where}" + (f" ({more})" if more else "")
