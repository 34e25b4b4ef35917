"""A change and the replacement of a worker are timed on a real dnsd; the report of the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import names, peers, start, wire

POPULATION = names.Population(20, endpoints=2, changing=3)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_change_is_timed_until_its_answer(form: str, tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, form, zones=False)
    with peers.serving("dnsd", site) as server, wire.Client(server.port) as client:
        seconds = start.time_change(client, POPULATION, site.manifests, 1, 1)
    assert 0 < seconds < start.TIMEOUT


def test_the_replacement_of_a_killed_worker_is_timed(tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, zones=False)
    with peers.serving("dnsd", site) as server, wire.Client(server.port) as client:
        control, worker = server.pids()
        seconds = start.time_replacement(server, client, peers.readiness_question(site))
        assert 0 < seconds < start.TIMEOUT
        assert server.pids()[0] == control
        assert worker not in server.pids()


class TestReport:
    RESULTS = start.Results(
        names.Population(1000),
        (
            start.Start("dnsd, JSON", 1.5, (60_000_000, 30_000_000)),
            start.Start("NSD, zone files", 0.3, (1_000,)),
        ),
        (
            start.Changes(1000, tuple(n / 1000 for n in range(1, 11))),
            start.Changes(9000, tuple(n / 500 for n in range(1, 11))),
        ),
        (0.4, 0.5, 1.25),
    )

    def test_each_goal_has_a_verdict(self) -> None:
        rows = {
            goal.title: (goal.measured, goal.verdict()) for goal in start.goals_of(self.RESULTS)
        }
        assert rows == {
            "start to first answer, 1,000 Services": (1.5, "met"),
            "proportional set size, all processes": (90.0, "met"),
            "change to answer, p99, 1,000 Services": (10.0, "met"),
            "change to answer, p50, most Services, times fewest": (2.0, "missed by 33 %"),
            "worker replacement, worst": (1.25, "missed by 25 %"),
        }

    def test_the_tables_have_medians_and_percentiles(self) -> None:
        text = " ".join(start.report(self.RESULTS).split())
        assert "| dnsd, JSON | 1.50 | 90 | 60 + 30 |" in text
        assert "| 9,000 | 10.00 | 20.00 | 20.00 | 10 |" in text
        assert "| SIGKILL to the first answer of the next worker | 0.50 | 1.25 | 3 |" in text

    def test_parts_that_did_not_run_have_no_row_and_no_verdict(self) -> None:
        results = start.Results(self.RESULTS.population, (), ())
        assert {goal.verdict() for goal in start.goals_of(results)} == {"not measured"}
        assert "| worker replacement |" not in start.report(results)
