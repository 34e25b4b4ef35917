from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import pytest

from dnsd.worker.priority import NICE, give_way, take_short_turns

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")


def in_a_thread(act: Callable[[], None]) -> tuple[int, int]:
    """Priority and policy of a thread after it did this."""
    found = []

    def run() -> None:
        act()
        found.append((os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_who_gives_way_is_nicer_and_nobody_else() -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert in_a_thread(give_way) == (min(usual + NICE, 19), os.SCHED_OTHER)
    assert os.getpriority(os.PRIO_PROCESS, 0) == usual


def test_short_turns_change_no_priority() -> None:
    def act() -> None:
        give_way()
        take_short_turns()

    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert in_a_thread(act) == (min(usual + NICE, 19), os.SCHED_OTHER)
