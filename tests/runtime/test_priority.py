"""The control process gives way, and the thread that starts workers does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dnsd.runtime.priority import NICE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")

# In a process of its own, because a priority cannot be raised again. Prints the priority of the
# main thread, of a thread that was left out, of one that existed, and of one that started later.
_ACT = """
import json, os, threading
from dnsd.runtime.priority import give_way, request_short_slices

def of_this_thread():
    found.append(os.getpriority(os.PRIO_PROCESS, 0))

def wait(event):
    ids.append(threading.get_native_id())
    begun.release()
    event.wait()
    of_this_thread()

found, ids, begun = [], [], threading.Semaphore(0)
events = [threading.Event(), threading.Event()]
threads = [threading.Thread(target=wait, args=(one,)) for one in events]
for thread in threads:
    thread.start()
    begun.acquire()
give_way(but={ids[0]})
request_short_slices()
of_this_thread()
for thread, one in zip(threads, events):
    one.set()
    thread.join()
after = threading.Thread(target=of_this_thread)
after.start()
after.join()
print(json.dumps([found, os.sched_getscheduler(0)]))
"""


def test_all_threads_give_way_except_those_left_out() -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    nice = min(usual + NICE, 19)
    done = subprocess.run(
        [sys.executable, "-c", _ACT], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == [[nice, usual, nice, nice], os.SCHED_OTHER]
