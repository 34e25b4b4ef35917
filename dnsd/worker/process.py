"""One worker process as the control process sees it: its pid, its feed, what it last said.

A link writes without ever blocking and without ever holding much. What it has to write is,
in this order, a whole table, produced frame by frame as the worker takes it, and then the
changes since. The table is made from the zone as it is, so before the zone changes the
frames that are not made yet have to be: `flush_tables` does that, and the changes queue up behind
them. A worker that reads nothing while changes pile up is ended (`Timeouts.backlog`), and one
that gives no sign of life as well (`is_silent`): whoever owns the link replaces it.

What a worker prints is logged, and its last words are kept: when a worker dies, they are
usually the reason.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path

import msgspec
from msgspec import Struct

from dnsd.transport.listen import Pair
from dnsd.worker import counters
from dnsd.worker.messages import (
    MAX_UP,
    Applied,
    Assembler,
    BadFeed,
    Down,
    Drain,
    Drained,
    Heartbeat,
    Open,
    Opened,
    Setup,
    Socket,
    Table,
    Up,
    Upstream,
    packed,
    read_up,
)

_CHUNK = 1 << 16
_READS = 20  # of its output after its end, 64 KiB each
_MAX_LINE = 1 << 14
_MAX_WORDS = 300


# Starts the processes, and so lends them its priority (see priority.py). It stays as long as
# this process does, because the system ends a worker with the thread that started it.
_starter = ThreadPoolExecutor(1, "starter")


def starter() -> int:
    """The native id of the thread that starts workers."""
    return _starter.submit(threading.get_native_id).result()


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"  # the process runs, it has no table yet
    LOADING = "loading"
    OPEN = "open"  # answering
    DRAINING = "draining"
    GONE = "gone"


class Timeouts(Struct, frozen=True):
    """When a worker counts as stuck. Times in seconds."""

    start: float = 60.0  # until the first word; a loaded machine starts processes slowly
    silence: float = 10.0  # between two
    backlog: int = 64 << 20  # bytes of changes that it has not read


class WorkerProcess:
    """A worker process. `ended` has a sentence on why, once it is gone and reaped."""

    def __init__(
        self,
        setup: Setup,
        pairs: Sequence[Pair],
        *,
        timeouts: Timeouts,
        heard: Callable[[WorkerProcess, Up], None],
        printed: Callable[[WorkerProcess, bytes], None],
    ) -> None:
        """Starts the process, on the running event loop. Raises OSError when it cannot."""
        self.state = State.STARTING
        self.applied = -1  # the last step it has taken
        self.counters = counters.ZERO
        self.lag = 0.0
        self.servers: tuple[Upstream, ...] = ()
        self.started = self.heard_at = time.monotonic()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.index = setup.index
        self._patience = timeouts
        self._heard, self._printed = heard, printed
        self._loop = asyncio.get_running_loop()
        self._assembler = Assembler(MAX_UP)
        self._loading: Iterator[bytes] | None = None
        self._queue: deque[bytes] = deque()
        self._backlog = 0  # bytes of changes in the queue
        self._now: memoryview | None = None  # what is being written
        self._writing = False  # when the feed takes more
        self._reason = ""
        self._line = b""
        self.last_line = ""  # of what it printed besides its log
        self._feed, theirs = socket.socketpair()
        self._feed.setblocking(False)
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self.process = _starter.submit(_spawn, theirs, output, pairs).result()
        except OSError:
            self._feed.close()
            os.close(self._output)
            raise
        finally:
            theirs.close()
            os.close(output)
        self._loop.add_reader(self._feed, self._readable)
        self._loop.add_reader(self._output, self._read_output)
        self._put(packed(msgspec.structs.replace(setup, sockets=_sockets(pairs))))

    # -- down ------------------------------------------------------------------------------

    def load(self, frames: Iterator[bytes], step: int) -> None:
        """Send a whole table, as of `step`; the first one opens the worker.

        `frames` are taken one by one, as the worker takes them: see `flush_tables`.
        """
        self.flush_tables()
        if self.state is State.STARTING:
            self.state = State.LOADING

        def messages() -> Iterator[bytes]:
            for frame in frames:
                yield packed(Table(0, (frame,)))
            yield packed(Table(step, ()))  # now, and not before, it is at `step`
            yield packed(Open())

        self._loading = messages()
        self._want_to_write()

    def flush_tables(self) -> None:
        """Make what is left of the table now, because the zone is about to change."""
        if self._loading is not None:
            self._queue.extend(self._loading)
            self._loading = None

    def change(self, message: bytes) -> None:
        """Send a packed `Table`, after `flush_tables`. A worker that takes none is ended."""
        if self.state in (State.STARTING, State.GONE):
            return
        self._backlog += len(message)
        if self._backlog > self._patience.backlog:
            self.kill("it took no changes any more")
        else:
            self._put(message)

    def tell(self, message: Down) -> None:
        """Send something small that is no change; only an open worker hears it."""
        if self.state is State.OPEN:
            self._put(packed(message))

    def drain(self, order: Drain) -> None:
        """Tell it to finish and exit."""
        if self.state is not State.GONE:
            self.state = State.DRAINING
            self._put(packed(order))

    def kill(self, reason: str) -> None:
        """End it at once; `ended` gets the reason."""
        self._reason = self._reason or reason
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)

    def is_silent(self) -> bool:
        """Whether it is so long without a sign of life that it must be stuck."""
        timeouts = self._patience
        limit = timeouts.start if self.heard_at == self.started else timeouts.silence
        return time.monotonic() - self.heard_at > limit

    def _put(self, message: bytes) -> None:
        self._queue.append(message)
        self._want_to_write()

    def _want_to_write(self) -> None:
        """Write at once, for a change is waited for; what the feed does not take, later."""
        if self._feed.fileno() >= 0 and self._write() and not self._writing:
            self._writing = True
            self._loop.add_writer(self._feed, self._writable)

    def _writable(self) -> None:
        if not self._write():
            self._writing = False
            self._loop.remove_writer(self._feed)

    def _write(self) -> bool:
        """Send one message, or what the feed takes of it; whether there is more."""
        if self._now is None and (message := self._next()) is not None:
            self._now = memoryview(message)
        if self._now is None:
            self._backlog = 0
            return False
        try:
            sent = self._feed.send(self._now)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False  # the reader sees the end, and acts
        self._now = self._now[sent:] if sent < len(self._now) else None
        if self._now is None and self._loading is None and not self._queue:
            self._backlog = 0
            return False
        return True

    def _next(self) -> bytes | None:
        if self._loading is not None:
            # What is in the queue was put there before the table: later changes settle it.
            if self._queue:
                return self._queue.popleft()
            message = next(self._loading, None)
            if message is not None:
                return message
            self._loading = None
        return self._queue.popleft() if self._queue else None

    # -- up --------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._feed.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        try:
            for body in self._assembler.take(data):
                self._hear(read_up(body))
        except BadFeed as error:
            self.kill(f"it said what no worker says: {error}")

    def _hear(self, message: Up) -> None:
        self.heard_at = time.monotonic()
        if isinstance(message, Heartbeat):
            if len(message.counters) != len(counters.NAMES):
                raise BadFeed(f"{len(message.counters)} counters")
            self.counters, self.lag = message.counters, message.lag
            self.servers = message.servers
        elif isinstance(message, Applied):
            self.applied = max(self.applied, message.step)
        elif isinstance(message, Opened) and self.state is State.LOADING:
            self.state = State.OPEN
        elif isinstance(message, Drained):
            self._reason = "it finished" if message.clean else "it was out of time to finish"
        self._heard(self, message)

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
                self.last_line = line[:_MAX_WORDS].decode("utf-8", "replace").strip()
            self._printed(self, line[:_MAX_LINE])

    # -- the end ---------------------------------------------------------------------------

    def _end(self) -> None:
        if self.state is State.GONE:
            return
        self.state = State.GONE
        self._loading = None
        self._queue.clear()
        self._loop.remove_reader(self._feed)
        self._loop.remove_writer(self._feed)
        self._feed.close()
        self._reaping = self._loop.create_task(self._reap())

    async def _reap(self) -> None:
        # Its end of the feed is closed, so it is about to exit or already has. One that
        # does not gets a second; waiting is done in a thread because it could block.
        try:
            await asyncio.to_thread(self.process.wait, 1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
        for _ in range(_READS):  # what it said last may still be in the pipe
            self._read_output()
        self._loop.remove_reader(self._output)
        os.close(self._output)
        self.ended.set_result(self._reason or _how_it_ended(self.process.returncode))


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"it exited with code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"


def _sockets(pairs: Sequence[Pair]) -> tuple[Socket, ...]:
    found = []
    for pair in pairs:
        found += [Socket(pair.udp.fileno(), "udp"), Socket(pair.tcp.fileno(), "tcp")]
    return tuple(found)


def _spawn(feed: socket.socket, output: int, pairs: Sequence[Pair]) -> subprocess.Popen[bytes]:
    """A fresh interpreter: nothing of this process's memory, and of its files only these."""
    return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
        [sys.executable, "-P", "-m", "dnsd.worker", str(feed.fileno()), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=[feed.fileno(), *(one.fd for one in _sockets(pairs))],
        env=_environment(),
        # Out of a terminal's reach. In a session of its own it would be out of that of `nice`
        # too: Linux shares the cores out among sessions first (sched(7), autogroup).
        process_group=0,
    )


# Of the environment a worker gets what Python needs to start, and nothing that may be secret.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    root = Path(__file__).resolve().parents[2]
    if root.name not in ("site-packages", "dist-packages"):
        # Run from a checkout: the worker must find this dnsd, and with -P it does not look
        # into the current directory.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (kept.get("PYTHONPATH"), str(root))))
    return kept
