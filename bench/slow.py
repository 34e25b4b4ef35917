"""What slow TCP clients cost those who ask over UDP.

dnsd is asked as for the latency (`latency.py`), quiet, and then while 2,000 TCP connections
are held by one who sends an octet to each a second (trickle.c) and opens again what
dnsd closes. The limits of dnsd are out of the way: that it would close most of such connections of
one client is not what is measured. dnsd has a core and its clients have another, as they would
be on machines of their own: 2,000 connections that open at once are work for a client too.
"""

from __future__ import annotations

import itertools
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import latency, names, native, procs
from bench.peers import Site, serving
from bench.procs import BenchError
from bench.table import Goal, goals, noise, number, table

CLIENTS = 2_000
LIMITS = ("--tcp-max-connections", str(2 * CLIENTS), "--tcp-max-per-client", str(2 * CLIENTS))
_FILES = 2 * CLIENTS + 1_000  # open files that dnsd may need
_OPENING = 30.0  # seconds that all connections may take to open
_LONGEST = 3_600  # seconds that they are held
# A connection that lives shorter than this was not held, but refused: dnsd lets the beginning of a
# message wait for five.
_LEAST_LIFE = 3.0


@dataclass(slots=True)
class Trickle:
    """What became of the slow clients, known once they have ended."""

    seconds: float = 0.0
    octets: int = 0
    reopened: int = 0

    @property
    def life(self) -> float:
        """Seconds that a connection lived, about; all of them when none was closed."""
        return CLIENTS * self.seconds / self.reopened if self.reopened else self.seconds


@contextmanager
def trickling(work: Path, port: int) -> Iterator[Trickle]:
    """Holds CLIENTS slow connections meanwhile. Raises `BenchError` when they do not open."""
    program = native.compiled("trickle", work)
    log = work / f"trickle-{time.monotonic_ns()}.log"
    trickle = Trickle()
    arguments = (port, CLIENTS, _LONGEST, procs.client_core())
    with procs.running([str(program), *map(str, arguments)], log) as process:
        end = time.monotonic() + _OPENING
        while "open\n" not in log.read_text():
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text().strip() or "it printed nothing"
                raise BenchError(f"{CLIENTS} TCP connections cannot be opened: {said}")
            time.sleep(0.01)
        yield trickle
    said = json.loads(log.read_text().splitlines()[-1])
    trickle.seconds, trickle.octets = said["seconds"], said["octets"]
    trickle.reopened = said["reopened"]


@dataclass(frozen=True, slots=True)
class Run:
    """One round: with slow clients or without. `life`: seconds a slow connection lived."""

    slow: bool
    seen: latency.Run
    life: float = 0.0


def run(
    site: Site, servers: Sequence[str], rounds: int, seconds: int, say: Callable[[str], None]
) -> list[Run]:
    """All rounds, each with a dnsd of its own; none when dnsd is not among the servers."""
    if "dnsd" not in servers:
        return []
    allow_files()
    queries = site.work / "queries-mix"
    names.write_queries(queries, names.questions(site.population, latency.MIX, 30_000))
    runs: list[Run] = []
    with native.awake(site.work):
        for n, slow in itertools.product(range(rounds), (False, True)):
            with serving("dnsd", site, [procs.server_core()], LIMITS) as server:
                one = _measure(site, server.port, server.pids(), slow, queries, seconds)
            runs.append(one)
            say(
                f"slow {n + 1}/{rounds} {_title(slow):28} p50 {one.seen.p50:.0f} µs"
                f" p99 {one.seen.p99:.0f} µs (middle second {one.seen.middle:.0f})"
                + (f", a connection lived {one.life:.1f} s" if slow else "")
            )
    return runs


def allow_files() -> None:
    """Lets the servers that are started from here have as many files open as they need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        raise BenchError(f"{_FILES} open files are needed, {hard} are allowed: ulimit -Hn")
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


def _measure(
    site: Site, port: int, pids: Sequence[int], slow: bool, queries: Path, seconds: int
) -> Run:
    native.probe(site.work, port, latency.QPS, 1, queries)  # warm: caches, branch predictors
    with trickling(site.work, port) if slow else nullcontext(None) as trickle:
        samples, bill = procs.billed(
            pids, lambda: native.probe(site.work, port, latency.QPS, seconds, queries)
        )
    seen = latency.summary(latency.Setting("dnsd"), samples, bill)
    if trickle is None:
        return Run(slow, seen)
    if trickle.life < min(_LEAST_LIFE, trickle.seconds):
        raise BenchError(f"slow connections were closed after {trickle.life:.1f} s, not held")
    return Run(slow, seen, trickle.life)


def _title(slow: bool) -> str:
    return f"dnsd, {CLIENTS:,} slow TCP clients" if slow else "dnsd"


def report(runs: Sequence[Run], population: names.Population) -> str:
    """The block for docs/performance.md: medians of the rounds."""
    by_kind = {slow: [one for one in runs if one.slow == slow] for slow in (False, True)}
    rows = [
        (
            _title(slow),
            *(
                number(median(getattr(one.seen, part) for one in found), 0)
                for part in ("p50", "p99", "middle", "p999", "worst")
            ),
            number(sum(one.seen.lost for one in found), 0),
            number(median(one.seen.cpu for one in found)),
        )
        for slow, found in by_kind.items()
        if found
    ]
    head = ("µs", "p50", "p99", "middle second", "p99.9", "worst", "lost", "CPU µs a query")
    slow, quiet = by_kind[True], by_kind[False]
    ratios = {
        part: median(getattr(one.seen, part) for one in slow)
        / median(getattr(one.seen, part) for one in quiet)
        if slow and quiet
        else None
        for part in ("p99", "middle")
    }
    lives = [one.life for one in slow]
    return "\n\n".join(
        (
            f"{latency.QPS:,} queries a second over UDP to {population.services:,} Services,"
            f" {len(quiet)} rounds, medians."
            + (f" A slow connection lived {number(median(lives), 1)} s." if lives else ""),
            table(head, rows),
            goals(
                [
                    Goal("p99 with the slow clients, times the quiet one", 2, ratios["p99"]),
                    Goal("the same, in the middle second", 2, ratios["middle"]),
                ]
            ),
            *(noise(one.seen.others for one in runs) if runs else ()),
        )
    )
