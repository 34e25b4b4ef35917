"""A histogram of durations, for metrics and quantiles.

In `observe/` (control plane). Change here: the buckets of histograms.

It holds plain integers, so an observation costs one bisection.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

# Seconds, from a change within one process to a change from a slow API server.
CHANGE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
# Seconds, for one batch of queries in the engine.
ANSWER_BOUNDS = (
    *(0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5),
    *(0.001, 0.002_5, 0.005, 0.01, 0.1),
)


class Histogram:
    """Counts by inclusive upper bound in seconds. The last count is for longer durations."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Add one observation."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Pairs of the upper bound as text and the observations up to it; the last is `+Inf`."""
        out, seen = [], 0
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            out.append((bound, float(seen)))
        return out

    def quantile(self, share: float) -> float:
        """An upper bound of the quantile `share` (0 to 1) in seconds; 0.0 without observations."""
        wanted, seen = share * self.count, 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen and seen >= wanted:
                return bound
        return self.bounds[-1] if self.count else 0.0
