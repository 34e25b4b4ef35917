"""What the admin API costs: `python -m bench.admin`.

* **Live queries.** The worker has a core to itself and is asked 10,000 questions a second.
  What is compared is its CPU time a query with no sampling at all, with the usual sampling
  for "top", and with a live stream open: of everything, of a name among all others, of a name
  nobody asks for. The cases take turns in every round, a ratio is taken within its round.
* **Pages and explanations.** The time of `/zones/…/records` pages and of `/explain` over HTTP,
  and the latency of DNS while pages are read without pause and while they are not.

The population is that of the other benchmarks (names.py). Everything is on loopback.
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
    """A running dnsd: the worker's process id, its port, URL and token of its API."""

    worker: int
    control: int
    port: int
    url: str
    token: str

    def open(self, path: str) -> Any:
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {self.token}"}
        )
        return urllib.request.urlopen(request, timeout=60)

    def get(self, path: str) -> Any:
        with self.open(path) as response:
            return msgspec.json.decode(response.read())


@contextmanager
def serving(manifests: Path, home: Path, samples: int) -> Iterator[Dnsd]:
    """A dnsd with one worker on the servers' core, answering."""
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
                raise BenchError(f"dnsd does not answer: {log.read_text()[-500:]}")
            time.sleep(0.05)
        port = re.search(r"dig -p (\d+)", log.read_text())
        if port is None:
            raise BenchError("dnsd does not say where it answers")
        control, worker = procs.tree(process.pid)[:2]
        made = Dnsd(worker, control, int(port[1]), found[1], found[2])
        made.get("/api/v1/zones")
        yield made


@contextmanager
def reading(dnsd: Dnsd, path: str) -> Iterator[list[int]]:
    """Reads a stream without pause; how many events came so far, in a list of one."""
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
        with contextlib.suppress(OSError):
            response.fp.raw._sock.shutdown(2)
        thread.join(10)


def load(port: int, queries: Path, seconds: int) -> tuple[int, float]:
    """Questions at RATE: how many were answered, and their mean latency in seconds."""
    program = shutil.which("dnsperf")
    if program is None:
        raise BenchError("dnsperf is not installed")
    argv = ["taskset", "-c", str(procs.client_core()), program, "-s", procs.LOOPBACK]
    argv += ["-p", str(port), "-d", str(queries), "-c", "4", "-T", "1", "-Q", str(RATE)]
    printed = procs.output([*argv, "-l", str(seconds), "-t", "2"], seconds + 30)
    mean = re.search(r"Average Latency \(s\):\s+([\d.]+)", printed)
    return read_dnsperf(printed).completed, float(mean[1]) if mean else 0.0


def cost(dnsd: Dnsd, queries: Path, seconds: int) -> float:
    """CPU microseconds of the worker a query."""
    before = procs.cpu_seconds(dnsd.worker)
    completed, _ = load(dnsd.port, queries, seconds)
    if not completed:
        raise BenchError("no replies")
    return (procs.cpu_seconds(dnsd.worker) - before) / completed * 1e6


def streams(bare: Dnsd, usual: Dnsd, queries: Path, one: str, rounds: int, seconds: int) -> None:
    """Prints what each case costs."""
    cases = {
        "no samples (query_samples: 0)": (bare, ""),
        "as it comes (100 samples/s for the top)": (usual, ""),
        "stream, filtered by a name that is asked": (bare, f"name={one}"),
        "stream, filtered by a name nobody asks": (bare, "name=nobody-asks-for-this"),
        "stream of everything (1,000 samples/s)": (bare, "rcode=NOERROR"),
    }
    costs: dict[str, list[float]] = {title: [] for title in cases}
    events: dict[str, int] = dict.fromkeys(cases, 0)
    for number in range(rounds):
        for title, (dnsd, wanted) in cases.items():
            with ExitStack() as stack:
                path = f"/api/v1/queries/stream?{wanted}"
                seen = stack.enter_context(reading(dnsd, path)) if wanted else [0]
                costs[title].append(cost(dnsd, queries, seconds))
            events[title] += seen[0]
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    base = costs[next(iter(cases))]
    print(f"\nCPU of the worker at {RATE:,} queries a second, median of {rounds} rounds:\n")
    print("| case | µs a query | ratio | events/s |\n|---|---|---|---|")
    for title, found in costs.items():
        ratio = median(mine / theirs for mine, theirs in zip(found, base, strict=True))
        rate = events[title] / rounds / seconds
        print(f"| {title} | {median(found):.1f} | {ratio:.3f} | {rate:.0f} |")


def timed(dnsd: Dnsd, paths: Iterator[str]) -> list[float]:
    """Milliseconds of each GET."""
    out = []
    for path in paths:
        begun = time.perf_counter()
        dnsd.get(path)
        out.append((time.perf_counter() - begun) * 1000)
    return out


def pages(dnsd: Dnsd, limit: int) -> list[float]:
    """Milliseconds of pages of records, one after the other from the first."""
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
    """Prints how long pages and explanations take."""
    asked = names.questions(population, ("hit", "nxdomain"), QUESTIONS)
    explained = (f"/api/v1/explain?name={one.name}." for one in asked)
    found = {
        "page of 100 names": pages(dnsd, 100),
        "page of 1,000 names": pages(dnsd, 1000),
        "page, filtered by Service": timed(
            dnsd,
            (
                f"/api/v1/zones/cluster.local/records?name={one.name.partition('.')[0]}"
                for one in asked[:PAGES]
            ),
        ),
        "explain": timed(dnsd, explained),
    }
    print("\n| request, over HTTP | p50 ms | p99 ms |\n|---|---|---|")
    for title, times in found.items():
        print(f"| {title} | {median(times):.1f} | {quantiles(times, n=100)[98]:.1f} |")


def beside(dnsd: Dnsd, queries: Path, seconds: int) -> None:
    """Prints the latency of DNS while pages are read without pause, and while they are not.

    The control process moves to the clients' core: where it shares one with the worker, the
    two take turns, as any two processes do.
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
    print(f"\nmean latency of DNS: {quiet * 1e6:.0f} µs, while pages are read {busy * 1e6:.0f} µs")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.admin", description=__doc__)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    chosen = parser.parse_args()
    population = names.Population(chosen.services)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        site = Path(folder)
        names.write_manifests(population, site / "manifests")
        asked = names.questions(population, ("hit",), 10_000)
        names.write_queries(site / "queries", asked)
        bare = stack.enter_context(serving(site / "manifests", site / "bare", 0))
        usual = stack.enter_context(serving(site / "manifests", site / "usual", 100))
        one = ".".join(asked[0].name.split(".")[:2])
        if chosen.rounds:
            streams(bare, usual, site / "queries", one, chosen.rounds, chosen.seconds)
        requests(usual, population)
        beside(usual, site / "queries", chosen.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
