"""Who goes first where there are fewer cores than work. Linux only; elsewhere nothing happens.

A query that waits for a change waits longer than it takes to answer a hundred, a change that
waits for queries is not noticed. So the control process *gives way*: it is nice. A worker
keeps the priority that dnsd was started with, and asks for *short turns*: the scheduler
(EEVDF, Linux 6.12 and later) lets who wants little come first, so a query that arrives while
others compute is answered before their turns end. Neither takes a right that is not had.

The priority of a process is that of each of its threads, and a child has that of the thread
that made it: who starts workers must be a thread that did not give way. And it holds within
a session, where Linux shares the cores out among sessions (autogroup, sched(7)): workers are
in that of the control process. As a service or in a container dnsd shares with nobody else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Collection

# Steps; at every step a thread gets a fifth less of a core that others want too. All there are:
# a worker that has just had its turn is let in again the sooner, the less the others weigh.
NICE = 19
TURN = 100_000  # nanoseconds, the least that can be asked for
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # the number of the system call
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # struct sched_attr, sched_setattr(2)


def give_way(but: Collection[int] = ()) -> None:
    """Let other processes go first, from now on: the threads of this process and those that
    they will start, `but` these (native ids)."""
    if sys.platform != "linux":
        return
    for thread in map(int, os.listdir("/proc/self/task")):
        if thread not in but:
            with contextlib.suppress(OSError):  # it has ended
                os.setpriority(
                    os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE
                )


def take_short_turns() -> None:
    """Have this thread computed often and shortly instead of seldom and long."""
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, TURN, 0, 0)
    with contextlib.suppress(OSError, AttributeError):
        # A kernel that knows no such wish, or does not allow it, leaves things as they are.
        ctypes.CDLL(None).syscall(number, 0, wanted, 0)
