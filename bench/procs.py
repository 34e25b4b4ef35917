"""Processes under measurement: started and ended by pid, bound to cores, and their bill.

A server may be several processes and many threads. Its bill is that of the whole tree that
hangs from the process we started: `utime + stime` of /proc/PID/stat (all threads, those
that ended included), and `Pss` of /proc/PID/smaps_rollup, in which a page that three
processes share counts a third in each, so that the sum counts it once.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_TICK: int = os.sysconf("SC_CLK_TCK")
LOOPBACK = "127.0.0.1"
BUSY = 0.05  # of a core; what others may use before figures are called noisy

_Result = TypeVar("_Result")


class BenchError(Exception):
    """The bench cannot go on: says what is missing or what went wrong, and what to do."""


def cores() -> list[int]:
    """The cores this process may use; the last is the clients', the first the server's."""
    return sorted(os.sched_getaffinity(0))


def server_core() -> int:
    return cores()[0]


def client_core() -> int:
    """A core that is not the server's. Raises `BenchError` where there is none."""
    if len(cores()) < 2:
        raise BenchError("one core only: server and load need one each")
    return cores()[-1]


def free_port() -> int:
    """A port that nobody has on loopback, over UDP and TCP (it may be gone again when used)."""
    for _ in range(100):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind((LOOPBACK, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise BenchError("no port is free for both UDP and TCP on 127.0.0.1")


@contextmanager
def running(
    argv: Sequence[str], log: Path, on: Iterable[int] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended (SIGTERM, after ten seconds SIGKILL) when the block is left.

    `on`: the cores that it and its children are bound to. `log` takes what it prints.
    """
    bound = set(on) if on is not None else None

    def bind() -> None:
        if bound is not None:
            os.sched_setaffinity(0, bound)

    with log.open("ab") as out:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=bind,  # nothing here holds a lock across the fork
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    children = {pid: _started(pid) for pid in tree(process.pid)[1:]}
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    # A child that outlives its parent would disturb the next measurement. A pid can be given
    # to somebody else meanwhile, the time it was started cannot.
    end = time.monotonic() + 2
    for pid, started in children.items():
        while _started(pid) == started and time.monotonic() < end:
            time.sleep(0.01)
        if started and _started(pid) == started:
            os.kill(pid, signal.SIGKILL)


def _started(pid: int) -> str:
    # When a process was started, in ticks since boot; "" when it is gone or a zombie.
    fields = _stat(pid)
    return "" if fields is None or fields[0] == "Z" else fields[19]


def _stat(pid: int) -> list[str] | None:
    # Fields of /proc/PID/stat from the third on: state, ppid, …; None when it is gone.
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def tree(pid: int) -> list[int]:
    """`pid` and all processes below it, `pid` first; empty when it has ended."""
    if not _started(pid):
        return []
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for one in found:
        found += children.get(one, ())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, all its threads; 0.0 when it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICK if fields else 0.0


def cpu_of(pids: Iterable[int]) -> dict[int, float]:
    """`cpu_seconds` of each."""
    return {pid: cpu_seconds(pid) for pid in pids}


def pss(pid: int) -> int:
    """Proportional set size of one process, in bytes; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def busy_seconds() -> float:
    """CPU time that all processes of the machine have used since it started (no interrupts)."""
    user, nice, system = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return (int(user) + int(nice) + int(system)) / _TICK


@dataclass(frozen=True, slots=True)
class Bill:
    """What a stretch of work cost: CPU seconds by process, and what else ran, in cores."""

    spent: dict[int, float]
    others: float

    @property
    def total(self) -> float:
        return sum(self.spent.values())


def billed(pids: Sequence[int], work: Callable[[], _Result]) -> tuple[_Result, Bill]:
    """What `work` returns, and what the processes used while it ran.

    `others` is the CPU time of everybody who is neither this process nor below it: a machine
    that has other things to do measures badly.
    """
    before, own, busy, start = cpu_of(pids), _own(), busy_seconds(), time.monotonic()
    result = work()
    elapsed, after = time.monotonic() - start, cpu_of(pids)
    spent = {pid: after[pid] - before[pid] for pid in pids}
    others = busy_seconds() - busy - (_own() - own)
    return result, Bill(spent, max(0.0, others) / elapsed)


def _own() -> float:
    """CPU seconds of this process, of those below it, and of those it has waited for."""
    bills = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    below = cpu_of(tree(os.getpid())[1:])
    return sum(bill.ru_utime + bill.ru_stime for bill in bills) + sum(below.values())


def output(argv: Sequence[str], seconds: float = 30) -> str:
    """What a command prints (both streams). Raises `BenchError` when it fails or hangs."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            text=True,
        )
    except FileNotFoundError:
        raise BenchError(f"{argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"{argv[0]} took more than {seconds:g} s") from None
    if done.returncode:
        raise BenchError(f"{argv[0]} ended with {done.returncode}: {done.stdout.strip()[-500:]}")
    return done.stdout
