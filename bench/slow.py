"""Latency over UDP while slow TCP clients hold 2,000 connections.

In `bench/` (measurements). Change here: the load of slow clients, and its goals.

dnsd gets the queries of `latency.py`, first without and then with the slow clients. One program
(trickle.c) holds 2,000 TCP connections, sends one octet per second on each, and reopens those that
dnsd closes. The limits of dnsd per client are raised, because they would close most of these
connections. dnsd has one core and its clients have the other one, because 2,000 new connections are
work for the client too.
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
from bench.table import Goal, goal_table, noise, number, table

CLIENTS = 2_000
LIMITS = ("--tcp-max-connections", str(2 * CLIENTS), "--tcp-max-per-client", str(2 * CLIENTS))
_FILES = 2 * CLIENTS + 1_000  # open files that dnsd may need
_OPEN_TIMEOUT = 30.0  # seconds until all connections must be open
_MAX_SECONDS = 3_600  # seconds that the connections are held
# Seconds. dnsd waits 5 s for the rest of a message, so it refused connections with a shorter life.
_MIN_LIFETIME = 3.0


@dataclass(slots=True)
class SlowClients:
    """The figures of the slow clients, set when they have ended."""

    seconds: float = 0.0
    octets: int = 0
    reopened: int = 0

    @property
    def lifetime(self) -> float:
        """Mean seconds that a connection lived; the whole time if none was closed."""
        return CLIENTS * self.seconds / self.reopened if self.reopened else self.seconds


@contextmanager
def slow_clients(work: Path, port: int) -> Iterator[SlowClients]:
    """Hold CLIENTS slow connections during the block. Raises `BenchError`."""
    program = native.compile_program("trickle", work)
    log = work / f"trickle-{time.monotonic_ns()}.log"
    clients = SlowClients()
    arguments = (port, CLIENTS, _MAX_SECONDS, procs.client_core())
    with procs.running([str(program), *map(str, arguments)], log) as process:
        end = time.monotonic() + _OPEN_TIMEOUT
        while "open\n" not in log.read_text():
            if process.poll() is not None or time.monotonic() > end:
                printed = log.read_text().strip() or "it printed nothing"
                raise BenchError(f"{CLIENTS} TCP connections cannot be opened: {printed}")
            time.sleep(0.01)
        yield clients
    result = json.loads(log.read_text().splitlines()[-1])
    clients.seconds, clients.octets = result["seconds"], result["octets"]
    clients.reopened = result["reopened"]


@dataclass(frozen=True, slots=True)
class Run:
    """One round with or without slow clients. `lifetime`: mean seconds of a slow connection."""

    slow: bool
    udp: latency.Run
    lifetime: float = 0.0


def run(
    site: Site, servers: Sequence[str], rounds: int, seconds: int, progress: Callable[[str], None]
) -> list[Run]:
    """Run all rounds, each with a new dnsd; none if dnsd is not among the servers."""
    if "dnsd" not in servers:
        return []
    allow_files()
    queries = site.work / "queries-mix"
    names.write_queries(queries, names.questions(site.population, latency.MIX, 30_000))
    runs: list[Run] = []
    with native.cores_awake(site.work):
        for n, slow in itertools.product(range(rounds), (False, True)):
            with serving("dnsd", site, [procs.server_core()], LIMITS) as server:
                one = _measure(site, server.port, server.pids(), slow, queries, seconds)
            runs.append(one)
            progress(
                f"slow {n + 1}/{rounds} {_title(slow):28} p50 {one.udp.p50:.0f} µs"
                f" p99 {one.udp.p99:.0f} µs (middle second {one.udp.middle:.0f})"
                + (f", a connection lived {one.lifetime:.1f} s" if slow else "")
            )
    return runs


def allow_files() -> None:
    """Raise the limit of open files for the servers that this process starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        raise BenchError(
            f"the bench needs {_FILES} open files, and the limit is {hard}; raise ulimit -Hn"
        )
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


def _measure(
    site: Site, port: int, pids: Sequence[int], slow: bool, queries: Path, seconds: int
) -> Run:
    native.probe(site.work, port, latency.QPS, 1, queries)  # warm up: caches, branch predictors
    with slow_clients(site.work, port) if slow else nullcontext(None) as clients:
        samples, usage = procs.usage_of(
            pids, lambda: native.probe(site.work, port, latency.QPS, seconds, queries)
        )
    udp = latency.summary(latency.Setting("dnsd"), samples, usage)
    if clients is None:
        return Run(slow, udp)
    if clients.lifetime < min(_MIN_LIFETIME, clients.seconds):
        raise BenchError(f"dnsd closed slow connections after {clients.lifetime:.1f} s")
    return Run(slow, udp, clients.lifetime)


def _title(slow: bool) -> str:
    return f"dnsd, {CLIENTS:,} slow TCP clients" if slow else "dnsd"


def report(runs: Sequence[Run], population: names.Population) -> str:
    """The block for docs/performance.md, with the medians of the rounds."""
    by_kind = {slow: [one for one in runs if one.slow == slow] for slow in (False, True)}
    rows = [
        (
            _title(slow),
            *(
                number(median(getattr(one.udp, part) for one in found), 0)
                for part in ("p50", "p99", "middle", "p999", "worst")
            ),
            number(sum(one.udp.lost for one in found), 0),
            number(median(one.udp.cpu for one in found)),
        )
        for slow, found in by_kind.items()
        if found
    ]
    head = ("µs", "p50", "p99", "middle second", "p99.9", "worst", "lost", "CPU µs per query")
    slow, quiet = by_kind[True], by_kind[False]
    ratios = {
        part: median(getattr(one.udp, part) for one in slow)
        / median(getattr(one.udp, part) for one in quiet)
        if slow and quiet
        else None
        for part in ("p99", "middle")
    }
    lifetimes = [one.lifetime for one in slow]
    return "\n\n".join(
        (
            f"{latency.QPS:,} queries per second over UDP to {population.services:,} Services,"
            f" {len(quiet)} rounds, medians."
            + (f" A slow connection lived {number(median(lifetimes), 1)} s." if lifetimes else ""),
            table(head, rows),
            goal_table(
                [
                    Goal("p99 with slow clients, times without", 2, ratios["p99"]),
                    Goal("p99 of the middle second, times without", 2, ratios["middle"]),
                ]
            ),
            *(noise(one.udp.others for one in runs) if runs else ()),
        )
    )
