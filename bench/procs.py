"""Processes under measurement: start, stop, cores, CPU time, and memory.

In `bench/` (measurements). Change here: how processes run, and how their CPU time is counted.

A server may have several processes and many threads. Its CPU time is that of the whole tree below
the started process: `utime + stime` of /proc/PID/stat, which includes ended threads. Its memory is
the sum of `Pss` of /proc/PID/smaps_rollup. A page that three processes share counts one third in
each of them, so the sum counts it once.
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
BUSY = 0.05  # cores that other processes may use before a figure is called noisy

_Result = TypeVar("_Result")


class BenchError(Exception):
    """The bench cannot continue. The message gives the cause."""


def cores() -> list[int]:
    """The cores that this process may use: the first is the server's, the last the clients'."""
    return sorted(os.sched_getaffinity(0))


def server_core() -> int:
    return cores()[0]


def client_core() -> int:
    """The core of the clients. Raises `BenchError` on a machine with one core."""
    if len(cores()) < 2:
        raise BenchError("the bench needs two cores: one for the server, one for the clients")
    return cores()[-1]


def free_port() -> int:
    """A port that is free on loopback for UDP and TCP at the moment of the call."""
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
    """A process during the block; SIGTERM ends it, and SIGKILL after 10 s.

    `on`: the cores of the process and its children. `log`: the file of its output.
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
            preexec_fn=bind,  # safe: this program holds no lock during the fork
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
    # A child that outlives its parent would disturb the next measurement. The kernel may reuse a
    # pid, so the start time identifies the process.
    end = time.monotonic() + 2
    for pid, started in children.items():
        while _started(pid) == started and time.monotonic() < end:
            time.sleep(0.01)
        if started and _started(pid) == started:
            os.kill(pid, signal.SIGKILL)


def _started(pid: int) -> str:
    # The start time of a process in ticks since boot; "" if it has ended or is a zombie.
    fields = _stat(pid)
    return "" if fields is None or fields[0] == "Z" else fields[19]


def _stat(pid: int) -> list[str] | None:
    # The fields of /proc/PID/stat from the third one: state, ppid, …; None if it has ended.
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants, `pid` first; empty if it has ended."""
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
    """User and system time of all threads of a process; 0.0 if it has ended."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICK if fields else 0.0


def cpu_of(pids: Iterable[int]) -> dict[int, float]:
    """`cpu_seconds` of each process."""
    return {pid: cpu_seconds(pid) for pid in pids}


def pss(pid: int) -> int:
    """Proportional set size of a process, in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def busy_seconds() -> float:
    """CPU time of all processes of the machine since its boot, without interrupts."""
    user, nice, system = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return (int(user) + int(nice) + int(system)) / _TICK


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of each process during a measurement, and the cores that others used."""

    spent: dict[int, float]
    others: float

    @property
    def total(self) -> float:
        return sum(self.spent.values())


def usage_of(pids: Sequence[int], work: Callable[[], _Result]) -> tuple[_Result, Usage]:
    """The result of `work`, and the CPU time that the processes used during it.

    `others` counts all processes except this one and its descendants.
    """
    before, own, busy, start = cpu_of(pids), _own_cpu(), busy_seconds(), time.monotonic()
    result = work()
    elapsed, after = time.monotonic() - start, cpu_of(pids)
    spent = {pid: after[pid] - before[pid] for pid in pids}
    others = busy_seconds() - busy - (_own_cpu() - own)
    return result, Usage(spent, max(0.0, others) / elapsed)


def _own_cpu() -> float:
    """CPU seconds of this process, of its descendants, and of children that have ended."""
    scopes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usages = [resource.getrusage(scope) for scope in scopes]
    below = cpu_of(tree(os.getpid())[1:])
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + sum(below.values())


def wait_until_idle(pid: int, seconds: float = 30.0) -> None:
    """Wait until the processes below `pid` use less than 2 % of a core, or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = sum(cpu_of(tree(pid)).values())
        time.sleep(1.0)
        if sum(cpu_of(tree(pid)).values()) - before < 0.02:
            return


def output(argv: Sequence[str], seconds: float = 30) -> str:
    """The output of a command (both streams). Raises `BenchError` if it fails or hangs."""
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
        raise BenchError(f"{argv[0]} took longer than {seconds:g} s") from None
    if done.returncode:
        raise BenchError(
            f"{argv[0]} ended with exit code {done.returncode}: {done.stdout.strip()[-500:]}"
        )
    return done.stdout
