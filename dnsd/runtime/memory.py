"""What the C library does with freed memory. No effect without glibc.

In `runtime/` (both planes). Change here: how memory is shared among threads and returned.
"""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8  # mallopt(3)


def share_one_heap() -> None:
    """Have all threads allocate from one heap. Call it before the first thread starts.

    By default, glibc gives each thread a heap so that threads do not wait for each other. Threads
    of Python wait for the interpreter lock anyway. With one heap, a thread can use the memory that
    another has freed.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return freed memory to the system: after a load, which needs more than the time after it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
