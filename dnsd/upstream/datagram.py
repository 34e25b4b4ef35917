"""One query over UDP: a socket of its own, and a careful wait for the true reply.

In `upstream/` (data plane: external names). Change here: how a reply over UDP is checked.

An attacker who cannot read the packets has to guess, and everything to guess is random and used
once (RFC 5452): the ID, the source port (a new socket for each query, its port drawn here and not
left to a counter of the kernel), and the case of the name (0x20). The socket is connected, so the
kernel drops packets from every other address and port.

A packet that does not match or cannot be read is ignored and the wait continues, because an
attacker must not be able to end it. In three cases the query moves to TCP, where guessing does not
work:

* The reply is truncated (TC).
* Only the case differs: the server does not keep the case, or an attacker guessed the rest. The
  true reply gets 0.1 s more, then TCP decides.
* There were hundreds of mismatches: an attacker is guessing.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import closing
from pathlib import Path

from dnsd.dns.message import Malformed, is_recased, is_reply_to, is_truncated
from dnsd.dns.records import Reply, read_reply
from dnsd.upstream.errors import NetworkError
from dnsd.upstream.spec import ServerSpec

# Octets; more than an upstream may send (EDNS 1232). A longer datagram is cut and then malformed.
_RECEIVE = 4_096
_MAX_MISMATCHES = 300
_DRAIN = 32  # datagrams read before other sockets are served
_RECASED_GRACE = 0.1  # seconds
_PORT_DRAWS = 8
_EPHEMERAL = (32_768, 60_999)  # Linux's default range
CASE_NOT_KEPT = "case not kept"


class UseTcp(Exception):
    """The query has to move to TCP; the text is the reason."""


def _ephemeral_ports() -> range:
    """The ephemeral ports of this machine (ip(7))."""
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
            except OSError:  # the port is taken; after some draws the kernel selects a free one
                continue
        sock.connect((spec.address, spec.port))
    except OSError:
        sock.close()
        raise
    return sock


async def query(spec: ServerSpec, packet: bytes, question: bytes) -> Reply:
    """The true reply to `packet`, whose question is `question` in its exact case.

    Waits until cancelled. Raises `UseTcp`, `NetworkError`.
    """
    try:
        with closing(_open(spec)) as sock:
            wait = _Wait(sock, packet[:2], question)
            wait.loop.add_reader(sock, wait.readable)
            try:
                sock.send(packet)
                return await wait.future
            finally:
                wait.loop.remove_reader(sock)
                wait.stop()
    except OSError as error:
        raise NetworkError(f"{spec}: {error.strerror or error}") from error


class _Wait:
    """The wait for one reply."""

    __slots__ = ("future", "grace", "id", "loop", "mismatches", "question", "sock")

    def __init__(self, sock: socket.socket, query_id: bytes, question: bytes) -> None:
        self.sock, self.id, self.question = sock, query_id, question
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Reply] = self.loop.create_future()
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
            except OSError as error:  # ICMP port unreachable
                self.fail(error)
                return
            self.check(data)

    def check(self, data: bytes) -> None:
        """Takes the true reply; ignores and counts everything else."""
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
            self.fail(UseTcp("too many mismatches"))

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def stop(self) -> None:
        if self.grace is not None:
            self.grace.cancel()
