"""What an answered query costs: CPU time of the server, and how many it answers a second.

The server has one core to itself, dnsperf another. dnsperf keeps a fixed number of queries
under way and sends the next when a reply comes, so it offers what the pair can carry and
nothing is lost. What is compared is the server's CPU time divided by the replies, which
stays right when dnsperf is the slower of the two; queries a second are printed beside it.

All servers run all the time, and a round asks each of them every case before the next
round begins. A ratio is taken within its round; the table shows the median of the rounds.
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
from bench.peers import TITLES, Server, Site, serving
from bench.procs import BenchError
from bench.table import Goal, goals, noise, number, spread, table

OUTSTANDING = 100  # queries under way at once; with 200 Knot loses some
SOCKETS = 4
QUERIES = 10_000  # lines of a query file


@dataclass(frozen=True, slots=True)
class Case:
    """A row: what is asked, dnsperf's flags, the code expected.

    `forwarder` is a case of names.question, or "endpoint" for each endpoint's name in turn.
    `changes` a second are made to the manifests meanwhile; such a row is dnsd's alone.
    """

    key: str
    title: str
    forwarder: str
    rcode: str = "NOERROR"
    flags: tuple[str, ...] = ()
    changes: int = 0

    def asked(self, population: names.Population, count: int) -> list[names.Question]:
        """`count` questions; all there are (fewer or more) of endpoints."""
        if self.forwarder == "endpoint":
            return names.endpoint_questions(population)
        return names.questions(population, (self.forwarder,), count)


CASES = (
    Case("hit", "A hit", "hit"),
    Case("wide", "A hit, all endpoints", "endpoint"),
    Case("changing", f"A hit, {CHANGES} changes/s", "hit", changes=CHANGES),
    Case("edns", "A hit, EDNS", "hit", flags=("-e",)),
    Case("cookie", "A hit, cookie", "hit", flags=("-e", "-E", "10:0123456789abcdef")),
    Case("nxdomain", "NXDOMAIN", "nxdomain", "NXDOMAIN"),
    Case("nodata", "NODATA", "nodata"),
    Case("srv", "SRV", "srv"),
    Case("tcp", "A hit, TCP", "hit", flags=("-m", "tcp")),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One server asked one case for a while. CPU in seconds; `others` in cores."""

    server: str
    case: str
    completed: int
    lost: int
    qps: float
    cpu: float
    control_cpu: float  # the process we started; for dnsd the one without the sockets' work
    others: float

    @property
    def micros(self) -> float:
        """CPU microseconds an answered query."""
        return self.cpu / self.completed * 1e6


@dataclass(frozen=True, slots=True)
class Performed:
    """What dnsperf says at its end."""

    completed: int
    lost: int
    qps: float
    codes: dict[str, int]


_COMPLETED = re.compile(r"Queries completed:\s+(\d+)")
_LOST = re.compile(r"Queries lost:\s+(\d+)")
_QPS = re.compile(r"Queries per second:\s+([\d.]+)")
_CODES = re.compile(r"Response codes:\s+(.*)")
_CODE = re.compile(r"([A-Z0-9]+) (\d+) \(")


def read_dnsperf(printed: str) -> Performed:
    """The figures in dnsperf's output. Raises `BenchError` when one is not there."""
    found = [pattern.search(printed) for pattern in (_COMPLETED, _LOST, _QPS, _CODES)]
    completed, lost, qps, codes = found
    if completed is None or lost is None or qps is None or codes is None:
        raise BenchError(f"dnsperf printed no figures: {printed.strip()[-500:]}")
    return Performed(
        int(completed[1]),
        int(lost[1]),
        float(qps[1]),
        {name: int(count) for name, count in _CODE.findall(codes[1])},
    )


def _dnsperf(port: int, queries: Path, case: Case, seconds: int) -> Performed:
    program = shutil.which("dnsperf")
    if program is None:
        raise BenchError("dnsperf is not installed")
    load = ("-c", SOCKETS, "-T", 1, "-q", OUTSTANDING, "-l", seconds, "-t", 2, "-b", 208)
    bound = ("taskset", "-c", procs.client_core())
    argv = (*bound, program, "-s", procs.LOOPBACK, "-p", port, "-d", queries, *load, *case.flags)
    return read_dnsperf(procs.output([str(one) for one in argv], seconds + 30))


def measure(server: Server, queries: Path, case: Case, seconds: int) -> Run:
    """Runs one case. Raises `BenchError` when a reply has the wrong code."""
    done, bill = procs.billed(server.pids(), lambda: _dnsperf(server.port, queries, case, seconds))
    if server.name != "floor" and set(done.codes) != {case.rcode}:
        raise BenchError(f"{server.title}, {case.title}: replies were {done.codes}")
    if not done.completed:
        raise BenchError(f"{server.title}, {case.title}: no replies")
    control = bill.spent[server.process.pid]
    return Run(
        server.name,
        case.key,
        done.completed,
        done.lost,
        done.qps,
        bill.total,
        control,
        bill.others,
    )


def run(
    site: Site, servers: Sequence[str], rounds: int, seconds: int, say: Callable[[str], None]
) -> list[Run]:
    """All rounds of all cases for all servers, interleaved."""
    files = {case.key: site.work / f"queries-{case.key}" for case in CASES}
    for case in CASES:
        names.write_queries(files[case.key], case.asked(site.population, QUERIES))
    runs: list[Run] = []
    generation = 0
    with ExitStack() as stack:
        core = [procs.server_core()]
        up = [stack.enter_context(serving(name, site, core)) for name in servers]
        for server in up:
            _warm(site, server, files[CASES[0].key])
        for n in range(rounds):
            for case in CASES:
                for server in up if not case.changes else _only_dnsd(up):
                    with ExitStack() as meanwhile:
                        if case.changes:
                            writing = changes(site, server, case.changes, generation)
                            writer = meanwhile.enter_context(writing)
                        one = measure(server, files[case.key], case, seconds)
                    generation = writer.generation if case.changes else generation
                    runs.append(one)
                    say(
                        f"cpu {n + 1}/{rounds} {case.title:20} {server.title:15}"
                        f" {one.micros:6.2f} µs {one.qps:9,.0f} qps"
                    )
    return runs


