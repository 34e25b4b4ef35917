"""Which process gets a core first when there are fewer cores than work. Linux only.

In `runtime/` (both planes). Change here: the priorities of the control process and the workers.

The control process lowers its priority (it is nice), because a query costs much less time than a
change. A worker keeps the priority that dnsd was started with, and requests short time slices. The
scheduler (EEVDF, Linux 6.12 and later) runs a thread with short slices earlier, so a query that
arrives while another process computes is answered before the slice of that process ends. Neither
needs a privilege.

Priority is a property of each thread, and a child inherits it from the thread that starts it. So
workers are started by a thread that keeps its priority. Priorities apply within a session, because
Linux divides the cores among sessions first (autogroup, sched(7)). So workers stay in the session
of the control process. As a service or in a container, no other program is in that session.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Collection

# Each step takes a fifth of the share of a contended core. This is the maximum: the less weight the
# other threads have, the sooner a worker that has used its slice runs again.
NICE = 19
SLICE = 100_000  # nanoseconds, the minimum of the kernel
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # the number of the system call
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # struct sched_attr, sched_setattr(2)


def give_way(but: Collection[int] = ()) -> None:
    """Lower the priority of the threads of this process, and of those that they start.

    `but`: native ids of threads that keep their priority.
    """
    if sys.platform != "linux":
        return
    for thread in map(int, os.listdir("/proc/self/task")):
        if thread not in but:
            with contextlib.suppress(OSError):  # the thread has ended
                os.setpriority(
                    os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE
                )


def request_short_slices() -> None:
    """Request short time slices for this thread: it runs more often, and shorter."""
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, SLICE, 0, 0)
    with contextlib.suppress(OSError, AttributeError):
        # A kernel without this request, or that forbids it, ignores it.
        ctypes.CDLL(None).syscall(number, 0, wanted, 0)
