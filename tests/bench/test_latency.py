"""The rows and the goals of the latency table."""

from __future__ import annotations

import pytest

from bench import latency, names

POPULATION = names.Population(20, endpoints=1, changing=3)


def run(setting: latency.Setting, p99: float, lost: int = 0) -> latency.Run:
    return latency.Run(setting, 1000, lost, 20.0, p99, p99 / 2, 900.0, 1200.0, 7.0, 8.5, 0.0)


def test_dnsd_is_measured_without_and_with_changes() -> None:
    titles = [setting.title for setting in latency.settings(("nsd", "dnsd"))]
    assert titles == [
        "NSD",
        "dnsd",
        "dnsd, 50 changes per second",
        "dnsd, 50 changes per second, one core",
    ]


@pytest.mark.parametrize(
    ("p99", "lost", "verdicts"),
    [
        (400.0, 0, ["met", "met", "met"]),
        (750.0, 2, ["missed by 50 %", "met", "missed by 4.00"]),
    ],
)
def test_the_goals_are_those_of_dnsd_with_changes(
    p99: float, lost: int, verdicts: list[str]
) -> None:
    runs = [run(latency.GOAL, p99, lost), run(latency.Setting("nsd"), 9000.0)] * 2
    text = latency.report(runs, POPULATION)
    assert [line.rsplit("|", 2)[1].strip() for line in text.splitlines()[-3:]] == verdicts


def test_without_dnsd_no_goal_is_measured() -> None:
    text = latency.report([run(latency.Setting("floor"), 20.0)], POPULATION)
    assert text.count("not measured") == 3
