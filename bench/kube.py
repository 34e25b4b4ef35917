"""`python -m bench.kube`: what watching an API server costs, through the real `dnsd serve`.

A fake API server (tests/fakekube, a process of its own) holds the Services and slices; dnsd
follows it with `--kubernetes`. Measured are the time from exec to the last Service's right
answer; the memory of all dnsd's processes together (PSS), once quiet and at its highest
until then, the relist included; the time from when the API server sends an event (what it
needs to come to that is not dnsd's) to the answer; and
the slowest percent of queries while everything is listed again, against a quiet time.

The API server, dnsd's two processes and the client share the machine's cores. On few cores
the figures of the relist say as much about the fake server's appetite as about dnsd. And a
client that asks again and again for a change takes the core from what it waits for: of the
millisecond an event takes, a quarter went to answering such a client (`perf sched`). So each
change is asked about once, at a moment drawn at random, and the share of new answers at each
moment says how long an event takes (`answered_by`). What the impatient client sees is
measured as well.
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
from bench.table import PERFORMANCE, Goal, goals, machine, percentile, replace

PATIENCE = 120.0  # seconds until anything counts as not coming
GAP = 0.0002  # seconds between two questions of who does not stop asking for a change
MOMENTS = ((0.0003, 0.002), (0.002, 0.008))  # when who asks once does: seconds, in turns
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
    """Seconds and bytes; `impatient`, `quiet` and `relist` are sorted seconds.

    `asked`: when after an event somebody had a reply, and whether it was the new answer.
    """

    services: int
    ready: float
    memory: int
    peak: int
    asked: tuple[tuple[float, bool], ...]
    impatient: tuple[float, ...]
    quiet: tuple[float, ...]
    relist: tuple[float, ...]


def last_service(services: int) -> Question:
    number, spaces = services - 1, min(100, max(1, services // 10))
    address = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    name = f"service-{number}.ns-{number % spaces}.svc.cluster.local"
    return Question(name, "A", "NOERROR", address)


class Change:
    """A Service that is given another address; `began`: when the API server sent that."""

    def __init__(self, client: wire.Client, api: Api, n: int) -> None:
        address = f"10.{200 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
        self._client = client
        self._query = wire.packed("changing.default.svc.cluster.local", "A")
        self._new = bytes(int(part) for part in address.split("."))
        self.began = float(api.command("service", "changing", address))

    def ask(self) -> tuple[float, bool]:
        """Asks once: seconds from the event to the reply, and whether that is the new answer."""
        reply = self._client.ask_raw(self._query, 1.0)
        at = time.monotonic() - self.began
        return at, reply is not None and reply.endswith(self._new)

    def wait(self, gap: float) -> float:
        """Asks until the answer is the new one; seconds since the event."""
        while time.monotonic() < self.began + PATIENCE:
            at, new = self.ask()
            if new:
                return at
            time.sleep(gap)
        raise BenchError(f"a change was not answered in {PATIENCE:g} s")


def answered_by(asked: Iterable[tuple[float, bool]], part: float) -> float:
    """Seconds after which this part of the replies is new; infinite when it never is.

    The share of new answers at each moment, if it can only grow with time, by isotonic
    regression (pool adjacent violators).
    """
    pools: list[tuple[float, int, int]] = []  # since when, new ones, all
    for at, new in sorted(asked):
        pool = at, int(new), 1
        while pools and pools[-1][1] * pool[2] >= pool[1] * pools[-1][2]:
            since, news, count = pools.pop()
            pool = since, news + pool[1], count + pool[2]
        pools.append(pool)
    return next((since for since, new, count in pools if new >= part * count), math.inf)


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
            once, impatient = [], []
            with native.awake(Path(folder)):
                for n in range(changes):
                    change = Change(client, api, n)
                    due = change.began + draw.uniform(*MOMENTS[n % len(MOMENTS)])
                    time.sleep(max(0.0, due - time.monotonic()))
                    once.append(change.ask())
                    change.wait(0.005)
                    time.sleep(draw.uniform(0.005, 0.02))
                for n in range(changes, changes + changes // 4):
                    impatient.append(Change(client, api, n).wait(GAP))
                    time.sleep(draw.uniform(0.005, 0.02))
            query = wire.packed(asked.name, asked.type)
            quiet = delays(client, query, time.monotonic() + 5)
            api.command("relist")
            relist = delays(client, query, time.monotonic() + 5)
            settle(process.pid)
        return Results(
            services,
            at - began,
            steady,
            memory.peak,
            tuple(once),
            tuple(sorted(impatient)),
            quiet,
            relist,
        )


def promises(results: Results) -> list[Goal]:
    """The goals that these results decide."""
    quiet, relist = (percentile(one, 0.99) for one in (results.quiet, results.relist))
    return [
        Goal(f"exec to first answer, {results.services:,} Services", 2.0, results.ready, "s"),
        Goal("PSS of all processes, quiet", 150.0, results.memory / 1e6, "MB"),
        Goal("PSS of all processes, peak", 200.0, results.peak / 1e6, "MB"),
        Goal("event to answer, p50", 1.0, answered_by(results.asked, 0.5) * 1e3, "ms"),
        Goal("event to answer, p99", 5.0, answered_by(results.asked, 0.99) * 1e3, "ms"),
        Goal("query p99 during a relist, by quiet", 2.0, relist / quiet),
    ]


def report(results: Results) -> str:
    """The block for docs/performance.md, without what it was measured on."""
    p50, p99 = (percentile(results.impatient, part) * 1e3 for part in (0.5, 0.99))
    return (
        f"{goals(promises(results))}\n\n"
        f"Each of {len(results.asked):,} events was asked about once. A client that asks every"
        f" {GAP * 1e3:g} ms on the same cores until it has its answer, has it after {p50:.2f} ms"
        f" (p50) and {p99:.2f} ms (p99)."
    )


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kube", description=__doc__)
    parser.add_argument("--services", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--endpoints", type=int, default=5, help="a Service; default: %(default)s")
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
