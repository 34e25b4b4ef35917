"""Reading dnsperf, and what is made of the runs."""

from __future__ import annotations

import pytest

from bench import cpu, names
from bench.procs import BenchError

PRINTED = """\
Statistics:

  Queries sent:         300
  Queries completed:    298 (99.33%)
  Queries lost:         2 (0.67%)

  Response codes:       NOERROR 290 (97.32%), NXDOMAIN 8 (2.68%)
  Average packet size:  request 52, response 68
  Run time (s):         1.000100
  Queries per second:   297.970203
"""


def run(server: str, case: str, micros: float, lost: int = 0, others: float = 0.0) -> cpu.Run:
    return cpu.Run(server, case, 1000, lost, 50_000.0, micros / 1000, micros / 10_000, others)


def runs(**dnsd: float) -> list[cpu.Run]:
    """Two rounds; the machine is twice as slow in the second."""
    return [
        run(server, case.key, cost * slow)
        for slow in (1.0, 2.0)
        for case in cpu.CASES
        for server, cost in (("floor", 4.0), ("nsd", 6.0), ("dnsd", dnsd.get(case.key, 5.0)))
        if server == "dnsd" or not case.changes
    ]


class TestDnsperf:
    def test_figures(self) -> None:
        assert cpu.read_dnsperf(PRINTED) == cpu.Performed(
            298, 2, 297.970203, {"NOERROR": 290, "NXDOMAIN": 8}
        )

    def test_no_figures(self) -> None:
        with pytest.raises(BenchError, match="unable to open"):
            cpu.read_dnsperf("Error: unable to open file")


class TestReport:
    POPULATION = names.Population(100)

    def test_a_ratio_is_taken_within_its_round(self) -> None:
        assert cpu.ratio(runs(), ("dnsd", "hit"), ("floor", "hit")) == pytest.approx(1.25)
        assert cpu.ratio(runs(), ("knot", "hit"), ("floor", "hit")) is None

    def test_goals(self) -> None:
        verdicts = {
            goal.promise: goal.verdict()
            for goal in cpu.promises(runs(nxdomain=10.0, srv=7.0, wide=8.0))
        }
        assert verdicts == {
            "A hit, times the floor": "met",
            "A hit, times NSD": "met",
            "A hit of all endpoints, times the floor": "missed by 54 %",
            "A hit of all endpoints, times NSD": "missed by 33 %",
            "A hit with a cookie, times the A hit": "met",
            "NXDOMAIN, times the A hit": "missed by 67 %",
            "NODATA, times the A hit": "met",
            "SRV, times the A hit": "met",
        }

    def test_without_dnsd_nothing_is_claimed(self) -> None:
        others = [one for one in runs() if one.server != "dnsd"]
        assert {goal.verdict() for goal in cpu.promises(others)} == {"not measured"}
        assert "control process" not in cpu.report(others, self.POPULATION)

    def test_tables_have_every_case_and_server(self) -> None:
        text = cpu.report(runs(), self.POPULATION)
        first = [line.split("|")[1].strip() for line in text.splitlines() if "|" in line]
        assert all(first.count(case.title) == 2 for case in cpu.CASES)
        assert "7.50 (1.25 x)" in text
        assert "worker has 6.75 µs and the control process 0.75 µs" in text
        changing = next(line for line in text.splitlines() if "changes/s" in line)
        assert [cell.strip() for cell in changing.split("|")[2:5]] == ["-", "-", "7.50 (1.25 x)"]
        assert "Noisy" not in text

    def test_loss_and_noise_are_said(self) -> None:
        text = cpu.report(
            [run("floor", case.key, 4.0, lost=3, others=0.5) for case in cpu.CASES],
            self.POPULATION,
        )
        assert "50,000 (3 lost)" in text
        assert "other processes used 0.50 cores" in text
