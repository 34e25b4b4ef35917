"""One question over UDP: a socket of its own, and a careful wait for the true reply.

Somebody who cannot see our packets has to guess, and everything he has to guess is random
and used once (RFC 5452): the ID, the source port (a new socket for each question, its port
drawn here, not left to a counter), the spelling of the name (0x20). The socket is connected,
so the kernel drops what does not come from the very address and port that was asked.

What does not match or cannot be read is ignored and the wait goes on: a forger must not be
able to end it. There are three ways to be sent to TCP, where guessing does not work:

* the reply is truncated (TC);
* only the spelling differs: an upstream that does not keep case, or a forger without luck.
  The true reply gets a moment more, then TCP decides;
* hundreds of mismatches: somebody is guessing.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import closing
from pathlib import Path

from dnsd.dns.message import Malformed, is_recased, is_reply_to, is_truncated
from dnsd.dns.records import Reply, read_reply
from dnsd.upstream.config import ServerSpec
from dnsd.upstream.errors import NetworkError

# More than any upstream may send us (EDNS 1232); a longer one is cut here and then malformed.
_RECEIVE = 4_096
_MAX_MISMATCHES = 300
_DRAIN = 32  # datagrams read before other sockets get their turn
_RECASED_GRACE = 0.1  # seconds
_PORT_DRAWS = 8
_EPHEMERAL = (32_768, 60_999)  # Linux's default range
CASE_NOT_KEPT = "case not kept"


class UseTcp(Exception):
    """This question has to be asked over TCP; the text says why."""


def _ephemeral_ports() -> range:
    """The ports this machine sets apart for the near ends of connections (ip(7))."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii")
        low, high = (int(word) for word in text.split())
    except (OSError, ValueError):
        low, high = _EPHEMERAL
    return range(low, high + 1)


_PORTS = _ephemeral_ports()


def _open(spec: ServerSpec) -> socket.socket:
    """A connected, non-blocking socket with a random source port; raises OSError."""
    family = socket.AF_INET6 if ":" in spec.address else socket.AF_INET
    wildcard = "::" if family == socket.AF_INET6 else "0.0.0.0"
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        for _ in range(_PORT_DRAWS):
            try:
                sock.bind((wildcard, _PORTS[secrets.randbelow(len(_PORTS))]))
                break
            except OSError:  # taken; after some draws the kernel finds a free one by itself
                continue
        sock.connect((spec.address, spec.port))
    except OSError:
        sock.close()
        raise
    return sock


async def ask(spec: ServerSpec, packet: bytes, question: bytes) -> Reply:
    """The true reply to `packet`, whose question is `question` as spelled.

    Waits until cancelled. Raises `UseTcp`, `NetworkError`.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Reply] = loop.create_future()
    try:
        with closing(_open(spec)) as sock:
            wait = _Wait(loop, sock, packet[:2], question, future)
            loop.add_reader(sock, wait.readable)
            try:
                sock.send(packet)
                return await future
            finally:
                loop.remove_reader(sock)
                wait.stop()
    except OSError as error:
        raise NetworkError(f"{spec}: {error.strerror or error}") from error


class _Wait:
    """The wait for one reply."""

    __slots__ = ("future", "grace", "id", "loop", "mismatches", "question", "sock")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        query_id: bytes,
        question: bytes,
        future: asyncio.Future[Reply],
    ) -> None:
        self.loop, self.sock, self.id, self.question = loop, sock, query_id, question
        self.future = future
        self.mismatches = 0
        self.grace: asyncio.TimerHandle | None = None

    def readable(self) -> None:
        for _ in range(_DRAIN):
            if self.future.done():
                return
            try:
                data = self.sock.recv(_RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:  # ICMP: nobody listens there
                self.fail(error)
                return
            self.judge(data)

    def judge(self, data: bytes) -> None:
        """Takes the true reply; lets everything else pass by, counted."""
        if is_reply_to(data, self.id, self.question):
            if is_truncated(data):
                self.fail(UseTcp("truncated"))
                return
            try:
                self.future.set_result(read_reply(data))
                return
            except Malformed:
                pass
        elif self.grace is None and is_recased(data, self.id, self.question):
            self.grace = self.loop.call_later(_RECASED_GRACE, self.fail, UseTcp(CASE_NOT_KEPT))
        self.mismatches += 1
        if self.mismatches > _MAX_MISMATCHES:
            self.fail(UseTcp("somebody is guessing"))

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def stop(self) -> None:
        if self.grace is not None:
            self.grace.cancel()
