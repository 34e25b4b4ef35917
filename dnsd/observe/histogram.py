"""A histogram of seconds in plain ints: what the metrics need, and what costs nothing to add to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

# From what a change takes in one process to what a slow API server makes of it.
CHANGE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
# One batch of queries in the engine.
ANSWER_BOUNDS = (
    *(0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5),
    *(0.001, 0.002_5, 0.005, 0.01, 0.1),
)


class Histogram:
    """Counts by upper bound in seconds (each including it), the last one for what is longer."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """One observation, or several alike."""
        self.counts[bisect_left(self.bounds, seconds)] += times
        self.total += seconds * times

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound as text, observations up to it), the last one `+Inf`."""
        out, seen = [], 0
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            out.append((bound, float(seen)))
        return out

    def quantile(self, share: float) -> float:
        """An upper bound of the quantile `share` (0 to 1); 0.0 when nothing was seen."""
        wanted, seen = share * self.count, 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen and seen >= wanted:
                return bound
        return self.bounds[-1] if self.count else 0.0
