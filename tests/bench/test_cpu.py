"""The output of dnsperf, and the tables, ratios, and goals of the runs."""

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
    """Two rounds; the machine is half as fast in the second one."""
    return [
        run(server, case.key, cost * slow)
        for slow in (1.0, 2.0)
        for case in cpu.CASES
        for server, cost in (("floor", 4.0), ("nsd", 6.0), ("dnsd", dnsd.get(case.key, 5.0)))
        if server == "dnsd" or not case.changes
    ]


class TestDnsperf:
    def test_the_figures_of_its_output_are_read(self) -> None:
        assert cpu.read_dnsperf(PRINTED) == cpu.DnsperfResult(
            298, 2, 297.970203, {"NOERROR": 290, "NXDOMAIN": 8}
        )

    def test_output_without_figures_is_an_error(self) -> None:
        with pytest.raises(BenchError, match="unable to open"):
            cpu.read_dnsperf("Error: unable to open file")


class TestReport:
    POPULATION = names.Population(100)

    def test_a_ratio_is_taken_within_its_round(self) -> None:
        assert cpu.ratio(runs(), ("dnsd", "hit"), ("floor", "hit")) == pytest.approx(1.25)
        assert cpu.ratio(runs(), ("knot", "hit"), ("floor", "hit")) is None

    def test_each_goal_has_a_verdict(self) -> None:
        verdicts = {
            goal.title: goal.verdict()
            for goal in cpu.goals_of(runs(cookie=6.0, nxdomain=10.0, srv=7.0, wide=8.0))
        }
        assert verdicts == {
            "A hit, times the floor": "met",
            "A hit, times NSD": "met",
            "A hit of all endpoints, times the floor": "missed by 54 %",
            "A hit of all endpoints, times NSD": "missed by 33 %",
            "A hit with a cookie, times the A hit": "missed by 4 %",
            "A hit with padding, times the A hit": "met",
            "NXDOMAIN, times the A hit": "missed by 67 %",
            "NODATA, times the A hit": "met",
            "SRV, times the A hit": "met",
        }

    def test_without_dnsd_no_goal_is_measured(self) -> None:
        others = [one for one in runs() if one.server != "dnsd"]
        assert {goal.verdict() for goal in cpu.goals_of(others)} == {"not measured"}
        assert "control process" not in cpu.report(others, self.POPULATION)

    def test_each_table_has_every_case_and_server(self) -> None:
        text = cpu.report(runs(), self.POPULATION)
        first = [line.split("|")[1].strip() for line in text.splitlines() if "|" in line]
        assert all(first.count(case.title) == 2 for case in cpu.CASES)
        assert "7.50 (1.25 x)" in text
        assert "costs 6.75 µs in the worker and 0.75 µs in the control process" in " ".join(
            text.split()
        )
        changing = next(line for line in text.splitlines() if "changes/s" in line)
        assert [cell.strip() for cell in changing.split("|")[2:5]] == ["-", "-", "7.50 (1.25 x)"]
        assert "Noisy" not in text

    def test_lost_queries_and_noise_are_reported(self) -> None:
        text = cpu.report(
            [run("floor", case.key, 4.0, lost=3, others=0.5) for case in cpu.CASES],
            self.POPULATION,
        )
        assert "50,000 (3 lost)" in text
        assert "other processes used 0.50 cores" in text


class TestCases:
    POPULATION = names.Population(20, endpoints=2)

    def test_each_case_has_questions_with_its_response_code(self) -> None:
        for case in cpu.CASES:
            questions = case.questions(self.POPULATION, 10)
            assert {one.rcode for one in questions} == {case.rcode}

    def test_the_endpoint_case_has_one_question_for_each_endpoint(self) -> None:
        (case,) = [one for one in cpu.CASES if one.question == "endpoint"]
        assert len(case.questions(self.POPULATION, 1)) == 40
