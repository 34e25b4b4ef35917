from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dnsd.runtime.priority import NICE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")

# In a process of its own, for a priority is not had back. Prints the priority of each thread:
# the first, one that was spared, one that was there, and one that came after.
_ACT = """
import json, os, threading
from dnsd.runtime.priority import give_way, request_short_slices

def of_this_thread():
    found.append(os.getpriority(os.PRIO_PROCESS, 0))

def there(told):
    ids.append(threading.get_native_id())
    begun.release()
    told.wait()
    of_this_thread()

found, ids, begun = [], [], threading.Semaphore(0)
told = [threading.Event(), threading.Event()]
threads = [threading.Thread(target=there, args=(one,)) for one in told]
for thread in threads:
    thread.start()
    begun.acquire()
give_way(but={ids[0]})
request_short_slices()
of_this_thread()
for thread, one in zip(threads, told):
    one.set()
    thread.join()
after = threading.Thread(target=of_this_thread)
after.start()
after.join()
print(json.dumps([found, os.sched_getscheduler(0)]))
"""


def test_all_give_way_but_who_is_spared_and_short_turns_change_nothing() -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    nice = min(usual + NICE, 19)
    done = subprocess.run(
        [sys.executable, "-c", _ACT], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == [[nice, usual, nice, nice], os.SCHED_OTHER]
