"""What the C library does with memory that is free again; nothing where it is not glibc."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8  # mallopt(3)


def share_one_heap() -> None:
    """Have all threads take memory from one heap; to be called before there are any.

    glibc gives each a heap of its own so that they need not wait for each other. Python's
    threads do anyway, and what one has freed the others can use.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return freed memory to the system: what loading took, and nobody will need again."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
