"""The worker process: it holds sockets and answer tables, and answers queries.

In `worker/` (data plane). Change here: what a worker does with a message of the control process.

A worker starts with two arguments, the file descriptor of its channel and the process id of its
parent. All else comes through the channel. It inherits the sockets that it answers on, and opens
only those of queries to upstream servers. Its steps:

1. It has the kernel end it when the parent ends, and gives up the right to gain privileges.
2. It reads `Setup`, before there is an event loop, because `Setup` decides its kind.
3. It applies each `Table` in one step. Queries wait in the sockets meanwhile.
4. At `Open`, it freezes what the garbage collector need not walk, and starts to answer.
5. At `Drain`, it finishes and exits. When the channel ends, the parent is gone: it exits at once.

The control process handles signals. A worker ignores them, so that Ctrl-C on a terminal does not
end the workers before the parent has drained them.

The garbage collector: tables are hundreds of thousands of dicts, bytes, and tuples, without cycles
that matter. A collection would walk them all and free nothing, and no query is answered in those
tens of milliseconds. So the collector is off while a table is loaded, everything that exists then
is frozen, and young objects are collected rarely.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dnsd.answer.engine import Engine
from dnsd.answer.outcome import Deferred
from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import Shared
from dnsd.observe.logging import configure
from dnsd.observe.tap import Samples, Tap, Watch
from dnsd.runtime.loop import loop_factory
from dnsd.runtime.memory import give_back
from dnsd.runtime.priority import request_short_slices
from dnsd.transport.answering import Answering
from dnsd.transport.listener import adopt
from dnsd.transport.registry import TRANSPORTS, Server, named
from dnsd.upstream.status import is_clients_frame
from dnsd.worker.counters import collect
from dnsd.worker.messages import (
    HEARTBEAT,
    MAX_DOWN,
    Applied,
    Assembler,
    BadMessage,
    Down,
    Drain,
    Drained,
    Flush,
    Flushed,
    Heartbeat,
    Open,
    Opened,
    Peek,
    Peeked,
    Probe,
    Probed,
    Setup,
    Table,
    Up,
    packed,
    read_down,
)

if TYPE_CHECKING:
    from dnsd.answer.views import Views
    from dnsd.worker.forwarding import Forwarding

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 1, 15, 38  # prctl(2)
_SETUP_TIMEOUT = 30.0  # seconds; the parent sends it first
_CHUNK = 1 << 16  # octets; malloc would get a larger buffer from the kernel each time
_MAX_UNSENT = 1 << 16  # octets; beyond, heartbeats and samples are left out


def main(arguments: Sequence[str]) -> int:
    """Runs a worker. `arguments`: file descriptor of the channel, process id of the parent."""
    channel, parent = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    os.set_inheritable(channel.fileno(), False)
    _tie_to_parent(parent)
    request_short_slices()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    assembler = Assembler(MAX_DOWN)
    setup, rest = _read_setup(channel, assembler)
    configure(setup.log_level, "json")
    with asyncio.Runner(loop_factory=loop_factory(setup.uvloop)) as runner:
        return runner.run(_Worker(channel, assembler, setup).run(rest))


def _tie_to_parent(parent: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the end of the channel ends it
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_NAME, b"dnsd-worker", 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call to prctl
        os._exit(0)


def _read_setup(channel: socket.socket, assembler: Assembler) -> tuple[Setup, list[Down]]:
    channel.settimeout(_SETUP_TIMEOUT)
    messages: list[Down] = []
    while not messages:
        data = channel.recv(_CHUNK)
        if not data:
            raise BadMessage("the channel ended before Setup")
        messages = [read_down(body) for body in assembler.take(data)]
    channel.setblocking(False)
    if not isinstance(messages[0], Setup):
        raise BadMessage(f"the first message is {type(messages[0]).__name__}, not Setup")
    return messages[0], messages[1:]


class _Worker:
    """One worker process: its engine, its servers, and its end of the channel."""

    def __init__(self, channel: socket.socket, assembler: Assembler, setup: Setup) -> None:
        self.channel, self.assembler = channel, assembler
        self.engine = _engine_of(setup.engine)
        self.forwarding = _forwarding(setup, self.engine)  # None: external names are refused
        self.stage = self.forwarding.stage if self.forwarding else self.engine
        self.servers: list[Server] = []
        self.unsent = bytearray()
        self.writing = False  # waits until the channel takes more
        self.opened = False
        self.draining: asyncio.Task[None] | None = None
        for inherited in setup.sockets:
            transport = named(inherited.transport)
            answering = Answering(transport, self.stage, self.defer, setup.limits)
            self.servers.append(TRANSPORTS[transport]()(adopt(inherited.fd), answering))

    async def run(self, first: list[Down]) -> int:
        """Runs until the worker is drained; returns the exit code."""
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self.loop.create_future()
        self.tap = Tap(self.stage, self.servers, self._send_samples, self.loop)
        gc.disable()
        for message in first:
            self._handle(message)
        self.loop.add_reader(self.channel, self._readable)
        self._heartbeat(self.loop.time())
        return await self.ended

    # -- messages of the control process ---------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self.channel.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            os._exit(0)  # the parent is gone
        try:
            for body in self.assembler.take(data):
                self._handle(read_down(body))
        except Exception as error:  # noqa: BLE001  (a table that may be wrong must not answer)
            if not self.ended.done():
                self.ended.set_exception(error)

    def _handle(self, message: Down) -> None:
        if isinstance(message, Table):
            self._apply(message.frames)
            self._send(Applied(message.step))
        elif isinstance(message, Open):
            self._open()
        elif isinstance(message, Drain):
            if self.draining is None:
                self.draining = self.loop.create_task(self._drain(message))
                self.draining.add_done_callback(self._drain_ended)
        elif isinstance(message, Watch):
            self.tap.watch(message)
        elif isinstance(message, Probe):
            self._probe(message)
        elif isinstance(message, Peek):
            resolver = self.forwarding.resolver if self.forwarding else None
            where = resolver.where(message.name, message.qtype) if resolver else None
            self._send(Peeked(message.id, where))
        elif isinstance(message, Flush):
            resolver = self.forwarding.resolver if self.forwarding else None
            removed = resolver.cache.flush(message.name) if resolver else -1
            self._send(Flushed(message.id, removed))
        else:
            raise BadMessage("Setup came twice")

    def _apply(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if not is_clients_frame(frame):
                self.engine.apply(frame)
            elif self.forwarding:
                self.forwarding.clients.apply(frame)
        if self.forwarding:
            self.forwarding.set_zones()

    def _open(self) -> None:
        if self.opened:  # after another whole table; a collection would delay queries
            gc.freeze()
            give_back()
            return
        self.opened = True
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        gc.enable()
        give_back()
        for server in self.servers:
            server.start()
        if self.forwarding:
            self.forwarding.forwarder.start()
        self._send(Opened())

    def _drain_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self.ended.done():
            self.ended.set_exception(error)

    async def _drain(self, order: Drain) -> None:
        waits = [server.drain(order.quiet, order.limit, order.handover) for server in self.servers]
        clean = all(await asyncio.gather(*waits))
        for server in self.servers:
            server.close()
        if self.forwarding:
            await self.forwarding.forwarder.close()
        self._send(Heartbeat(self._totals(), 0.0))
        self._send(Drained(clean))
        self.channel.setblocking(True)
        with contextlib.suppress(OSError):
            self.channel.sendall(self.unsent)
        self.ended.set_result(0)

    def _probe(self, probe: Probe) -> None:
        transport = self.engine.shared.transports[probe.transport]
        outcome = self.stage.answer(probe.packet, probe.client, transport)

        def send(reply: bytes | None) -> None:
            self._send(Probed(probe.id, reply))

        if isinstance(outcome, Deferred):
            self.defer(outcome, send)
        else:
            send(outcome if isinstance(outcome, bytes) else None)

    def defer(self, outcome: Deferred, send: Callable[[bytes | None], None]) -> None:
        """Hands a deferred query to the handler of its kind, which sends the reply later."""
        assert self.forwarding is not None  # noqa: S101 - only forwarding defers queries
        self.forwarding.handlers[outcome.kind](outcome, send)

    # -- messages to the control process ---------------------------------------------------

    def _send_samples(self, bundle: Samples) -> bool:
        if len(self.unsent) >= _MAX_UNSENT:
            return False
        self._send(bundle)
        return True

    def _totals(self) -> tuple[int, ...]:
        resolver = self.forwarding.resolver if self.forwarding else None
        return collect(self.engine, self.servers, resolver)

    def _heartbeat(self, due: float) -> None:
        now = self.loop.time()
        if len(self.unsent) < _MAX_UNSENT:
            upstreams = self.forwarding.upstreams() if self.forwarding else ()
            self._send(Heartbeat(self._totals(), max(0.0, now - due), upstreams))
        self.loop.call_at(now + HEARTBEAT, self._heartbeat, now + HEARTBEAT)

    def _send(self, message: Up) -> None:
        waiting = bool(self.unsent)
        self.unsent += packed(message)
        if not waiting:
            self._write()

    def _write(self) -> None:
        try:
            sent = self.channel.send(self.unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            os._exit(0)  # the parent is gone
        del self.unsent[:sent]
        if self.unsent and not self.writing:
            self.writing = True
            self.loop.add_writer(self.channel, self._write)
        elif self.writing and not self.unsent:
            self.writing = False
            self.loop.remove_writer(self.channel)


def _engine_of(config: EngineConfig) -> Engine | Views:
    shared = Shared(config, TRANSPORTS)
    if not config.views:
        return Engine(shared)
    from dnsd.answer.views import Views  # imports the schema

    return Views(shared)


def _forwarding(setup: Setup, engine: Engine | Views) -> Forwarding | None:
    if setup.upstream is None:
        return None
    from dnsd.worker.forwarding import Forwarding  # imports the resolver

    return Forwarding(setup.upstream, engine, setup.engine.udp_size)
