"""Histograms: counts by inclusive bounds, and quantiles."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.observe.histogram import CHANGE_BOUNDS, Histogram


class TestHistogram:
    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
    def test_counts_are_cumulative_by_inclusive_bounds(self, seconds: list[float]) -> None:
        histogram = Histogram(CHANGE_BOUNDS)
        for one in seconds:
            histogram.add(one)
        for bound, count in histogram.cumulative():
            assert count == sum(one <= float(bound) for one in seconds)
        assert histogram.count == len(seconds)
        median = sorted(seconds)[(len(seconds) - 1) // 2]
        assert histogram.quantile(0.5) >= min(median, CHANGE_BOUNDS[-1])

    def test_without_observations_a_quantile_is_zero(self) -> None:
        assert Histogram((1.0,)).quantile(0.99) == 0.0
