"""Slow TCP clients: they are held, and the rows that are made of what others saw meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import latency, names, peers, procs, slow, wire
from tests.helpers import until

POPULATION = names.Population(20, endpoints=1, changing=3)


def run(slowly: bool, p99: float, middle: float) -> slow.Run:
    seen = latency.Run(
        latency.Setting("dnsd"), 1000, 0, 20.0, p99, middle, 900.0, 1200.0, 7.0, 8.5, 0.0
    )
    return slow.Run(slowly, seen, 5.5 if slowly else 0.0)


@pytest.mark.parametrize(
    ("p99", "middle", "verdicts"),
    [(150.0, 90.0, ["met", "met"]), (300.0, 110.0, ["missed by 50 %", "missed by 10 %"])],
)
def test_the_goal_is_twice_the_quiet_one(p99: float, middle: float, verdicts: list[str]) -> None:
    runs = [run(False, 100.0, 50.0), run(True, p99, middle)] * 3
    text = slow.report(runs, POPULATION)
    assert [line.rsplit("|", 2)[1].strip() for line in text.splitlines()[-2:]] == verdicts
    assert "3 rounds" in text
    assert "lived 5.5 s" in text


def test_without_dnsd_nothing_is_claimed(tmp_path: Path) -> None:
    site = peers.Site(POPULATION, tmp_path, tmp_path, tmp_path)
    assert slow.run(site, ("floor", "nsd"), 1, 1, print) == []
    assert slow.report([], POPULATION).count("not measured") == 2


@pytest.mark.needs("cc")
@pytest.mark.skipif(len(procs.cores()) < 2, reason="the clients want a core of their own")
def test_dnsd_holds_them_and_answers(tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, zones=False)
    slow.allow_files()
    with peers.serving("dnsd", site, more=slow.LIMITS) as server:
        worker = server.pids()[-1]
        with slow.trickling(tmp_path, server.port) as trickle:
            until(lambda: sockets(worker) > slow.CLIENTS, "dnsd has accepted all of them")
            wire.check("dnsd", server.port, [names.question(POPULATION, "hit", 0)])
    assert trickle.octets > 0
    assert trickle.life > 0


def sockets(pid: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
