"""What bench.kube makes of replies to single questions."""

from __future__ import annotations

import math
import random

import pytest

from bench import kube


def test_between_the_last_old_answer_and_the_first_new_one() -> None:
    asked = [(0.1, False), (0.4, False), (0.6, True), (0.9, True)]
    assert kube.answered_by(asked, 0.5) == kube.answered_by(reversed(asked), 0.99) == 0.6


def test_an_old_answer_behind_a_new_one_is_weighed_against_it() -> None:
    asked = [(0.1, False), (0.2, True), (0.3, False), (0.4, True)]
    assert kube.answered_by(asked, 0.5) == 0.2
    assert kube.answered_by(asked, 0.6) == 0.4


@pytest.mark.parametrize("asked", [[], [(0.1, False)], [(0.1, True), (0.2, False)]])
def test_never(asked: list[tuple[float, bool]]) -> None:
    assert kube.answered_by(asked, 0.9) == math.inf


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_it_finds_the_percentile_of_what_nobody_saw(part: float) -> None:
    draw = random.Random(1035)
    took = [draw.gauss(1.0, 0.2) for _ in range(4000)]
    asked = [(at := draw.uniform(0, 3), at >= one) for one in took]
    assert kube.answered_by(asked, part) == pytest.approx(sorted(took)[int(4000 * part)], abs=0.1)


def test_the_impatient_client_is_told_of() -> None:
    results = kube.Results(
        10, 1.0, 10**8, 10**8, ((0.0008, True),), (0.001, 0.002), (0.0001,), (0.0001,)
    )
    text = kube.report(results)
    assert "| event to answer, p50" in text
    assert "after 1.00 ms (p50) and 2.00 ms (p99)" in text
