"""The process that answers: sockets, tables, nothing else.

It is started with two arguments, the file descriptor of its feed and the process id of its
parent, and learns the rest from the feed. The sockets it answers on are inherited; it opens
none but those of questions to upstreams. What it does in its life:

1. ask the kernel to end it when the parent ends, and give up gaining privileges;
2. read `Setup` (before there is an event loop, whose kind it decides);
3. apply `Table`s as they come, each in one step; queries wait in the sockets meanwhile;
4. at `Open`, freeze what the garbage collector would walk for nothing, and answer;
5. at `Drain`, finish as told and exit. When the feed ends, the parent is gone: exit at once.

Signals are for the control process, which is told what to do by whoever runs dnsd; a worker
ignores them, so that Ctrl-C on a terminal does not take the workers away before the parent
has drained them.

The garbage collector: tables are dicts of bytes and tuples, some hundred thousand of them,
without cycles that matter. A collection walks them all and frees nothing, for tens of
milliseconds in which no query is answered. So collection is off while a table is loaded,
everything that then exists is frozen, and young garbage is looked at rarely.
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
from dnsd.observe.logging import configure
from dnsd.observe.tap import Samples, Tap, Watch
from dnsd.runtime.loop import loop_factory
from dnsd.runtime.memory import give_back
from dnsd.runtime.priority import request_short_slices
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
    Upstream,
    packed,
    read_down,
)

if TYPE_CHECKING:
    from dnsd.answer.views import Views
    from dnsd.worker.forwarding import Forwarding

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 1, 15, 38  # prctl(2)
_SETUP_TIMEOUT = 30.0  # seconds; the parent sends it before anything else
_CHUNK = 1 << 16  # below what malloc would ask the kernel for, each time
_MAX_SERVERS = 100  # upstream servers that a pulse tells of
_MAX_UNSENT = 1 << 16  # a parent that reads nothing for so long gets no more pulses


def main(arguments: Sequence[str]) -> int:
    """Run a worker; `arguments`: feed file descriptor, parent's process id."""
    feed, parent = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    os.set_inheritable(feed.fileno(), False)
    _tie_to_parent(parent)
    request_short_slices()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    assembler = Assembler(MAX_DOWN)
    setup, rest = _read_setup(feed, assembler)
    configure(setup.log_level, "json")
    with asyncio.Runner(loop_factory=loop_factory(setup.uvloop)) as runner:
        return runner.run(_Worker(feed, assembler, setup).run(rest))


