"""Markdown of the figures: tables, goals, and the blocks of docs/performance.md.

In `bench/` (measurements). Change here: how figures, goals, and blocks are written.

A block stands between `<!-- bench:NAME:begin -->` and `<!-- bench:NAME:end -->`. The text outside
the markers stays unchanged.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TypeVar

from bench.procs import BUSY

PERFORMANCE = Path(__file__).parent.parent / "docs" / "performance.md"

_Number = TypeVar("_Number", int, float)


def percentile(ordered: Sequence[_Number], part: float) -> _Number:
    """The nearest-rank percentile of sorted values, 0 < part <= 1.

    Raises ValueError without values.
    """
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, ceil(part * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> float:
    """(largest - smallest) / median of the values; 0.0 for one value.

    Raises ValueError without values.
    """
    ordered = sorted(values)
    middle = percentile(ordered, 0.5)
    return (ordered[-1] - ordered[0]) / middle if middle else 0.0


def number(value: float, digits: int = 2) -> str:
    """A number for readers: comma after thousands, `digits` after the point below 1,000."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, aligned in the source: the first column left, the others right."""
    lines = [list(head), *(list(row) for row in rows)]
    if any(len(line) != len(head) for line in lines):
        raise ValueError("a row has another number of cells than the head")
    wide = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]

    def text(line: Sequence[str]) -> str:
        cells = [
            cell.rjust(w) if i else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(line, wide, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(wide))
    return "\n".join([text(lines[0]), f"|{rule}|", *(text(line) for line in lines[1:])])


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of at most `limit`. `measured` is None if it was not measured."""

    title: str
    limit: float
    measured: float | None
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured <= self.limit

    def verdict(self) -> str:
        """One of "met", "missed by" with the difference, or "not measured"."""
        if self.measured is None:
            return "not measured"
        if self.met:
            return "met"
        if not self.limit:
            return f"missed by {number(self.measured)} {self.unit}".rstrip()
        percent = (self.measured / self.limit - 1) * 100
        return f"missed by {number(percent, 0 if percent >= 1 else 1)} %"

    def row(self) -> tuple[str, str, str, str]:
        def show(value: float | None) -> str:
            return "-" if value is None else f"{number(value)} {self.unit}".rstrip()

        return self.title, f"≤ {show(self.limit)}", show(self.measured), self.verdict()


def goal_table(goals: Iterable[Goal]) -> str:
    """A table of goals with their verdicts."""
    return table(("goal", "at most", "measured", "verdict"), (goal.row() for goal in goals))


def noise(others: Iterable[float]) -> list[str]:
    """A paragraph if other processes disturbed the measurements, otherwise nothing.

    `others`: the cores that other processes used, one value for each measurement.
    """
    middle = percentile(sorted(others), 0.5)
    if middle <= BUSY:
        return []
    return [f"**Noisy**: other processes used {middle:.2f} cores during the measurement."]


class MarkerMissing(ValueError):
    """A document lacks the markers of a block. The message names them."""


def replace(text: str, block: str, body: str) -> str:
    """`text` with `body` between the markers of a block. Raises `MarkerMissing`."""
    begin, end = f"<!-- bench:{block}:begin -->", f"<!-- bench:{block}:end -->"
    start = text.find(begin)
    stop = text.find(end, start)
    if start < 0 or stop < 0:
        raise MarkerMissing(f"{begin} or {end} is missing")
    return f"{text[: start + len(begin)]}\n{body.strip()}\n{text[stop:]}"


def machine(versions: Iterable[str]) -> str:
    """One line on the machine and the versions, without a date."""
    facts = [
        f"{_cpu_model()}, {os.cpu_count()} cores",
        f"{_memory_gib():.0f} GiB",
        f"Linux {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        *versions,
    ]
    return "Measured on " + "; ".join(facts) + "."


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
