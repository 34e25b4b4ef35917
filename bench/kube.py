"""`python -m bench.kube`: what watching an API server costs, through the real `dnsd serve`.

A fake API server (tests/fakekube, a process of its own) holds the Services and slices; dnsd
follows it with `--kubernetes`. Measured are the time from exec to the last Service's right
answer; the memory of all dnsd's processes together (PSS), once quiet and at its highest
until then, the relist included; the time from when the API server sends an event (what it
needs to come to that is not dnsd's) to the answer; and
the slowest percent of queries while everything is listed again, against a quiet time.

The API server, dnsd's two processes and the client share the machine's cores. On few cores
the figures of the relist say as much about the fake server's appetite as about dnsd.
"""

from __future__ import annotations

import argparse
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import native, peers, procs, wire
from bench.names import Question
from bench.procs import BenchError
from bench.table import PERFORMANCE, Goal, goals, machine, percentile, replace

PATIENCE = 120.0  # seconds until anything counts as not coming
GAP = 0.0002  # seconds between two questions for a change; what the figures are exact to
SAMPLE = 0.25  # seconds between looks at memory; each stops the process for milliseconds


class Api:
    """The fake API server, and the commands it takes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.kubeconfig = self._line()

    def command(self, *words: str) -> str:
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
    """Samples the PSS of a process tree until stopped; `peak` in bytes."""

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
        while not self._stop.wait(SAMPLE):
            self.peak = max(self.peak, self.now())


@dataclass(frozen=True)
class Results:
    """Seconds and bytes; `changes`, `quiet` and `relist` are sorted seconds."""

    services: int
    ready: float
    memory: int
    peak: int
    changes: tuple[float, ...]
    quiet: tuple[float, ...]
    relist: tuple[float, ...]


def last_service(services: int) -> Question:
    number, spaces = services - 1, min(100, max(1, services // 10))
    address = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    name = f"service-{number}.ns-{number % spaces}.svc.cluster.local"
    return Question(name, "A", "NOERROR", address)


def one_change(client: wire.Client, api: Api, n: int) -> float:
    """Seconds from the moment the API server sends a new address to its answer."""
    address = f"10.200.{n >> 8 & 255}.{n & 255}"
    query = wire.packed("changing.default.svc.cluster.local", "A")
    packed = bytes(int(part) for part in address.split("."))
    began = float(api.command("service", "changing", address))
    while time.monotonic() < began + PATIENCE:
        reply = client.ask_raw(query, 1.0)
        if reply is not None and reply.endswith(packed):
            return time.monotonic() - began
        time.sleep(GAP)
    raise BenchError(f"a change was not answered in {PATIENCE:g} s")


def delays(client: wire.Client, query: bytes, until: float) -> tuple[float, ...]:
    """Seconds each of one question after the other took, until a moment (monotonic)."""
    found = []
    while (began := time.monotonic()) < until:
        if client.ask_raw(query, 2.0) is None:
            raise BenchError("a question was not answered in 2 s")
        found.append(time.monotonic() - began)
        time.sleep(0.0005)
    return tuple(sorted(found))


def settle(pid: int) -> None:
    """Waits until the processes use less than 2 % of a core."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        before = sum(procs.cpu_of(procs.tree(pid)).values())
        time.sleep(1.0)
        if sum(procs.cpu_of(procs.tree(pid)).values()) - before < 0.02:
            return


def run(services: int, endpoints: int, watch_list: str, changes: int) -> Results:
    """One start, its memory, changes, and a relist under questions."""
    asked, draw = last_service(services), random.Random(1035)
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
            at = wire.wait_right(port, asked, lambda: process.poll() is None, PATIENCE)
            if at is None:
                raise BenchError(f"no answer: {(Path(folder) / 'log').read_text()[-2000:]}")
            settle(process.pid)
            steady = memory.now()
            seconds = []
            with native.awake(Path(folder)):
                for n in range(changes):
                    seconds.append(one_change(client, api, n))
                    time.sleep(draw.uniform(0.005, 0.02))
            query = wire.packed(asked.name, asked.type)
            quiet = delays(client, query, time.monotonic() + 5)
            api.command("relist")
            relist = delays(client, query, time.monotonic() + 5)
            settle(process.pid)
        return Results(
            services, at - began, steady, memory.peak, tuple(sorted(seconds)), quiet, relist
        )


def promises(results: Results) -> list[Goal]:
    """The goals that these results decide."""
    quiet, relist = (percentile(one, 0.99) for one in (results.quiet, results.relist))
    return [
        Goal(f"exec to first answer, {results.services:,} Services", 2.0, results.ready, "s"),
        Goal("PSS of all processes, quiet", 150.0, results.memory / 1e6, "MB"),
        Goal("PSS of all processes, peak", 200.0, results.peak / 1e6, "MB"),
        Goal("event to answer, p50", 1.0, percentile(results.changes, 0.5) * 1e3, "ms"),
        Goal("event to answer, p99", 5.0, percentile(results.changes, 0.99) * 1e3, "ms"),
        Goal("query p99 during a relist, by quiet", 2.0, relist / quiet),
    ]


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kube", description=__doc__)
    parser.add_argument("--services", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--endpoints", type=int, default=5, help="a Service; default: %(default)s")
    parser.add_argument("--changes", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--watch-list", default="on", choices=["on", "invalid"])
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    chosen = parser.parse_args(argv)
    results = run(chosen.services, chosen.endpoints, chosen.watch_list, chosen.changes)
    repeat = shlex.join(["python", "-m", "bench.kube", *argv])
    versions = [f"{peers.TITLES['dnsd']}: {peers.version('dnsd')}"]
    block = f"{goals(promises(results))}\n\n{machine(versions)}\nRepeat: `{repeat}`."
    print(block)
    if chosen.write:
        text = PERFORMANCE.read_text(encoding="utf-8")
        PERFORMANCE.write_text(replace(text, "kube", block), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