def _only_dnsd(servers: Sequence[Server]) -> list[Server]:
    return [server for server in servers if server.name == "dnsd"]


def _warm(site: Site, server: Server, queries: Path) -> None:
    # Right answers first. The first queries find cold caches; nobody is measured by them.
    if server.name != "floor":
        for case in CASES:
            wire.check(server.title, server.port, case.asked(site.population, 200)[:200])
    measure(server, queries, CASES[0], 1)


# ---------------------------------------------------------------------------------------
# What came out.


def picked(runs: Sequence[Run], server: str, case: str) -> list[Run]:
    """The runs of one server and case, in the order of the rounds."""
    return [one for one in runs if one.server == server and one.case == case]


def cost(runs: Sequence[Run], server: str, case: str) -> float | None:
    """CPU microseconds a query, median of the rounds; None when there were none."""
    return median(found) if (found := [one.micros for one in picked(runs, server, case)]) else None


def ratio(runs: Sequence[Run], top: tuple[str, str], bottom: tuple[str, str]) -> float | None:
    """The cost of one (server, case) in that of another: each round's ratio, their median."""
    above, below = picked(runs, *top), picked(runs, *bottom)
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
            found = picked(runs, server, case.key)
            cells.append(_cost_cell(runs, server, case) if found else "-")
            if len(found) > 1:
                spreads.append(spread([one.micros for one in found]))
        rows.append([*cells, f"{max(spreads):.0%}" if len(spreads) > 1 else "-"])
    return table(("CPU µs a query", *(TITLES[s] for s in servers), "spread"), rows)


def _cost_cell(runs: Sequence[Run], server: str, case: Case) -> str:
    micros = number(cost(runs, server, case.key) or 0.0)
    # The floor has no manifests: what changes is set against what it does without.
    floor = "hit" if case.changes else case.key
    times = ratio(runs, (server, case.key), ("floor", floor))
    return micros if server == "floor" or times is None else f"{micros} ({times:.2f} x)"


def _rate_table(runs: Sequence[Run]) -> str:
    servers = _servers(runs)
    rows = []
    for case in CASES:
        cells = [case.title]
        for server in servers:
            found = picked(runs, server, case.key)
            if not found:
                cells.append("-")
                continue
            lost = sum(one.lost for one in found)
            qps = number(median(one.qps for one in found), 0)
            cells.append(f"{qps} ({lost} lost)" if lost else qps)
        rows.append(cells)
    return table(("queries a second", *(TITLES[s] for s in servers)), rows)


def promises(runs: Sequence[Run]) -> list[Goal]:
    """The goals that these runs decide."""

    def of_hit(case: str) -> float | None:
        return ratio(runs, ("dnsd", case), ("dnsd", "hit"))

    def against(other: str, case: str) -> float | None:
        return ratio(runs, ("dnsd", case), (other, case))

    return [
        Goal("A hit, times the floor", 1.3, against("floor", "hit")),
        Goal("A hit, times NSD", 1.0, against("nsd", "hit")),
        Goal("A hit of all endpoints, times the floor", 1.3, against("floor", "wide")),
        Goal("A hit of all endpoints, times NSD", 1.0, against("nsd", "wide")),
        Goal("A hit with a cookie, times the A hit", 1.15, of_hit("cookie")),
        Goal("NXDOMAIN, times the A hit", 1.2, of_hit("nxdomain")),
        Goal("NODATA, times the A hit", 1.5, of_hit("nodata")),
        Goal("SRV, times the A hit", 1.5, of_hit("srv")),
    ]


def report(runs: Sequence[Run], population: names.Population) -> str:
    """The block for docs/performance.md."""
    rounds = len(picked(runs, runs[0].server, runs[0].case))
    paragraphs = [
        f"{population.services:,} Services with {population.endpoints} endpoints each,"
        f" {rounds} rounds; (n x): times the floor; spread: the widest of the row's servers,"
        " largest less smallest round by the median.",
        _cost_table(runs),
        _rate_table(runs),
    ]
    paragraphs += _by_plane(runs)
    paragraphs.append(goals(promises(runs)))
    paragraphs += noise(one.others for one in runs)
    return "\n\n".join(paragraphs)


def _by_plane(runs: Sequence[Run]) -> list[str]:
    # How dnsd's figure divides between control process and worker, quiet and changing.
    def micros(found: Sequence[Run]) -> tuple[float, float]:
        control = median(one.control_cpu / one.completed * 1e6 for one in found)
        return control, median(one.micros - one.control_cpu / one.completed * 1e6 for one in found)

    quiet, changing = picked(runs, "dnsd", "hit"), picked(runs, "dnsd", "changing")
    if not quiet or not changing:
        return []
    (control, worker), (busy_control, busy_worker) = micros(quiet), micros(changing)
    return [
        "dnsd's figures are those of all its processes, admin API and metrics on. Of an A hit's,"
        f" the worker has {worker:.2f} µs and the control process {control:.2f} µs; while"
        f" manifests change {CHANGES} times a second, {busy_worker:.2f} µs and"
        f" {busy_control:.2f} µs."
    ]
