"""Figures into Markdown: tables, ratios, goals, and the blocks of docs/performance.md.

A block stands between `<!-- bench:NAME:begin -->` and `<!-- bench:NAME:end -->`; what is
outside of the markers is prose and stays as it is.
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

    Raises ValueError when there are none.
    """
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, ceil(part * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> float:
    """How far the values are apart: (largest - smallest) / the middle one; 0.0 for one value.

    Raises ValueError when there are none.
    """
    ordered = sorted(values)
    middle = percentile(ordered, 0.5)
    return (ordered[-1] - ordered[0]) / middle if middle else 0.0


def number(value: float, digits: int = 2) -> str:
    """For people: thousands apart, `digits` after the point (none from a thousand on)."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column left, the others right, columns aligned in the source."""
    lines = [list(head), *(list(row) for row in rows)]
    if any(len(line) != len(head) for line in lines):
        raise ValueError("a row has not as many cells as the head")
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
    """What was promised: at most `limit`. `measured` is None when it could not be measured."""

    promise: str
    limit: float
    measured: float | None
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured <= self.limit

    def verdict(self) -> str:
        """One of "met", "missed by" how much, "not measured"."""
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

        return self.promise, f"≤ {show(self.limit)}", show(self.measured), self.verdict()


def goals(promised: Iterable[Goal]) -> str:
    """A table of goals and whether they were met."""
    return table(("goal", "at most", "measured", "verdict"), (one.row() for one in promised))


def noise(others: Iterable[float]) -> list[str]:
    """A paragraph that says so when the machine had other things to do, else none.

    `others`: the cores that other processes used, measurement by measurement.
    """
    middle = percentile(sorted(others), 0.5)
    if middle <= BUSY:
        return []
    return [f"**Noisy**: other processes used {middle:.2f} cores while this was measured."]


class NoMarker(ValueError):
    """A document without the markers of a block: says which."""


def replace(text: str, block: str, body: str) -> str:
    """`text` with what stands between a block's markers replaced. Raises `NoMarker`."""
    begin, end = f"<!-- bench:{block}:begin -->", f"<!-- bench:{block}:end -->"
    start = text.find(begin)
    stop = text.find(end, start)
    if start < 0 or stop < 0:
        raise NoMarker(f"{begin} or {end} is missing")
    return f"{text[: start + len(begin)]}\n{body.strip()}\n{text[stop:]}"


def machine(versions: Iterable[str]) -> str:
    """One line on what was measured where; nothing that changes from day to day."""
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
