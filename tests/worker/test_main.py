"""A worker process from the other end of its feed: the test is the control process."""

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
    """What the control process has of a worker: its process, feed and sockets."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        feed: socket.socket,
        listeners: list[Listener],
    ) -> None:
        self.process, self.feed, self.listeners = process, feed, listeners
        self.feed.settimeout(20)
        self._assembler = Assembler(MAX_UP)
        self._heard: list[Up] = []

    def say(self, *messages: Down) -> None:
        self.feed.sendall(b"".join(map(packed, messages)))

    def hear(self, kind: type[Up]) -> Up:
        """The next message of this kind; others before it are passed over."""
        while True:
            for place, message in enumerate(self._heard):
                if isinstance(message, kind):
                    del self._heard[: place + 1]
                    return message
            data = self.feed.recv(65536)
            assert data, "the worker ended"
            self._heard += [read_up(body) for body in self._assembler.take(data)]

    def setup(self) -> None:
        sockets = tuple(Socket(one.socket.fileno(), one.transport.name) for one in self.listeners)
        self.say(replace(SETUP, sockets=sockets))

    def load(self) -> None:
        """Setup, the table of a `Plane`, and open."""
        self.setup()
        plane = Plane()
        self.say(Table(1, tuple(plane.table())), Open())
        assert self.hear(Applied) == Applied(1)
        assert self.hear(Opened) == Opened()

    def ask(self) -> dns.message.Message:
        query = dns.message.make_query(WEB, "A")
        return dns.query.udp(query, HOST, port=self.listeners[0].address.port, timeout=20)


@contextmanager
def worker(parent: int | None = None) -> Iterator[Parent]:
    """A worker process that waits for its Setup."""
    (listeners,) = bind_group(Address(HOST, 0))
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "dnsd.worker", str(theirs.fileno()), str(parent or os.getpid())],
        pass_fds=[theirs.fileno(), *(one.socket.fileno() for one in listeners)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    theirs.close()
    try:
        with ours:
            yield Parent(process, ours, listeners)
    finally:
        process.kill()
        process.communicate()
        close(listeners)


class TestLife:
    def test_it_loads_opens_answers_counts_and_drains(self) -> None:
        with worker() as parent:
            parent.load()
            assert parent.ask().answer
            answered = counters.names().index("queries.udp.A.answer")

            def pulse_counts_it() -> bool:
                heartbeat = parent.hear(Heartbeat)
                assert isinstance(heartbeat, Heartbeat)
                return heartbeat.counters[answered] == 1

            until(pulse_counts_it)
            parent.say(Drain(0.01, 10.0))
            assert parent.hear(Drained) == Drained(clean=True)
            assert parent.process.wait(20) == 0

    def test_the_frames_of_a_step_are_acknowledged_once(self) -> None:
        with worker() as parent:
            parent.load()
            parent.say(Table(2, ()), Table(3, ()))
            assert parent.hear(Applied) == Applied(2)
            assert parent.hear(Applied) == Applied(3)

    def test_clients_are_nothing_to_it_without_upstreams(self) -> None:
        with worker() as parent:
            parent.load()
            parent.say(Table(2, (compile_clients({}, reset=True),)))
            assert parent.hear(Applied) == Applied(2)
            assert parent.ask().answer

    def test_signals_are_for_the_control_process(self) -> None:
        with worker() as parent:
            parent.load()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                parent.process.send_signal(number)
            assert parent.ask().answer
            assert parent.hear(Heartbeat)


class TestEnds:
    def test_the_end_of_the_feed_is_its_own(self) -> None:
        with worker() as parent:
            parent.load()
            parent.feed.close()
            assert parent.process.wait(20) == 0

    def test_it_does_not_outlive_a_parent_that_went_before_it_looked(self) -> None:
        with worker(parent=1) as parent:
            assert parent.process.wait(20) == 0

    @pytest.mark.parametrize(
        ("messages", "complaint"),
        [
            ((Open(),), b"the first message is Open, not Setup"),
            ((SETUP, SETUP), b"a second Setup"),
            ((SETUP, Table(1, (b"\xff no frame",))), b"msgspec."),
        ],
    )
    def test_what_it_cannot_make_sense_of_ends_it(
        self, messages: tuple[Down, ...], complaint: bytes
    ) -> None:
        """Better no worker than one whose table is in doubt: it is replaced by a good one."""
        with worker() as parent:
            parent.say(*messages)
            assert parent.process.wait(20) == 1
            assert parent.process.stderr
            assert complaint in parent.process.stderr.read()

    def test_a_bad_frame_after_the_start_as_well(self) -> None:
        with worker() as parent:
            parent.load()
            parent.say(Table(2, (b"\xc0",)))
            assert parent.process.wait(20) == 1


def test_a_worker_imports_what_it_needs_only() -> None:
    """Without upstreams and views, neither the resolver nor what is known of the cluster."""
    code = "import sys, dnsd.worker.main; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    modules = set(ran.stdout.decode().split())
    assert "dnsd.answer.engine" in modules
    assert not {one for one in modules if one.startswith("dnsd.cluster")}
    assert not modules & {"dnsd.upstream.resolver", "dnsd.upstream.forwarder", "dnsd.answer.views"}
