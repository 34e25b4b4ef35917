"""Processes of the bench: start, CPU time, memory, and end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from bench import procs
from tests.helpers import until

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("up", flush=True)
while True:
    sum(range(10_000))
"""


def alive(pid: int) -> bool:
    return bool(procs.tree(pid))


def test_the_cpu_time_of_a_process_includes_its_children_and_all_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with procs.running([sys.executable, "-c", FAMILY], log, [procs.server_core()]) as process:
        until(lambda: log.read_text() == "up\n", "the process runs")
        pids = until(lambda: len(found := procs.tree(process.pid)) == 2 and found, "the child runs")
        assert pids[0] == process.pid
        assert all(os.sched_getaffinity(pid) == {procs.server_core()} for pid in pids)
        until(lambda: sum(procs.cpu_of(pids).values()) > 0.05, "CPU time was used")
        assert procs.busy_seconds() >= procs.cpu_seconds(process.pid)
        assert all(procs.pss(pid) > 100_000 for pid in pids)
    for pid in pids:
        until(lambda pid=pid: not alive(pid), f"{pid} has ended")


def test_an_ended_process_has_no_cpu_time_and_no_memory(tmp_path: Path) -> None:
    with procs.running([sys.executable, "-c", ""], tmp_path / "log") as process:
        process.wait(20)
    assert procs.tree(process.pid) == []
    assert procs.cpu_seconds(process.pid) == 0.0
    assert procs.pss(process.pid) == 0


def test_usage_separates_measured_processes_from_others(tmp_path: Path) -> None:
    spin = "while True: sum(range(10_000))"
    # Another process must not be a descendant: the shell that starts it ends, and init adopts it.
    left = f"timeout 30 {sys.executable} -c '{spin}' > /dev/null 2>&1 & echo $!"
    with (
        procs.running([sys.executable, "-c", spin], tmp_path / "a") as measured,
        procs.running([sys.executable, "-c", spin], tmp_path / "b") as own,
    ):
        other = int(procs.output(["sh", "-c", left]))
        try:

            def all_worked() -> float:
                others = sum(procs.cpu_of(procs.tree(other)).values())
                return min(procs.cpu_seconds(measured.pid), procs.cpu_seconds(own.pid), others)

            start = all_worked()
            _, usage = procs.usage_of(
                [measured.pid], lambda: until(lambda: all_worked() > start + 0.2)
            )
            alone = procs.cpu_seconds(other)
        finally:
            os.kill(other, signal.SIGTERM)
    assert alone < 0.2  # `timeout` only waits for its child
    assert set(usage.spent) == {measured.pid}
    # 0.2 s, without the ticks (10 ms) that the kernel has not counted yet.
    assert usage.total == usage.spent[measured.pid] >= 0.15
    assert usage.others > 0


def test_a_failed_command_is_an_error_with_its_output() -> None:
    assert procs.output([sys.executable, "-c", "print('text')"]) == "text\n"
    with pytest.raises(procs.BenchError, match=r"exit code 3: because"):
        procs.output([sys.executable, "-c", "print('because'); raise SystemExit(3)"])
    with pytest.raises(procs.BenchError, match="no-such-program is not installed"):
        procs.output(["no-such-program"])


def test_a_free_port_needs_no_privilege() -> None:
    assert 1024 <= procs.free_port() <= 65535
