"""`python -m bench.kube`: start, memory, events, and a relist with an API server.

In `bench/` (measurements). Change here: what is measured of `dnsd serve --kubernetes`.

A fake API server (tests/fakekube, its own process) holds the Services and EndpointSlices, and
dnsd follows it with `--kubernetes`. The bench measures:

* the time from exec to the correct answer for the last Service;
* the memory of all processes of dnsd together (PSS): when idle, and the peak, which includes a
  relist;
* the time from the moment at which the API server sends an event to its answer;
* the p99 of queries during a relist, divided by the p99 without one.

The API server, both processes of dnsd, and the client share the cores. On few cores, the figures
of the relist depend on the fake server as much as on dnsd. A client that queries in a loop uses
the core that dnsd needs for the event: of one millisecond, a quarter was spent on these queries
(`perf sched`). So the bench queries each change once, at a random moment, and computes the time of
an event from the share of new answers at each moment (`time_of_share`). It also measures a client
that polls.
"""

from __future__ import annotations

import argparse
import math
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import native, peers, procs, wire
from bench.names import Question
from bench.procs import BenchError
from bench.table import PERFORMANCE, Goal, goal_table, machine, percentile, replace

TIMEOUT = 120.0  # seconds until an answer counts as missing
POLL_INTERVAL = 0.0002  # seconds between two queries of the client that polls
# The moment of a single query is random within one of these ranges, in turns; seconds.
DELAYS = ((0.0003, 0.002), (0.002, 0.008))
SAMPLE_INTERVAL = 0.25  # seconds between reads of the PSS; each stops a process for some ms


