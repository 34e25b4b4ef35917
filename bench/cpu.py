"""CPU time of a server per answered query, and queries per second.

In `bench/` (measurements). Change here: the rows of the CPU table and their goals.

The server has one core, and dnsperf has another one. dnsperf keeps a fixed number of queries in
flight and sends the next one when a reply arrives, so no query is lost. The compared figure is the
CPU time of the server divided by the replies. It is valid also when dnsperf is the slower of the
two programs.

All servers run all the time. A round sends the queries of each case to each server. A ratio is
taken within its round, and the table shows the median of the rounds.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import names, procs, wire
from bench.churn import CHANGES, changes
from bench.peers import BEFORE, TITLES, Server, Site, serving
from bench.procs import BenchError
from bench.table import Goal, goal_table, noise, number, spread, table

OUTSTANDING = 100  # queries in flight; with 200, Knot loses some
SOCKETS = 4
QUERIES = 10_000  # lines of a query file


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table: the queries, the expected response code, and flags for dnsperf.

    `question` is a case of `names.question`, or "endpoint" for the name of each endpoint in turn.
    `changes` is the number of changed manifests per second. Only dnsd has rows with changes.
    """

    key: str
    title: str
    question: str
    rcode: str = "NOERROR"
    flags: tuple[str, ...] = ()
    changes: int = 0

    def questions(self, population: names.Population, count: int) -> list[names.Question]:
        """`count` questions, or one for each endpoint."""
        if self.question == "endpoint":
            return names.endpoint_questions(population)
        return names.questions(population, (self.question,), count)


