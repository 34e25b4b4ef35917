"""Freed memory goes back to the system, and threads share one heap (glibc)."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

# In a process of its own, whose heap no other test has used. Each block is from malloc (over 512
# bytes). The last one is not freed, so free() cannot shrink the heap from its end.
_FREE = """
import threading
from dnsd.runtime.memory import give_back, share_one_heap

def rss():
    return int(open("/proc/self/status").read().partition("VmRSS:")[2].split()[0])

def fill():
    blocks.extend(bytes(1000) for _ in range(50_000))

blocks = []
share_one_heap()
thread = threading.Thread(target=fill)
thread.start()
thread.join()
heaps = sum(line.split()[-1] == "[heap]" for line in open("/proc/self/maps"))
last = blocks[-1]
blocks.clear()
before = rss()
give_back()
print(heaps, before - rss())
"""


def test_memory_of_a_thread_is_returned_from_the_one_heap() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FREE], capture_output=True, text=True, check=True, timeout=60
    )
    heaps, returned = map(int, done.stdout.split())
    assert heaps == 1
    assert returned > 30_000  # KiB of the 50,000 that were freed
