"""A small DNS client: one query, a check of a server, and the wait for an answer.

In `bench/` (measurements). Change here: how the bench queries and checks a server.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from dnslib import RCODE, DNSError, DNSRecord

from bench.names import Question
from bench.procs import LOOPBACK, BenchError


@dataclass(frozen=True, slots=True)
class Reply:
    """The response code, the data of the answer section as text, and the size in octets."""

    rcode: str
    answers: tuple[str, ...]
    size: int


class Client:
    """A UDP socket that queries one server over loopback, one query at a time."""

    __slots__ = ("_id", "_socket")

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((LOOPBACK, port))
        self._id = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()

    def exchange(self, query: bytes, seconds: float) -> bytes | None:
        """The reply to a query packet, or None after `seconds` or without a listener.

        Each query gets its own ID, so a late reply to an earlier query is ignored.
        """
        self._id = self._id % 65535 + 1
        mark = self._id.to_bytes(2, "big")
        end = time.monotonic() + seconds
        try:
            self._socket.send(mark + query[2:])
            while (left := end - time.monotonic()) > 0:
                self._socket.settimeout(left)
                reply = self._socket.recv(65535)
                if reply[:2] == mark:
                    return reply
        except (TimeoutError, ConnectionRefusedError):
            pass
        return None

    def query(self, query: bytes, seconds: float = 1.0) -> Reply | None:
        """`exchange`, parsed. Raises `BenchError` if the reply is not a DNS message."""
        reply = self.exchange(query, seconds)
        if reply is None:
            return None
        try:
            parsed = DNSRecord.parse(reply)
        except DNSError as error:
            raise BenchError(f"the reply is not a DNS message: {error}") from error
        return Reply(
            str(RCODE.get(parsed.header.rcode)),
            tuple(str(one.rdata) for one in parsed.rr),
            len(reply),
        )


def query_packet(name: str, type_: str) -> bytes:
    """A query packet with RD and without EDNS."""
    return bytes(DNSRecord.question(name, type_).pack())


def is_correct(reply: Reply | None, question: Question) -> bool:
    """Whether the reply has the response code and the first record of the question."""
    if reply is None or reply.rcode != question.rcode:
        return False
    return reply.answers[:1] == ((question.first,) if question.first else ())


def check(server: str, port: int, questions: list[Question]) -> None:
    """Send each query once. Raises `BenchError` for the first wrong answer."""
    with Client(port) as client:
        for one in questions:
            reply = client.query(query_packet(one.name, one.type))
            if not is_correct(reply, one):
                want = f"{one.rcode} {one.first}".rstrip()
                raise BenchError(
                    f"{server}: {one.name} {one.type}: expected {want}, got {reply or 'no reply'}"
                )


def wait_until_correct(
    port: int, question: Question, alive: Callable[[], bool], seconds: float
) -> float | None:
    """Query every millisecond until the answer is correct; return its time (monotonic).

    Return None when the server has ended, or after `seconds`. Other response codes (SERVFAIL before
    a server is ready, REFUSED while it has no zone) do not end the wait.
    """
    query = query_packet(question.name, question.type)
    end = time.monotonic() + seconds
    with Client(port) as client:
        while time.monotonic() < end and alive():
            reply = client.query(query, 0.05)
            at = time.monotonic()
            if is_correct(reply, question):
                return at
            time.sleep(0.001)
    return None