def _tie_to_parent(parent: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the feed's end must do
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_NAME, b"dnsd-worker", 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(0)


def _read_setup(feed: socket.socket, assembler: Assembler) -> tuple[Setup, list[Down]]:
    feed.settimeout(_SETUP_TIMEOUT)
    messages: list[Down] = []
    while not messages:
        data = feed.recv(_CHUNK)
        if not data:
            raise BadMessage("the feed ended before it began")
        messages = [read_down(body) for body in assembler.take(data)]
    feed.setblocking(False)
    if not isinstance(messages[0], Setup):
        raise BadMessage(f"the first message is {type(messages[0]).__name__}, not Setup")
    return messages[0], messages[1:]


class _Worker:
    """One worker process: its engine, its transports, its end of the feed."""

    def __init__(self, feed: socket.socket, assembler: Assembler, setup: Setup) -> None:
        self.feed, self.assembler, self.setup = feed, assembler, setup
        self.engine = _engine_of(setup.engine)
        self.forwarding = _forwarding(setup, self.engine)
        self.forwarder = self.forwarding.forwarder if self.forwarding is not None else None
        self.zoned = 0  # of the table when `forwarder` was last told which zones are ours
        self.stage = self.forwarding.stage if self.forwarding is not None else self.engine
        self.handlers = self.forwarding.handlers if self.forwarding is not None else {}
        self.servers: list[Server] = []
        self.unsent = bytearray()
        self.writing = False  # when the feed takes more of it
        self.opened = False
        self.draining: asyncio.Task[None] | None = None
        for one in setup.sockets:
            transport = named(one.transport)
            server, sock = TRANSPORTS[transport](), adopt(one.fd)
            self.servers.append(
                server(sock, transport, self.stage, on_deferred=self.defer, limits=setup.limits)
            )

    async def run(self, first: list[Down]) -> int:
        """Live until told to stop; the exit code."""
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self.loop.create_future()
        self.tap = Tap(self.stage, self.servers, self._say_samples, self.loop)
        gc.disable()
        for message in first:
            self._do(message)
        self.loop.add_reader(self.feed, self._readable)
        self._heartbeat(self.loop.time())
        return await self.ended

    # -- down ------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self.feed.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            os._exit(0)  # the parent is gone: nobody would replace us, count us, stop us
        try:
            for body in self.assembler.take(data):
                self._do(read_down(body))
        except Exception as error:  # noqa: BLE001  (a table in doubt must not answer on)
            if not self.ended.done():
                self.ended.set_exception(error)

    def _do(self, message: Down) -> None:
        if isinstance(message, Table):
            self._apply(message.frames)
            self._say(Applied(message.step))
        elif isinstance(message, Open):
            self._open()
        elif isinstance(message, Drain):
            self.draining = self.draining or self.loop.create_task(self._drain(message))
        elif isinstance(message, Watch):
            self.tap.watch(message)
        elif isinstance(message, Probe):
            self._probe(message)
        elif isinstance(message, Peek):
            resolver = self.forwarder.resolver if self.forwarder is not None else None
            where = resolver.where(message.name, message.qtype) if resolver else None
            self._say(Peeked(message.id, where))
        elif isinstance(message, Flush):
            cache = self.forwarder.resolver.cache if self.forwarder is not None else None
            self._say(Flushed(message.id, cache.flush(message.name) if cache else -1))
        else:
            raise BadMessage("a second Setup")

    def _apply(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if is_clients_frame(frame):
                if self.forwarding is not None:
                    self.forwarding.clients.apply(frame)
            else:
                self.engine.apply(frame)
        if self.forwarder is not None and self.zoned != self.engine.table.zoned:
            self.zoned = self.engine.table.zoned
            self.forwarder.set_zones(self.engine.table.zone_refs.keys())

    def _open(self) -> None:
        if self.opened:  # another table has come: a collection would make queries wait
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
        if self.forwarder is not None:
            self.forwarder.start()
        self._say(Opened())

    async def _drain(self, order: Drain) -> None:
        waits = [one.drain(order.quiet, order.limit, order.handover) for one in self.servers]
        clean = all(await asyncio.gather(*waits))
        for server in self.servers:
            server.close()
        if self.forwarder is not None:
            await self.forwarder.close()
        self._say(Heartbeat(self._totals(), 0.0))
        self._say(Drained(clean))
        self.feed.setblocking(True)
        with contextlib.suppress(OSError):
            self.feed.sendall(self.unsent)
        self.ended.set_result(0)

    def _probe(self, probe: Probe) -> None:
        transport = self.engine.shared.transports[probe.transport]
        outcome = self.stage.answer(probe.packet, probe.client, transport)

        def send(reply: bytes | None) -> None:
            self._say(Probed(probe.id, reply))

        if isinstance(outcome, Deferred):
            self.defer(outcome, send)
        else:
            send(outcome if isinstance(outcome, bytes) else None)

    def defer(self, outcome: Deferred, send: Callable[[bytes | None], None]) -> None:
        """Hands a deferred query to the handler of its kind, which sends the reply later."""
        self.handlers[outcome.kind](outcome, send)

    # -- up --------------------------------------------------------------------------------

    def _say_samples(self, bundle: Samples) -> bool:
        if len(self.unsent) >= _MAX_UNSENT:
            return False
        self._say(bundle)
        return True

    def _servers(self) -> tuple[Upstream, ...]:
        servers = self.forwarder.resolver.servers() if self.forwarder is not None else []
        return tuple(
            Upstream(
                str(one.spec),
                not one.health.down,
                one.health.latency,
                one.health.answers,
                one.health.timeouts,
            )
            for one in servers[:_MAX_SERVERS]
        )

    def _totals(self) -> tuple[int, ...]:
        resolver = self.forwarder.resolver if self.forwarder is not None else None
        return collect(self.engine, self.servers, resolver)

    def _heartbeat(self, due: float) -> None:
        now = self.loop.time()
        if len(self.unsent) < _MAX_UNSENT:
            self._say(Heartbeat(self._totals(), max(0.0, now - due), self._servers()))
        self.loop.call_at(now + HEARTBEAT, self._heartbeat, now + HEARTBEAT)

    def _say(self, message: Up) -> None:
        waiting = bool(self.unsent)
        self.unsent += packed(message)
        if not waiting:
            self._send()

    def _send(self) -> None:
        try:
            sent = self.feed.send(self.unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            os._exit(0)  # as in _readable
        del self.unsent[:sent]
        if self.unsent and not self.writing:
            self.writing = True
            self.loop.add_writer(self.feed, self._send)
        elif self.writing and not self.unsent:
            self.writing = False
            self.loop.remove_writer(self.feed)


def _engine_of(config: EngineConfig) -> Engine | Views:
    if not config.views:
        return Engine(config, TRANSPORTS)
    from dnsd.answer.views import Views  # imports the schema

    return Views(config, TRANSPORTS)


def _forwarding(setup: Setup, engine: Engine | Views) -> Forwarding | None:
    """The way to upstreams; None when names that are not ours are refused."""
    if setup.upstream is None:
        return None
    from dnsd.worker.forwarding import Forwarding

    return Forwarding(setup.upstream, engine, setup.engine.udp_size)
