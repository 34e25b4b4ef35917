"""How long a client waits at a load that is no load: 10,000 queries a second, paced.

The probe (probe.c) sends at fixed times whatever the server does, so a server that stalls
keeps many waiting and every one of them counts. Asked is what pods ask: a third addresses
that exist, a third AAAA that do not (NODATA), a third names from a search list (NXDOMAIN).

Servers run on all cores, as they would, and the probe on one. dnsd is measured quiet, then
while manifests are rewritten 50 times a second, and a third time so with all its processes
on one core, where every change must share it with the answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import names, native, procs, wire
from bench.peers import TITLES, Server, Site, serving
from bench.procs import BenchError
from bench.table import Goal, goals, noise, number, percentile, table

QPS = 10_000
CHANGES = 50  # a second
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
    p999: float
    worst: float
    late: float  # the most that the probe lagged behind its own pace
    cpu: float  # CPU microseconds of the server an answered query
    others: float  # cores that other processes used


class Writer:
    """Rewrites the changing Services' manifests in turn, at a pace, in a thread of its own.

    `failed` holds what went wrong in the thread; `generation` goes on from writer to writer.
    """

    def __init__(self, site: Site, pace: int, generation: int) -> None:
        self.written = 0
        self.generation = generation
        self.failed: OSError | None = None
        self._site, self._pace = site, pace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer")

    def _run(self) -> None:
        population, start = self._site.population, time.monotonic()
        while not self._stop.wait(start + self.written / self._pace - time.monotonic()):
            i = self.written % population.changing
            self.generation += i == 0
            try:
                names.write_change(population, self._site.manifests, i, self.generation)
            except OSError as error:
                self.failed = error
                return
            self.written += 1

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def last(self) -> names.Question:
        """What the last change must be seen by."""
        one = names.changing(
            self._site.population,
            (self.written - 1) % self._site.population.changing,
            self.generation,
        )
        return names.Question(one.host, "A", "NOERROR", one.address)


@contextmanager
def changes(site: Site, server: Server, pace: int, generation: int) -> Iterator[Writer]:
    """Manifests that change for as long as the block takes.

    Raises `BenchError` when the last change is not answered ten seconds after: a server that
    does not follow its manifests has no latency worth a figure.
    """
    with Writer(site, pace, generation) as writer:
        yield writer
    if writer.failed is not None:
        raise BenchError(f"cannot write manifests: {writer.failed}")
    alive = server.process.poll
    if wire.wait_right(server.port, writer.last(), lambda: alive() is None, 10) is None:
        raise BenchError(f"{server.title} does not answer {writer.last().name} as it now is")


def _summary(setting: Setting, samples: native.Samples, bill: procs.Bill) -> Run:
    found = samples.latencies
    if not found:
        raise BenchError(f"{setting.title}: no replies")
    p50, p99, p999, worst = (percentile(found, part) / 1e3 for part in (0.5, 0.99, 0.999, 1.0))
    return Run(
        setting,
        samples.sent,
        samples.lost,
        p50,
        p99,
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
    for n in range(rounds):
        for setting in settings(servers):
            on = [procs.server_core()] if setting.one_core else procs.cores()
            with serving(setting.server, site, on) as server:
                generation, one = _measure(site, server, setting, queries, seconds, generation)
            runs.append(one)
            say(
                f"latency {n + 1}/{rounds} {setting.title:40} p50 {one.p50:.0f} µs"
                f" p99 {one.p99:.0f} µs p99.9 {one.p999:.0f} µs"
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
    return writer.generation if writer else generation, _summary(setting, samples, bill)


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
                for part in ("p50", "p99", "p999", "worst")
            ),
            number(sum(o.lost for o in found), 0),
            number(median(o.cpu for o in found)),
        )
        for setting, found in by_setting.items()
    ]
    head = ("µs", "p50", "p99", "p99.9", "worst", "lost", "CPU µs a query")
    late = max(one.late for one in runs)
    lost = sum(one.lost for one in by_setting.get(GOAL, ()))
    p99 = median(o.p99 for o in by_setting[GOAL]) / 1e3 if GOAL in by_setting else None
    return "\n\n".join(
        (
            f"{QPS:,} queries a second to {population.services:,} Services, {rounds} rounds,"
            " medians; *worst* is the median of each round's worst, *lost* counts all rounds."
            f" The probe itself was never more than {number(late, 0)} µs behind its pace.",
            table(head, rows),
            goals(
                [
                    Goal(f"p99 at {QPS:,} qps with {CHANGES} changes a second", 0.5, p99, "ms"),
                    Goal("queries lost meanwhile", 0, lost if p99 is not None else None),
                ]
            ),
            *noise(one.others for one in runs),
        )
    )
