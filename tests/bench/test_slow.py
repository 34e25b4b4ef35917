"""The slow TCP clients, and the report of the latency over UDP beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import latency, names, peers, procs, slow, wire
from tests.helpers import until

POPULATION = names.Population(20, endpoints=1, changing=3)


def run(slowly: bool, p99: float, middle: float) -> slow.Run:
    udp = latency.Run(
        latency.Setting("dnsd"), 1000, 0, 20.0, p99, middle, 900.0, 1200.0, 7.0, 8.5, 0.0
    )
    return slow.Run(slowly, udp, 5.5 if slowly else 0.0)


@pytest.mark.parametrize(
    ("p99", "middle", "verdicts"),
    [(150.0, 90.0, ["met", "met"]), (300.0, 110.0, ["missed by 50 %", "missed by 10 %"])],
)
def test_the_goal_is_twice_the_latency_without_slow_clients(
    p99: float, middle: float, verdicts: list[str]
) -> None:
    runs = [run(False, 100.0, 50.0), run(True, p99, middle)] * 3
    text = slow.report(runs, POPULATION)
    assert [line.rsplit("|", 2)[1].strip() for line in text.splitlines()[-2:]] == verdicts
    assert "3 rounds" in text
    assert "lived 5.5 s" in text


def test_without_dnsd_no_goal_is_measured(tmp_path: Path) -> None:
    site = peers.Site(POPULATION, tmp_path, tmp_path, tmp_path)
    assert slow.run(site, ("floor", "nsd"), 1, 1, print) == []
    assert slow.report([], POPULATION).count("not measured") == 2


@pytest.mark.needs("cc")
@pytest.mark.skipif(len(procs.cores()) < 2, reason="the clients need their own core")
def test_dnsd_accepts_all_slow_clients_and_answers(tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, zones=False)
    slow.allow_files()
    with peers.serving("dnsd", site, more=slow.LIMITS) as server:
        worker = server.pids()[-1]
        with slow.slow_clients(tmp_path, server.port) as clients:
            until(lambda: sockets(worker) > slow.CLIENTS, "dnsd has accepted all of them")
            wire.check("dnsd", server.port, [names.question(POPULATION, "hit", 0)])
    assert clients.octets > 0
    assert clients.lifetime > 0


def sockets(pid: int) -> int:
    """The number of open files of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
