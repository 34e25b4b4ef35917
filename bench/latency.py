"""Latency of a client at a low, fixed rate: 10,000 queries per second.

In `bench/` (measurements). Change here: the rows of the latency table and their goals.

The probe (probe.c) sends at fixed times, independent of the replies. A server that stalls delays
many queries, and each of them counts. The queries are those of pods: one third for existing
addresses, one third for AAAA records that do not exist (NODATA), and one third for names from a
search list (NXDOMAIN).

Servers run on all cores, and the probe on one of them. dnsd is measured without changes, with 50
changed manifests per second, and with these changes and all its processes on one core, which
changes and answers then share.

Latency shows the scheduling of the hypervisor more than any other figure. So the bench keeps the
cores awake (`native.cores_awake`), and reports the *middle second* beside the p99 of the whole run:
the median of the p99 values of all seconds.
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
from bench.table import Goal, goal_table, noise, number, percentile, table

QPS = 10_000
MIX = ("hit", "nodata", "nxdomain")


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table: the server, changes per second, and whether it has only one core."""

    server: str
    changes: int = 0
    one_core: bool = False

    @property
    def title(self) -> str:
        parts = [TITLES[self.server]]
        if self.changes:
            parts.append(f"{self.changes} changes per second")
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
    """One setting in one round; times in microseconds."""

    setting: Setting
    sent: int
    lost: int
    p50: float
    p99: float
    middle: float  # the median of the p99 values of all seconds
    p999: float
    worst: float
    late: float  # the largest delay of the probe behind its schedule
    cpu: float  # CPU microseconds of the server per answered query
    others: float  # cores that other processes used


def summary(setting: Setting, samples: native.Samples, usage: procs.Usage) -> Run:
    """The figures of one run. Raises `BenchError` without replies."""
    found = samples.latencies
    if not found:
        raise BenchError(f"{setting.title}: no reply arrived")
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
        usage.total / samples.answered * 1e6,
        usage.others,
    )


def run(
    site: Site, servers: Sequence[str], rounds: int, seconds: int, progress: Callable[[str], None]
) -> list[Run]:
    """Run all rounds of all settings. Only one server runs at a time."""
    queries = site.work / "queries-mix"
    names.write_queries(queries, names.questions(site.population, MIX, 30_000))
    runs: list[Run] = []
    generation = 0
    with native.cores_awake(site.work):
        for n, setting in itertools.product(range(rounds), settings(servers)):
            on = [procs.server_core()] if setting.one_core else procs.cores()
            with serving(setting.server, site, on) as server:
                generation, one = _measure(site, server, setting, queries, seconds, generation)
            runs.append(one)
            progress(
                f"latency {n + 1}/{rounds} {setting.title:40} p50 {one.p50:.0f} µs"
                f" p99 {one.p99:.0f} µs (middle second {one.middle:.0f}) p99.9 {one.p999:.0f} µs"
            )
    return runs


def _measure(
    site: Site, server: Server, setting: Setting, queries: Path, seconds: int, generation: int
) -> tuple[int, Run]:
    native.probe(site.work, server.port, QPS, 1, queries)  # warm up: caches, branch predictors
    writing = (
        changes(site, server, setting.changes, generation) if setting.changes else nullcontext(None)
    )
    with writing as writer:
        samples, usage = procs.usage_of(
            server.pids(), lambda: native.probe(site.work, server.port, QPS, seconds, queries)
        )
    return writer.generation if writer else generation, summary(setting, samples, usage)


def report(runs: Sequence[Run], population: names.Population) -> str:
    """The block for docs/performance.md, with the medians of the rounds."""
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
    head = ("µs", "p50", "p99", "middle second", "p99.9", "worst", "lost", "CPU µs per query")
    late = max(one.late for one in runs)
    goal = by_setting.get(GOAL, ())
    lost = sum(one.lost for one in goal)
    p99 = median(o.p99 for o in goal) / 1e3 if goal else None
    middle = median(o.middle for o in goal) / 1e3 if goal else None
    return "\n\n".join(
        (
            f"{QPS:,} queries per second to {population.services:,} Services, {rounds} rounds,"
            " medians. *Middle second* is the median of the p99 values of all seconds, and *worst*"
            " the median of the worst of each round. *Lost* counts all rounds. The probe was at"
            f" most {number(late, 0)} µs behind its schedule.",
            table(head, rows),
            goal_table(
                [
                    Goal(f"p99 at {QPS:,} qps with {CHANGES} changes/s", 0.5, p99, "ms"),
                    Goal("p99 of the middle second with these changes", 0.5, middle, "ms"),
                    Goal("queries lost with these changes", 0, lost if p99 is not None else None),
                ]
            ),
            *noise(one.others for one in runs),
        )
    )