CASES = (
    Case("hit", "A hit", "hit"),
    Case("wide", "A hit, all endpoints", "endpoint"),
    Case("changing", f"A hit, {CHANGES} changes/s", "hit", changes=CHANGES),
    Case("edns", "A hit, EDNS", "hit", flags=("-e",)),
    # Option 10 is a client cookie (RFC 7873), option 12 is padding (RFC 7830).
    Case("cookie", "A hit, cookie", "hit", flags=("-e", "-E", "10:0123456789abcdef")),
    Case("padding", "A hit, padding", "hit", flags=("-e", "-E", f"12:{'00' * 64}")),
    Case("nxdomain", "NXDOMAIN", "nxdomain", "NXDOMAIN"),
    Case("nodata", "NODATA", "nodata"),
    Case("srv", "SRV", "srv"),
    Case("tcp", "A hit, TCP", "hit", flags=("-m", "tcp")),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One case on one server in one round. CPU time in seconds, `others` in cores."""

    server: str
    case: str
    completed: int
    lost: int
    qps: float
    cpu: float
    control_cpu: float  # of the started process; for dnsd, the control process
    others: float

    @property
    def micros(self) -> float:
        """CPU microseconds per answered query."""
        return self.cpu / self.completed * 1e6


@dataclass(frozen=True, slots=True)
class DnsperfResult:
    """The figures that dnsperf prints at its end."""

    completed: int
    lost: int
    qps: float
    codes: dict[str, int]


_COMPLETED = re.compile(r"Queries completed:\s+(\d+)")
_LOST = re.compile(r"Queries lost:\s+(\d+)")
_QPS = re.compile(r"Queries per second:\s+([\d.]+)")
_CODES = re.compile(r"Response codes:\s+(.*)")
_CODE = re.compile(r"([A-Z0-9]+) (\d+) \(")


def read_dnsperf(printed: str) -> DnsperfResult:
    """The figures in the output of dnsperf. Raises `BenchError` if one is missing."""
    found = [pattern.search(printed) for pattern in (_COMPLETED, _LOST, _QPS, _CODES)]
    completed, lost, qps, codes = found
    if completed is None or lost is None or qps is None or codes is None:
        raise BenchError(f"dnsperf printed no figures: {printed.strip()[-500:]}")
    return DnsperfResult(
        int(completed[1]),
        int(lost[1]),
        float(qps[1]),
        {name: int(count) for name, count in _CODE.findall(codes[1])},
    )


def _dnsperf(port: int, queries: Path, case: Case, seconds: int) -> DnsperfResult:
    program = shutil.which("dnsperf")
    if program is None:
        raise BenchError("dnsperf is not installed")
    load = ("-c", SOCKETS, "-T", 1, "-q", OUTSTANDING, "-l", seconds, "-t", 2, "-b", 208)
    bound = ("taskset", "-c", procs.client_core())
    argv = (*bound, program, "-s", procs.LOOPBACK, "-p", port, "-d", queries, *load, *case.flags)
    return read_dnsperf(procs.output([str(one) for one in argv], seconds + 30))


def measure(server: Server, queries: Path, case: Case, seconds: int) -> Run:
    """Run one case. Raises `BenchError` if a reply has another response code."""
    done, usage = procs.usage_of(
        server.pids(), lambda: _dnsperf(server.port, queries, case, seconds)
    )
    if server.name != "floor" and set(done.codes) != {case.rcode}:
        raise BenchError(f"{server.title}, {case.title}: the response codes were {done.codes}")
    if not done.completed:
        raise BenchError(f"{server.title}, {case.title}: no reply arrived")
    control = usage.spent[server.process.pid]
    return Run(
        server.name,
        case.key,
        done.completed,
        done.lost,
        done.qps,
        usage.total,
        control,
        usage.others,
    )


def run(
    site: Site, servers: Sequence[str], rounds: int, seconds: int, progress: Callable[[str], None]
) -> list[Run]:
    """Run all rounds of all cases on all servers, interleaved."""
    files = {case.key: site.work / f"queries-{case.key}" for case in CASES}
    for case in CASES:
        names.write_queries(files[case.key], case.questions(site.population, QUERIES))
    runs: list[Run] = []
    generation = 0
    with ExitStack() as stack:
        core = [procs.server_core()]
        started = [stack.enter_context(serving(name, site, core)) for name in servers]
        for server in started:
            _warm_up(site, server, files[CASES[0].key])
        for n in range(rounds):
            for case in CASES:
                for server in started if not case.changes else _dnsd_of(started):
                    with ExitStack() as changing:
                        if case.changes:
                            writing = changes(site, server, case.changes, generation)
                            writer = changing.enter_context(writing)
                        one = measure(server, files[case.key], case, seconds)
                    generation = writer.generation if case.changes else generation
                    runs.append(one)
                    progress(
                        f"cpu {n + 1}/{rounds} {case.title:20} {server.title:15}"
                        f" {one.micros:6.2f} µs {one.qps:9,.0f} qps"
                    )
    return runs


def _dnsd_of(servers: Sequence[Server]) -> list[Server]:
    return [server for server in servers if server.name in ("dnsd", BEFORE)]


def _warm_up(site: Site, server: Server, queries: Path) -> None:
    # Verify the answers, and fill the caches, before the first measurement.
    if server.name != "floor":
        for case in CASES:
            wire.check(server.title, server.port, case.questions(site.population, 200)[:200])
    measure(server, queries, CASES[0], 1)


# ---------------------------------------------------------------------------------------
# Report.


def runs_of(runs: Sequence[Run], server: str, case: str) -> list[Run]:
    """The runs of one server and case, in the order of the rounds."""
    return [one for one in runs if one.server == server and one.case == case]


def cost(runs: Sequence[Run], server: str, case: str) -> float | None:
    """CPU microseconds per query, median of the rounds, or None without runs."""
    return median(found) if (found := [one.micros for one in runs_of(runs, server, case)]) else None


def ratio(runs: Sequence[Run], top: tuple[str, str], bottom: tuple[str, str]) -> float | None:
    """The cost of one (server, case) divided by another one: the median of the rounds' ratios."""
    above, below = runs_of(runs, *top), runs_of(runs, *bottom)
    if not above or not below:
        return None
    return median(a.micros / b.micros for a, b in zip(above, below, strict=True))


def _servers(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(one.server for one in runs))


def _cost_table(runs: Sequence[Run]) -> str:
    servers = _servers(runs)
    rows = []
    for case in CASES:
        cells, spreads = [case.title], [0.0]
        for server in servers:
            found = runs_of(runs, server, case.key)
            cells.append(_cost_cell(runs, server, case) if found else "-")
            if len(found) > 1:
                spreads.append(spread([one.micros for one in found]))
        rows.append([*cells, f"{max(spreads):.0%}" if len(spreads) > 1 else "-"])
    return table(("CPU µs per query", *(TITLES[s] for s in servers), "spread"), rows)


def _cost_cell(runs: Sequence[Run], server: str, case: Case) -> str:
    micros = number(cost(runs, server, case.key) or 0.0)
    # The floor has no manifests, so a row with changes is compared with its A hit.
    floor = "hit" if case.changes else case.key
    times = ratio(runs, (server, case.key), ("floor", floor))
    return micros if server == "floor" or times is None else f"{micros} ({times:.2f} x)"


def _rate_table(runs: Sequence[Run]) -> str:
    servers = _servers(runs)
    rows = []
    for case in CASES:
        cells = [case.title]
        for server in servers:
            found = runs_of(runs, server, case.key)
            if not found:
                cells.append("-")
                continue
            lost = sum(one.lost for one in found)
            qps = number(median(one.qps for one in found), 0)
            cells.append(f"{qps} ({lost} lost)" if lost else qps)
        rows.append(cells)
    return table(("queries per second", *(TITLES[s] for s in servers)), rows)


def goals_of(runs: Sequence[Run]) -> list[Goal]:
    """The goals with the figures of these runs."""

    def of_hit(case: str) -> float | None:
        return ratio(runs, ("dnsd", case), ("dnsd", "hit"))

    def against(other: str, case: str) -> float | None:
        return ratio(runs, ("dnsd", case), (other, case))

    return [
        Goal("A hit, times the floor", 1.3, against("floor", "hit")),
        Goal("A hit, times NSD", 1.0, against("nsd", "hit")),
        *_against_before(runs),
        Goal("A hit of all endpoints, times the floor", 1.3, against("floor", "wide")),
        Goal("A hit of all endpoints, times NSD", 1.0, against("nsd", "wide")),
        Goal("A hit with a cookie, times the A hit", 1.15, of_hit("cookie")),
        Goal("A hit with padding, times the A hit", 1.15, of_hit("padding")),
        Goal("NXDOMAIN, times the A hit", 1.2, of_hit("nxdomain")),
        Goal("NODATA, times the A hit", 1.5, of_hit("nodata")),
        Goal("SRV, times the A hit", 1.5, of_hit("srv")),
    ]


def _against_before(runs: Sequence[Run]) -> list[Goal]:
    if not runs_of(runs, BEFORE, "hit"):
        return []
    return [
        Goal(
            f"{case.title}, times dnsd before",
            1.02,
            ratio(runs, ("dnsd", case.key), (BEFORE, case.key)),
        )
        for case in CASES
    ]


def report(runs: Sequence[Run], population: names.Population) -> str:
    """The block for docs/performance.md."""
    rounds = len(runs_of(runs, runs[0].server, runs[0].case))
    paragraphs = [
        f"{population.services:,} Services with {population.endpoints} endpoints each,"
        f" {rounds} rounds. (n x): times the floor. Spread: the difference between the largest and"
        " the smallest round, divided by the median; the largest of the servers in the row.",
        _cost_table(runs),
        _rate_table(runs),
    ]
    paragraphs += _cost_by_process(runs)
    paragraphs.append(goal_table(goals_of(runs)))
    paragraphs += noise(one.others for one in runs)
    return "\n\n".join(paragraphs)


def _cost_by_process(runs: Sequence[Run]) -> list[str]:
    # The shares of the control process and of the worker, without and with changes.
    def micros(found: Sequence[Run]) -> tuple[float, float]:
        control = median(one.control_cpu / one.completed * 1e6 for one in found)
        return control, median(one.micros - one.control_cpu / one.completed * 1e6 for one in found)

    quiet, changing = runs_of(runs, "dnsd", "hit"), runs_of(runs, "dnsd", "changing")
    if not quiet or not changing:
        return []
    (control, worker), (busy_control, busy_worker) = micros(quiet), micros(changing)
    return [
        "The figures of dnsd are those of all its processes, with the admin API and metrics on."
        f" An A hit costs {worker:.2f} µs in the worker and {control:.2f} µs in the control"
        f" process; while manifests change {CHANGES} times per second, {busy_worker:.2f} µs and"
        f" {busy_control:.2f} µs."
    ]