class Api:
    """The fake API server and its commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.kubeconfig = self._line()

    def command(self, *words: str) -> str:
        """The line that the server prints after a command."""
        assert self._process.stdin
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        if not line:
            raise BenchError("the fake API server ended")
        return line


@contextmanager
def api_server(services: int, endpoints: int, watch_list: str) -> Iterator[Api]:
    argv = [sys.executable, "-m", "tests.fakekube", "--services", str(services)]
    argv += ["--endpoints", str(endpoints), "--watch-list", watch_list]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Api(process)
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class Memory:
    """Samples the PSS of a process tree during the block; `peak` in bytes."""

    pid: int
    peak: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def now(self) -> int:
        return sum(procs.pss(pid) for pid in procs.tree(self.pid))

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_INTERVAL):
            self.peak = max(self.peak, self.now())


@dataclass(frozen=True)
class Results:
    """Figures in seconds and bytes; `polling`, `quiet`, and `relist` are sorted seconds.

    `samples`: seconds from an event to the reply, and whether it was the new answer.
    """

    services: int
    ready: float
    memory: int
    peak: int
    samples: tuple[tuple[float, bool], ...]
    polling: tuple[float, ...]
    quiet: tuple[float, ...]
    relist: tuple[float, ...]


def last_service(services: int) -> Question:
    number, spaces = services - 1, min(100, max(1, services // 10))
    address = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    name = f"service-{number}.ns-{number % spaces}.svc.cluster.local"
    return Question(name, "A", "NOERROR", address)


class Change:
    """A Service with a new address; `began` is when the API server sent the event."""

    def __init__(self, client: wire.Client, api: Api, n: int) -> None:
        address = f"10.{200 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
        self._client = client
        self._query = wire.query_packet("changing.default.svc.cluster.local", "A")
        self._new = bytes(int(part) for part in address.split("."))
        self.began = float(api.command("service", "changing", address))

    def query(self) -> tuple[float, bool]:
        """Query once: seconds from the event to the reply, and whether it is the new answer."""
        reply = self._client.exchange(self._query, 1.0)
        at = time.monotonic() - self.began
        return at, reply is not None and reply.endswith(self._new)

    def wait(self, interval: float) -> float:
        """Query every `interval` seconds until the answer is new; seconds since the event."""
        while time.monotonic() < self.began + TIMEOUT:
            at, new = self.query()
            if new:
                return at
            time.sleep(interval)
        raise BenchError(f"a change was not answered within {TIMEOUT:g} s")


def time_of_share(samples: Iterable[tuple[float, bool]], part: float) -> float:
    """Seconds after which this part of the replies is new, or infinity.

    The share of new answers can only grow with time, so it is estimated by isotonic regression
    (pool adjacent violators).
    """
    pools: list[tuple[float, int, int]] = []  # begin, new answers, answers
    for at, new in sorted(samples):
        pool = at, int(new), 1
        while pools and pools[-1][1] * pool[2] >= pool[1] * pools[-1][2]:
            since, news, count = pools.pop()
            pool = since, news + pool[1], count + pool[2]
        pools.append(pool)
    return next((since for since, new, count in pools if new >= part * count), math.inf)


def query_times(client: wire.Client, query: bytes, until: float) -> tuple[float, ...]:
    """Sorted seconds of queries, one after the other, until a moment (monotonic)."""
    found = []
    while (began := time.monotonic()) < until:
        if client.exchange(query, 2.0) is None:
            raise BenchError("a query was not answered within 2 s")
        found.append(time.monotonic() - began)
        time.sleep(0.0005)
    return tuple(sorted(found))


def run(services: int, endpoints: int, watch_list: str, changes: int) -> Results:
    """Measure one start, its memory, changes, and a relist during queries."""
    question, draw = last_service(services), random.Random(1035)
    with (
        tempfile.TemporaryDirectory() as folder,
        api_server(services, endpoints, watch_list) as api,
    ):
        port = procs.free_port()
        argv = [sys.executable, "-m", "dnsd", "serve", "--kubernetes"]
        argv += ["--kubeconfig", api.kubeconfig, "--listen", f"127.0.0.1:{port}"]
        argv += ["--admin", f"127.0.0.1:{procs.free_port()}"]
        argv += ["--state-dir", str(Path(folder) / "state")]
        began = time.monotonic()
        with (
            procs.running(argv, Path(folder) / "log") as process,
            Memory(process.pid) as memory,
            wire.Client(port) as client,
        ):
            at = wire.wait_until_correct(port, question, lambda: process.poll() is None, TIMEOUT)
            if at is None:
                raise BenchError(f"no answer: {(Path(folder) / 'log').read_text()[-2000:]}")
            procs.wait_until_idle(process.pid, TIMEOUT)
            steady = memory.now()
            once, polling = [], []
            with native.cores_awake(Path(folder)):
                for n in range(changes):
                    change = Change(client, api, n)
                    due = change.began + draw.uniform(*DELAYS[n % len(DELAYS)])
                    time.sleep(max(0.0, due - time.monotonic()))
                    once.append(change.query())
                    change.wait(0.005)
                    time.sleep(draw.uniform(0.005, 0.02))
                for n in range(changes, changes + changes // 4):
                    polling.append(Change(client, api, n).wait(POLL_INTERVAL))
                    time.sleep(draw.uniform(0.005, 0.02))
            query = wire.query_packet(question.name, question.type)
            quiet = query_times(client, query, time.monotonic() + 5)
            api.command("relist")
            relist = query_times(client, query, time.monotonic() + 5)
            procs.wait_until_idle(process.pid, TIMEOUT)
        return Results(
            services,
            at - began,
            steady,
            memory.peak,
            tuple(once),
            tuple(sorted(polling)),
            quiet,
            relist,
        )


def goals_of(results: Results) -> list[Goal]:
    """The goals with the figures of these results."""
    quiet, relist = (percentile(one, 0.99) for one in (results.quiet, results.relist))
    return [
        Goal(f"exec to first answer, {results.services:,} Services", 2.0, results.ready, "s"),
        Goal("PSS of all processes, idle", 150.0, results.memory / 1e6, "MB"),
        Goal("PSS of all processes, peak", 200.0, results.peak / 1e6, "MB"),
        Goal("event to answer, p50", 1.0, time_of_share(results.samples, 0.5) * 1e3, "ms"),
        Goal("event to answer, p99", 5.0, time_of_share(results.samples, 0.99) * 1e3, "ms"),
        Goal("query p99 during a relist, times without", 2.0, relist / quiet),
    ]


def report(results: Results) -> str:
    """The block for docs/performance.md, without the line on the machine."""
    p50, p99 = (percentile(results.polling, part) * 1e3 for part in (0.5, 0.99))
    return (
        f"{goal_table(goals_of(results))}\n\n"
        f"The bench queried each of {len(results.samples):,} events once. A client that queries"
        f" every {POLL_INTERVAL * 1e3:g} ms on the same cores gets the new answer after"
        f" {p50:.2f} ms (p50) and {p99:.2f} ms (p99)."
    )


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kube", description=__doc__)
    parser.add_argument("--services", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument(
        "--endpoints", type=int, default=5, help="per Service; default: %(default)s"
    )
    parser.add_argument("--changes", type=int, default=1_000, help="default: %(default)s")
    parser.add_argument("--watch-list", default="on", choices=["on", "invalid"])
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    chosen = parser.parse_args(argv)
    results = run(chosen.services, chosen.endpoints, chosen.watch_list, chosen.changes)
    repeat = shlex.join(["python", "-m", "bench.kube", *argv])
    versions = [f"{peers.TITLES['dnsd']}: {peers.version('dnsd')}"]
    block = f"{report(results)}\n\n{machine(versions)}\nRepeat: `{repeat}`."
    print(block)
    if chosen.write:
        text = PERFORMANCE.read_text(encoding="utf-8")
        PERFORMANCE.write_text(replace(text, "kube", block), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
