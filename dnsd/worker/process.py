"""One worker process as the control process sees it: its pid, its channel, and its last messages.

In `worker/` (control process side of the data plane). Change here: how a worker process is
started, written to, read from, and reaped.

`WorkerProcess` writes without blocking. Its queue holds messages in the order in which they apply:
the frames of a whole table (see table_load.py) and the changes between them. A worker that does
not read its changes is ended (`Timeouts.backlog`), and so is one that sends no heartbeat
(`is_silent`). The supervisor then replaces it.

The output of a worker goes to the log. The last line is kept, because it usually has the reason
when a worker ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog
from msgspec import Struct

from dnsd.runtime.tasks import Tasks
from dnsd.transport.listener import Listener
from dnsd.worker import counters
from dnsd.worker.messages import (
    MAX_UP,
    Applied,
    Assembler,
    BadMessage,
    Down,
    Drain,
    Drained,
    Heartbeat,
    Opened,
    Setup,
    Socket,
    Up,
    Upstream,
    packed,
    read_up,
)

log = structlog.get_logger(__name__)

_CHUNK = 1 << 16  # bytes of one read
_READS = 20  # reads of the output of a worker after its end
_MAX_LINE = 1 << 14  # bytes of one line of output in the log
_MAX_LAST_LINE = 300  # bytes of `last_line`
_AHEAD = 4  # messages in the queue from which on a table load waits

# This thread starts the processes, so they get its priority (see priority.py). It lives as long
# as this process, because the kernel ends a worker with the thread that started it.
_starter = ThreadPoolExecutor(1, "starter")


def starter() -> int:
    """The native id of the thread that starts workers."""
    return _starter.submit(threading.get_native_id).result()


class State(Enum):
    """The phases in the life of a worker."""

    STARTING = "starting"  # the process runs and does not have a table
    LOADING = "loading"
    OPEN = "open"  # answers queries
    DRAINING = "draining"
    GONE = "gone"


class Timeouts(Struct, frozen=True):
    """When a worker counts as stuck. Times in seconds."""

    start: float = 60.0  # until the first message; a loaded machine starts processes slowly
    silence: float = 10.0  # between two messages
    backlog: int = 64 << 20  # bytes of changes that the worker has not read


class Load(Protocol):
    """The table load that a worker takes part in (table_load.py)."""

    def resume(self) -> None:
        """A queue has room again, or the worker ended."""


class WorkerProcess:
    """A worker process. `ended` gets the reason of its end, as a clause, when it is reaped."""

    def __init__(
        self,
        setup: Setup,
        listeners: Sequence[Listener],
        *,
        timeouts: Timeouts,
        on_message: Callable[[WorkerProcess, Up], None],
    ) -> None:
        """Starts the process, on the running event loop. Raises OSError if it cannot start."""
        self.state = State.STARTING
        self.applied = -1  # the last step that the worker reported as applied
        self.load: Load | None = None
        self.counters = counters.zero()
        self.lag = 0.0
        self.servers: tuple[Upstream, ...] = ()
        self.started = self.heard_at = time.monotonic()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.index = setup.index
        self._timeouts = timeouts
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._assembler = Assembler(MAX_UP)
        self._queue: deque[tuple[bytes, int]] = deque()  # a message, and its part of the backlog
        self._backlog = 0  # bytes of changes in the queue
        self._sending: memoryview | None = None  # the rest of a message of which a part is sent
        self._writing = False  # waits until the channel takes more
        self._reason = ""
        self._line = b""
        self.last_line = ""  # of its output that is not a log line
        self._channel, channel_of_worker = socket.socketpair()
        self._channel.setblocking(False)
        self._output, output_of_worker = os.pipe()
        os.set_blocking(self._output, False)
        try:
            started = _starter.submit(_spawn, channel_of_worker, output_of_worker, listeners)
            self.process = started.result()
        except OSError:
            self._channel.close()
            os.close(self._output)
            raise
        finally:
            channel_of_worker.close()
            os.close(output_of_worker)
        self._loop.add_reader(self._channel, self._readable)
        self._loop.add_reader(self._output, self._read_output)
        self.put(packed(msgspec.structs.replace(setup, sockets=_sockets(listeners))))

    # -- down ------------------------------------------------------------------------------

    def begin(self, load: Load) -> None:
        """From now on the messages of this table load are put here, and of no other."""
        self.load = load
        if self.state is State.STARTING:
            self.state = State.LOADING

    @property
    def has_room(self) -> bool:
        """Whether the queue is short enough for another frame of a table."""
        return len(self._queue) < _AHEAD

    def change(self, message: bytes) -> None:
        """Send a packed `Table` that holds a change. Ends a worker that does not read them."""
        if self.state in (State.STARTING, State.GONE):  # its table will have the change
            return
        self._backlog += len(message)
        if self._backlog > self._timeouts.backlog:
            self.kill("it did not read its changes")
        else:
            self.put(message, len(message))

    def send(self, message: Down) -> None:
        """Send a small message that is not a change; only to an open worker."""
        if self.state is State.OPEN:
            self.put(packed(message))

    def drain(self, order: Drain) -> None:
        """Have the worker finish and exit."""
        if self.state is not State.GONE:
            self.state = State.DRAINING
            self.put(packed(order))

    def kill(self, reason: str) -> None:
        """End the worker at once; `ended` gets the reason."""
        self._reason = self._reason or reason
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)

    def is_silent(self) -> bool:
        """Whether the last message is so old that the worker must be stuck."""
        timeouts = self._timeouts
        limit = timeouts.start if self.heard_at == self.started else timeouts.silence
        return time.monotonic() - self.heard_at > limit

    def put(self, message: bytes, backlog: int = 0) -> None:
        """Queue a packed message, and write at once: clients wait for a change."""
        self._queue.append((message, backlog))
        if self._channel.fileno() >= 0 and self._write() and not self._writing:
            self._writing = True
            self._loop.add_writer(self._channel, self._writable)

    def _writable(self) -> None:
        if not self._write():
            self._writing = False
            self._loop.remove_writer(self._channel)

    def _write(self) -> bool:
        """Send one message, or what the channel takes of it; whether there is more."""
        if self._sending is None:
            if not self._queue:
                return False
            message, backlog = self._queue.popleft()
            self._sending = memoryview(message)
            self._backlog -= backlog
        try:
            sent = self._channel.send(self._sending)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False  # the reader sees the end of the channel
        self._sending = self._sending[sent:] if sent < len(self._sending) else None
        if self.load is not None and self.has_room:
            self.load.resume()
        return self._sending is not None or bool(self._queue)

    # -- up --------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._channel.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        try:
            for body in self._assembler.take(data):
                self._receive(read_up(body))
        except BadMessage as error:
            self.kill(f"it sent an invalid message: {error}")

    def _receive(self, message: Up) -> None:
        self.heard_at = time.monotonic()
        if isinstance(message, Heartbeat):
            if len(message.counters) != len(counters.names()):
                raise BadMessage(f"a heartbeat with {len(message.counters)} counters")
            self.counters, self.lag = message.counters, message.lag
            self.servers = message.servers
        elif isinstance(message, Applied):
            self.applied = max(self.applied, message.step)
        elif isinstance(message, Opened) and self.state is State.LOADING:
            self.state = State.OPEN
        elif isinstance(message, Drained):
            self._reason = "it finished" if message.clean else "it did not finish in time"
        self._on_message(self, message)

    def _read_output(self) -> None:
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._output)
            return
        *lines, self._line = (self._line + data).split(b"\n")
        self._line = self._line[-_MAX_LINE:]
        for line in lines:
            if line.strip() and not line.startswith(b"{"):
                self.last_line = line[:_MAX_LAST_LINE].decode("utf-8", "replace").strip()
            _log_output(self.index, line[:_MAX_LINE])

    # -- the end ---------------------------------------------------------------------------

    def _end(self) -> None:
        if self.state is State.GONE:
            return
        self.state = State.GONE
        self._queue.clear()
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._channel.close()
        if self.load is not None:
            self.load.resume()
        self._tasks.start(self._reap(), "reap a worker")

    async def _reap(self) -> None:
        # The worker closed its channel, so it exits or already has. A worker that does not
        # exit gets one second. A thread waits, because waiting could block.
        try:
            await asyncio.to_thread(self.process.wait, 1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
        for _ in range(_READS):  # its last output may still be in the pipe
            self._read_output()
        self._loop.remove_reader(self._output)
        os.close(self._output)
        self.ended.set_result(self._reason or _how_it_ended(self.process.returncode))


def _log_output(index: int, line: bytes) -> None:
    """Log a line of output of a worker: JSON lines are its log, others are logged as text."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
        event, level = str(fields.pop("event")), str(fields.pop("level", "info"))
    except (msgspec.DecodeError, KeyError):
        text = line.decode("utf-8", "replace")
        log.warning("output of a worker", worker=index, line=text)
        return
    fields.pop("timestamp", None)
    write = {"debug": log.debug, "info": log.info, "warning": log.warning}.get(level, log.error)
    write(event, **{**fields, "worker": index})


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"it exited with code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"


def _sockets(listeners: Sequence[Listener]) -> tuple[Socket, ...]:
    return tuple([Socket(each.socket.fileno(), each.transport.name) for each in listeners])


def _spawn(
    channel: socket.socket, output: int, listeners: Sequence[Listener]
) -> subprocess.Popen[bytes]:
    """A fresh interpreter, which gets no memory and no other open files of this process."""
    return subprocess.Popen(  # noqa: S603  (the interpreter and a module of dnsd)
        [sys.executable, "-P", "-m", "dnsd.worker", str(channel.fileno()), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=[channel.fileno(), *(inherited.fd for inherited in _sockets(listeners))],
        env=_environment(),
        # Signals of a terminal do not reach a process group of its own. A session of its own
        # would also escape `nice`: Linux divides the cores among sessions first (sched(7),
        # autogroup).
        process_group=0,
    )


# The variables that Python needs to start. Others may hold secrets, so a worker does not get them.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    root = Path(__file__).resolve().parents[2]
    if root.name not in ("site-packages", "dist-packages"):
        # dnsd runs from a checkout. With -P the worker does not search the current directory,
        # so it needs the path.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (kept.get("PYTHONPATH"), str(root))))
    return kept
