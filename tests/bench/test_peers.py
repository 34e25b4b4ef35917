"""NSD and Knot, as the bench runs them, answer every question the bench asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import names, peers, procs, start, wire

POPULATION = names.Population(20, endpoints=2, changing=2)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("nsd", marks=pytest.mark.needs("nsd")),
        pytest.param("knot", marks=pytest.mark.needs("knotd")),
    ],
)
def test_peer_answers_every_case(name: str, tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path)
    with peers.serving(name, site, [procs.server_core()]) as server:
        for case in ("hit", "nodata", "nxdomain", "srv"):
            wire.check(server.title, server.port, names.questions(POPULATION, (case,), 10))
        assert 0 < server.ready < peers.READY
        assert all(procs.pss(pid) > 0 for pid in server.pids())
        pids = server.pids()
    assert not [pid for pid in pids if procs.tree(pid)]


def test_absent_servers_are_named_with_the_reason() -> None:
    here, absent = peers.present(peers.SERVERS)
    assert {*here, *absent} == set(peers.SERVERS)
    assert all(absent.values())


class TestStartReport:
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

    def test_goals(self) -> None:
        rows = {
            goal.promise: (goal.measured, goal.verdict()) for goal in start.promises(self.RESULTS)
        }
        assert rows == {
            "start to first answer, 1,000 Services": (1.5, "met"),
            "proportional set size, all processes": (90.0, "met"),
            "change to answer, p99, 1,000 Services": (10.0, "met"),
            "change, p50: most Services by fewest": (2.0, "missed by 33 %"),
            "a worker is killed: until its successor answers, worst": (1.25, "missed by 25 %"),
        }

    def test_tables(self) -> None:
        text = " ".join(start.report(self.RESULTS).split())
        assert "| dnsd, JSON | 1.50 | 90 | 60 + 30 |" in text
        assert "| 9,000 | 10.00 | 20.00 | 20.00 | 10 |" in text
        assert "| a worker is killed: until its successor answers | 0.50 | 1.25 | 3 |" in text

    def test_what_was_not_measured_has_no_row_and_no_verdict(self) -> None:
        results = start.Results(self.RESULTS.population, (), ())
        assert {goal.verdict() for goal in start.promises(results)} == {"not measured"}
        assert "| succession |" not in start.report(results)
