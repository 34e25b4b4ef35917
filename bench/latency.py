"""How long a client waits at a load that is no load: 10,000 queries a second, paced.

The probe (probe.c) sends at fixed times whatever the server does, so a server that stalls
keeps many waiting and every one of them counts. Asked is what pods ask: a third addresses
that exist, a third AAAA that do not (NODATA), a third names from a search list (NXDOMAIN).

Servers run on all cores, as they would, and the probe on one. dnsd is measured quiet, then
while manifests are rewritten 50 times a second, and a third time so with all its processes
on one core, where every change must share it with the answers.

On a machine that is shared with others, what the hypervisor does with the cores is seen here
as nowhere else. So cores are kept awake (`native.awake`), and besides the p99 of a whole run
there is that of its middle second: each second has its p99, and this is their median.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import names, native, procs
from bench.churn import CHANGES, changes
from bench.peers import TITLES, Server, Site, serving
from bench.procs import BenchError
from bench.table import Goal, goals, noise, number, percentile, table

QPS = 10_000
MIX = ("hit", "nodata", "nxdomain")


@dataclass(frozen=True, slots=True)
class Setting:
    """A row: which server, changes a second, whether it has but one core."""

    server: str
    changes: int = 0
    one_core: bool = False

    @property
    def title(self) -> str:
        parts = [TITLES[self.server]]
        if self.changes:
            parts.append(f"{self.changes} changes a second")
        if self.one_core:
            parts.append("one core")
        return ", ".join(parts)


GOAL = Setting("dnsd", CHANGES)


def settings(servers: Sequence[str]) -> list[Setting]:
    """The rows for these servers."""
    rows = [Setting(name) for name in servers]
    if "dnsd" in servers:
        rows += [GOAL, Setting("dnsd", CHANGES, one_core=True)]
    return rows


@dataclass(frozen=True, slots=True)
class Run:
    """One setting, one round; times in microseconds."""

    setting: Setting
    sent: int
    lost: int
    p50: float
    p99: float
    middle: float  # the median of the seconds' p99
    p999: float
    worst: float
    late: float  # the most that the probe lagged behind its own pace
    cpu: float  # CPU microseconds of the server an answered query
    others: float  # cores that other processes used


def summary(setting: Setting, samples: native.Samples, bill: procs.Bill) -> Run:
    """What one run comes to. Raises `BenchError` when nothing was answered."""
    found = samples.latencies
    if not found:
        raise BenchError(f"{setting.title}: no replies")
    p50, p99, p999, worst = (percentile(found, part) / 1e3 for part in (0.5, 0.99, 0.999, 1.0))
    each = [percentile(one, 0.99) / 1e3 for one in samples.seconds if one]
    return Run(
        setting,
        samples.sent,
        samples.lost,
        p50,
        p99,
        median(each) if each else p99,
        p999,
        worst,
        samples.late_ns / 1e3,
        bill.total / samples.answered * 1e6,
        bill.others,
    )


def run(
    site: Site, servers: Sequence[str], rounds: int, seconds: int, say: Callable[[str], None]
) -> list[Run]:
    """All rounds of all settings. Each has its server to itself: nobody else is running."""
    queries = site.work / "queries-mix"
    names.write_queries(queries, names.questions(site.population, MIX, 30_000))
    runs: list[Run] = []
    generation = 0
    with native.awake(site.work):
        for n, setting in itertools.product(range(rounds), settings(servers)):
            on = [procs.server_core()] if setting.one_core else procs.cores()
            with serving(setting.server, site, on) as server:
                generation, one = _measure(site, server, setting, queries, seconds, generation)
            runs.append(one)
            say(
                f"latency {n + 1}/{rounds} {setting.title:40} p50 {one.p50:.0f} µs"
                f" p99 {one.p99:.0f} µs (middle second {one.middle:.0f}) p99.9 {one.p999:.0f} µs"
            )
    return runs


def _measure(
    site: Site, server: Server, setting: Setting, queries: Path, seconds: int, generation: int
) -> tuple[int, Run]:
    native.probe(site.work, server.port, QPS, 1, queries)  # warm: caches, branch predictors
    writing = (
        changes(site, server, setting.changes, generation) if setting.changes else nullcontext(None)
    )
    with writing as writer:
        samples, bill = procs.billed(
            server.pids(), lambda: native.probe(site.work, server.port, QPS, seconds, queries)
        )
    return writer.generation if writer else generation, summary(setting, samples, bill)


def report(runs: Sequence[Run], population: names.Population) -> str:
    """The block for docs/performance.md: medians of the rounds."""
    by_setting: dict[Setting, list[Run]] = {}
    for one in runs:
        by_setting.setdefault(one.setting, []).append(one)
    rounds = max(len(found) for found in by_setting.values())
    rows = [
        (
            setting.title,
            *(
                number(median(getattr(o, part) for o in found), 0)
                for part in ("p50", "p99", "middle", "p999", "worst")
            ),
            number(sum(o.lost for o in found), 0),
            number(median(o.cpu for o in found)),
        )
        for setting, found in by_setting.items()
    ]
    head = ("µs", "p50", "p99", "middle second", "p99.9", "worst", "lost", "CPU µs a query")
    late = max(one.late for one in runs)
    goal = by_setting.get(GOAL, ())
    lost = sum(one.lost for one in goal)
    p99 = median(o.p99 for o in goal) / 1e3 if goal else None
    middle = median(o.middle for o in goal) / 1e3 if goal else None
    return "\n\n".join(
        (
            f"{QPS:,} queries a second to {population.services:,} Services, {rounds} rounds,"
            " medians; *middle second* is the median of the seconds' p99,"
            " *worst* that of each round's worst, *lost* counts all rounds."
            f" The probe itself was never more than {number(late, 0)} µs behind its pace.",
            table(head, rows),
            goals(
                [
                    Goal(f"p99 at {QPS:,} qps with {CHANGES} changes a second", 0.5, p99, "ms"),
                    Goal("the same, in the middle second", 0.5, middle, "ms"),
                    Goal("queries lost meanwhile", 0, lost if p99 is not None else None),
                ]
            ),
            *noise(one.others for one in runs),
        )
    )
