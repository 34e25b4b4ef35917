"""The time of an event, computed from the replies to single queries."""

from __future__ import annotations

import math
import random

import pytest

from bench import kube


def test_the_time_is_that_of_the_first_new_answer() -> None:
    samples = [(0.1, False), (0.4, False), (0.6, True), (0.9, True)]
    assert kube.time_of_share(samples, 0.5) == kube.time_of_share(reversed(samples), 0.99) == 0.6


def test_an_old_answer_after_a_new_one_is_pooled_with_it() -> None:
    samples = [(0.1, False), (0.2, True), (0.3, False), (0.4, True)]
    assert kube.time_of_share(samples, 0.5) == 0.2
    assert kube.time_of_share(samples, 0.6) == 0.4


@pytest.mark.parametrize("samples", [[], [(0.1, False)], [(0.1, True), (0.2, False)]])
def test_a_share_that_is_never_reached_is_infinite(samples: list[tuple[float, bool]]) -> None:
    assert kube.time_of_share(samples, 0.9) == math.inf


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_the_estimate_is_close_to_the_percentile_of_the_event_times(part: float) -> None:
    draw = random.Random(1035)
    took = [draw.gauss(1.0, 0.2) for _ in range(4000)]
    samples = [(at := draw.uniform(0, 3), at >= one) for one in took]
    assert kube.time_of_share(samples, part) == pytest.approx(
        sorted(took)[int(4000 * part)], abs=0.1
    )


def test_the_report_has_the_figures_of_the_client_that_polls() -> None:
    results = kube.Results(
        10, 1.0, 10**8, 10**8, ((0.0008, True),), (0.001, 0.002), (0.0001,), (0.0001,)
    )
    text = kube.report(results)
    assert "| event to answer, p50" in text
    assert "after 1.00 ms (p50) and 2.00 ms (p99)" in " ".join(text.split())
