"""`python -m bench.admin`: the cost of the admin API.

In `bench/` (measurements). Change here: what is measured of the admin API.

* **Live queries.** The worker has its own core and gets 10,000 queries per second. The bench
  compares its CPU time per query without samples, with the default samples for "top", and with an
  open stream: of all queries, of one queried name, and of a name without queries. The cases take
  turns in each round, and a ratio is taken within its round.
* **Pages and explanations.** The time of `/zones/ZONE/records` pages and of `/explain` over HTTP,
  and the latency of DNS with and without a client that reads pages in a loop.

The Services are those of the other measurements (names.py), on loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import msgspec

from bench import names, procs
from bench.cpu import read_dnsperf
from bench.procs import BenchError

RATE = 10_000
PAGES = 60
QUESTIONS = 200


@dataclass(frozen=True, slots=True)
class Dnsd:
    """A running dnsd: pids of both processes, DNS port, and URL and token of the API."""

    worker: int
    control: int
    port: int
    url: str
    token: str

    def open(self, path: str) -> Any:
        """The HTTP response of a GET; the caller closes it."""
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {self.token}"}
        )
        return urllib.request.urlopen(request, timeout=60)

    def get(self, path: str) -> Any:
        """The JSON body of a GET, decoded."""
        with self.open(path) as response:
            return msgspec.json.decode(response.read())


@contextmanager
def serving(manifests: Path, home: Path, samples: int) -> Iterator[Dnsd]:
    """A dnsd that answers, with one worker, on the core of the servers."""
    home.mkdir()
    log = home / "log"
    argv = [sys.executable, "-m", "dnsd", "serve", "--manifests", str(manifests)]
    argv += [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--state-dir",
        str(home / "state"),
    ]
    argv += ["--query-samples", str(samples)]
    with procs.running(argv, log, [procs.server_core()]) as process:
        end = time.monotonic() + 120
        while not (found := re.search(r"admin: (\S+)/#token=(\S+)", log.read_text())):
            if process.poll() is not None or time.monotonic() > end:
                raise BenchError(f"dnsd did not start: {log.read_text()[-500:]}")
            time.sleep(0.05)
        port = re.search(r"dig -p (\d+)", log.read_text())
        if port is None:
            raise BenchError("dnsd did not print its DNS port")
        control, worker = procs.tree(process.pid)[:2]
        made = Dnsd(worker, control, int(port[1]), found[1], found[2])
        made.get("/api/v1/zones")
        yield made


@contextmanager
def reading(dnsd: Dnsd, path: str) -> Iterator[list[int]]:
    """Read a stream in a thread; the number of its events so far, in a list of one."""
    count = [0]
    response = dnsd.open(path)

    def read() -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for line in response:
                count[0] += line.startswith(b"event: query")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield count
    finally:
        with contextlib.suppress(OSError, AttributeError):  # the stream may have ended
            response.fp.raw._sock.shutdown(2)
        thread.join(10)


def load(port: int, queries: Path, seconds: int) -> tuple[int, float]:
    """Queries at RATE: the number of replies, and their mean latency in seconds."""
    program = shutil.which("dnsperf")
    if program is None:
        raise BenchError("dnsperf is not installed")
    argv = ["taskset", "-c", str(procs.client_core()), program, "-s", procs.LOOPBACK]
    argv += ["-p", str(port), "-d", str(queries), "-c", "4", "-T", "1", "-Q", str(RATE)]
    printed = procs.output([*argv, "-l", str(seconds), "-t", "2"], seconds + 30)
    mean = re.search(r"Average Latency \(s\):\s+([\d.]+)", printed)
    return read_dnsperf(printed).completed, float(mean[1]) if mean else 0.0


def cost(dnsd: Dnsd, queries: Path, seconds: int) -> float:
    """CPU microseconds of the worker per query."""
    before = procs.cpu_seconds(dnsd.worker)
    completed, _ = load(dnsd.port, queries, seconds)
    if not completed:
        raise BenchError("no reply arrived")
    return (procs.cpu_seconds(dnsd.worker) - before) / completed * 1e6


def streams(
    without: Dnsd, default: Dnsd, queries: Path, name: str, rounds: int, seconds: int
) -> None:
    """Print the cost of each case."""
    cases = {
        "without samples (query_samples: 0)": (without, ""),
        "default (100 samples/s for the top)": (default, ""),
        "stream of a queried name": (without, f"name={name}"),
        "stream of a name without queries": (without, "name=never-queried"),
        "stream of all queries (1,000 samples/s)": (without, "rcode=NOERROR"),
    }
    costs: dict[str, list[float]] = {title: [] for title in cases}
    events: dict[str, int] = dict.fromkeys(cases, 0)
    for number in range(rounds):
        for title, (dnsd, pattern) in cases.items():
            with ExitStack() as stack:
                path = f"/api/v1/queries/stream?{pattern}"
                count = stack.enter_context(reading(dnsd, path)) if pattern else [0]
                costs[title].append(cost(dnsd, queries, seconds))
            events[title] += count[0]
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    base = costs[next(iter(cases))]
    print(f"\nCPU time of the worker at {RATE:,} queries per second, median of {rounds} rounds:\n")
    print("| case | µs per query | ratio | events/s |\n|---|---|---|---|")
    for title, found in costs.items():
        ratio = median(a / b for a, b in zip(found, base, strict=True))
        rate = events[title] / rounds / seconds
        print(f"| {title} | {median(found):.1f} | {ratio:.3f} | {rate:.0f} |")


def timed(dnsd: Dnsd, paths: Iterator[str]) -> list[float]:
    """Milliseconds of each GET request."""
    out = []
    for path in paths:
        begun = time.perf_counter()
        dnsd.get(path)
        out.append((time.perf_counter() - begun) * 1000)
    return out


def pages(dnsd: Dnsd, limit: int) -> list[float]:
    """Milliseconds of each of the first PAGES pages of records."""
    out: list[float] = []
    cursor = ""
    for _ in range(PAGES):
        begun = time.perf_counter()
        path = f"/api/v1/zones/cluster.local/records?limit={limit}"
        found = dnsd.get(path + (f"&cursor={cursor}" if cursor else ""))
        out.append((time.perf_counter() - begun) * 1000)
        cursor = found["next"]
    return out


def requests(dnsd: Dnsd, population: names.Population) -> None:
    """Print the times of pages and explanations."""
    questions = names.questions(population, ("hit", "nxdomain"), QUESTIONS)
    explained = (f"/api/v1/explain?name={one.name}." for one in questions)
    found = {
        "page of 100 names": pages(dnsd, 100),
        "page of 1,000 names": pages(dnsd, 1000),
        "page, filtered by Service": timed(
            dnsd,
            (
                f"/api/v1/zones/cluster.local/records?name={one.name.partition('.')[0]}"
                for one in questions[:PAGES]
            ),
        ),
        "explain": timed(dnsd, explained),
    }
    print("\n| request, over HTTP | p50 ms | p99 ms |\n|---|---|---|")
    for title, times in found.items():
        print(f"| {title} | {median(times):.1f} | {quantiles(times, n=100)[98]:.1f} |")


def dns_latency_during_requests(dnsd: Dnsd, queries: Path, seconds: int) -> None:
    """Print the latency of DNS without and with a client that reads pages in a loop.

    The control process moves to the core of the clients and does not compete with the worker.
    """
    os.sched_setaffinity(dnsd.control, [procs.client_core()])
    _, quiet = load(dnsd.port, queries, seconds)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            pages(dnsd, 100)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        _, busy = load(dnsd.port, queries, seconds)
    finally:
        stop.set()
        thread.join()
    print(f"\nmean latency of DNS: {quiet * 1e6:.0f} µs; during page reads: {busy * 1e6:.0f} µs")


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.admin", description=__doc__)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    chosen = parser.parse_args()
    population = names.Population(chosen.services)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        site = Path(folder)
        names.write_manifests(population, site / "manifests")
        questions = names.questions(population, ("hit",), 10_000)
        names.write_queries(site / "queries", questions)
        without = stack.enter_context(serving(site / "manifests", site / "without", 0))
        default = stack.enter_context(serving(site / "manifests", site / "default", 100))
        name = ".".join(questions[0].name.split(".")[:2])
        if chosen.rounds:
            streams(without, default, site / "queries", name, chosen.rounds, chosen.seconds)
        requests(default, population)
        dns_latency_during_requests(default, site / "queries", chosen.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
