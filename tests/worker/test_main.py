"""A worker process, from the other end of its channel: the test is the control process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dns.message
import dns.query
import pytest
from msgspec.structs import replace

from dnsd.dns.addresses import Address
from dnsd.transport.listener import Listener, bind_group, close
from dnsd.upstream.clients import compile_clients
from dnsd.worker import counters
from dnsd.worker.messages import (
    MAX_UP,
    Applied,
    Assembler,
    Down,
    Drain,
    Drained,
    Heartbeat,
    Open,
    Opened,
    Socket,
    Table,
    Up,
    packed,
    read_up,
)
from tests.helpers import until
from tests.worker.data_plane import HOST, SETUP, WEB, Plane


class Parent:
    """What the control process holds of a worker: its process, channel, and sockets."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        listeners: list[Listener],
    ) -> None:
        self.process, self.channel, self.listeners = process, channel, listeners
        self.channel.settimeout(20)
        self._assembler = Assembler(MAX_UP)
        self._received: list[Up] = []

    def send(self, *messages: Down) -> None:
        self.channel.sendall(b"".join(map(packed, messages)))

    def receive(self, kind: type[Up]) -> Up:
        """The next message of this kind; messages before it are skipped."""
        while True:
            for place, message in enumerate(self._received):
                if isinstance(message, kind):
                    del self._received[: place + 1]
                    return message
            data = self.channel.recv(65536)
            assert data, "the worker ended"
            self._received += [read_up(body) for body in self._assembler.take(data)]

    def setup(self) -> None:
        sockets = tuple(Socket(one.socket.fileno(), one.transport.name) for one in self.listeners)
        self.send(replace(SETUP, sockets=sockets))

    def load(self) -> None:
        """Setup, the table of a `Plane`, and open."""
        self.setup()
        plane = Plane()
        self.send(Table(1, tuple(plane.table())), Open())
        assert self.receive(Applied) == Applied(1)
        assert self.receive(Opened) == Opened()

    def ask(self) -> dns.message.Message:
        query = dns.message.make_query(WEB, "A")
        return dns.query.udp(query, HOST, port=self.listeners[0].address.port, timeout=20)


@contextmanager
def worker(parent: int | None = None) -> Iterator[Parent]:
    """A worker process that waits for its Setup."""
    (listeners,) = bind_group(Address(HOST, 0))
    channel, channel_of_worker = socket.socketpair()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dnsd.worker",
            str(channel_of_worker.fileno()),
            str(parent or os.getpid()),
        ],
        pass_fds=[channel_of_worker.fileno(), *(one.socket.fileno() for one in listeners)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    channel_of_worker.close()
    try:
        with channel:
            yield Parent(process, channel, listeners)
    finally:
        process.kill()
        process.communicate()
        close(listeners)


class TestLife:
    def test_it_loads_a_table_answers_counts_and_drains(self) -> None:
        with worker() as parent:
            parent.load()
            assert parent.ask().answer
            answered = counters.names().index("queries.udp.A.answer")

            def heartbeat_counts_it() -> bool:
                heartbeat = parent.receive(Heartbeat)
                assert isinstance(heartbeat, Heartbeat)
                return heartbeat.counters[answered] == 1

            until(heartbeat_counts_it)
            parent.send(Drain(0.01, 10.0))
            assert parent.receive(Drained) == Drained(clean=True)
            assert parent.process.wait(20) == 0

    def test_the_frames_of_a_step_are_acknowledged_once(self) -> None:
        with worker() as parent:
            parent.load()
            parent.send(Table(2, ()), Table(3, ()))
            assert parent.receive(Applied) == Applied(2)
            assert parent.receive(Applied) == Applied(3)

    def test_without_upstream_servers_it_ignores_frames_of_pods(self) -> None:
        with worker() as parent:
            parent.load()
            parent.send(Table(2, (compile_clients({}, reset=True),)))
            assert parent.receive(Applied) == Applied(2)
            assert parent.ask().answer

    def test_it_ignores_signals(self) -> None:
        with worker() as parent:
            parent.load()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                parent.process.send_signal(number)
            assert parent.ask().answer
            assert parent.receive(Heartbeat)


class TestEnds:
    def test_it_exits_when_the_channel_ends(self) -> None:
        with worker() as parent:
            parent.load()
            parent.channel.close()
            assert parent.process.wait(20) == 0

    def test_it_exits_if_its_parent_ended_before_it_started(self) -> None:
        with worker(parent=1) as parent:
            assert parent.process.wait(20) == 0

    @pytest.mark.parametrize(
        ("messages", "complaint"),
        [
            ((Open(),), b"the first message is Open, not Setup"),
            ((SETUP, SETUP), b"Setup came twice"),
            ((SETUP, Table(1, (b"\xff no frame",))), b"msgspec."),
        ],
    )
    def test_a_message_out_of_order_or_a_bad_frame_ends_it(
        self, messages: tuple[Down, ...], complaint: bytes
    ) -> None:
        """A worker whose table may be wrong does not answer: the supervisor replaces it."""
        with worker() as parent:
            parent.send(*messages)
            assert parent.process.wait(20) == 1
            assert parent.process.stderr
            assert complaint in parent.process.stderr.read()

    def test_a_bad_frame_after_the_start_ends_it(self) -> None:
        with worker() as parent:
            parent.load()
            parent.send(Table(2, (b"\xc0",)))
            assert parent.process.wait(20) == 1


def test_a_worker_imports_only_what_it_needs() -> None:
    """Without upstreams and views, neither the resolver nor what is known of the cluster."""
    code = "import sys, dnsd.worker.main; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    modules = set(ran.stdout.decode().split())
    assert "dnsd.answer.engine" in modules
    assert not {one for one in modules if one.startswith("dnsd.cluster")}
    assert not modules & {"dnsd.upstream.resolver", "dnsd.upstream.forwarder", "dnsd.answer.views"}
