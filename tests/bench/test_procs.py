"""Processes: started, billed, ended."""

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


def test_a_process_and_its_children_are_billed_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with procs.running([sys.executable, "-c", FAMILY], log, [procs.server_core()]) as process:
        until(lambda: log.read_text() == "up\n", "the process is up")
        pids = until(lambda: len(found := procs.tree(process.pid)) == 2 and found, "its child")
        assert pids[0] == process.pid
        assert all(os.sched_getaffinity(pid) == {procs.server_core()} for pid in pids)
        until(lambda: sum(procs.cpu_of(pids).values()) > 0.05, "CPU time was used")
        assert procs.busy_seconds() >= procs.cpu_seconds(process.pid)
        assert all(procs.pss(pid) > 100_000 for pid in pids)
    for pid in pids:
        until(lambda pid=pid: not alive(pid), f"{pid} is gone")


def test_what_is_gone_costs_nothing(tmp_path: Path) -> None:
    with procs.running([sys.executable, "-c", ""], tmp_path / "log") as process:
        process.wait(20)
    assert procs.tree(process.pid) == []
    assert procs.cpu_seconds(process.pid) == 0.0
    assert procs.pss(process.pid) == 0


def test_a_bill_names_who_used_what(tmp_path: Path) -> None:
    spin = "while True: sum(range(10_000))"
    # A stranger is no child: the shell that starts it ends, and leaves it to others.
    left = f"timeout 30 {sys.executable} -c '{spin}' > /dev/null 2>&1 & echo $!"
    with (
        procs.running([sys.executable, "-c", spin], tmp_path / "a") as ours,
        procs.running([sys.executable, "-c", spin], tmp_path / "b") as helper,
    ):
        stranger = int(procs.output(["sh", "-c", left]))
        try:

            def all_worked() -> float:
                orphans = sum(procs.cpu_of(procs.tree(stranger)).values())
                return min(procs.cpu_seconds(ours.pid), procs.cpu_seconds(helper.pid), orphans)

            start = all_worked()
            _, bill = procs.billed([ours.pid], lambda: until(lambda: all_worked() > start + 0.2))
            alone = procs.cpu_seconds(stranger)
        finally:
            os.kill(stranger, signal.SIGTERM)
    assert alone < 0.2  # `timeout` waits for who works
    assert set(bill.spent) == {ours.pid}
    # 0.2, less what is not counted yet: a tick is 10 ms.
    assert bill.total == bill.spent[ours.pid] >= 0.15
    assert bill.others > 0


def test_output_says_what_went_wrong() -> None:
    assert procs.output([sys.executable, "-c", "print('said')"]) == "said\n"
    with pytest.raises(procs.BenchError, match=r"ended with 3: because"):
        procs.output([sys.executable, "-c", "print('because'); raise SystemExit(3)"])
    with pytest.raises(procs.BenchError, match="no-such-program is not installed"):
        procs.output(["no-such-program"])


def test_free_port_is_free() -> None:
    assert 1024 <= procs.free_port() <= 65535
