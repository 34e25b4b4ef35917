"""A small client: asks one question, checks a server, waits for an answer."""

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
    """The code's name, the answer records' data as text, and the reply's size in octets."""

    rcode: str
    answers: tuple[str, ...]
    size: int


class Client:
    """A UDP socket that asks one server over loopback, one question at a time."""

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

    def ask_raw(self, query: bytes, seconds: float) -> bytes | None:
        """The reply to a packed query; None when none comes, or nobody listens.

        Gives the query an identifier of its own, so that a late reply is not taken for this one's.
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

    def ask(self, query: bytes, seconds: float = 1.0) -> Reply | None:
        """Like `ask_raw`, parsed. Raises `BenchError` for what is no DNS message."""
        reply = self.ask_raw(query, seconds)
        if reply is None:
            return None
        try:
            parsed = DNSRecord.parse(reply)
        except DNSError as error:
            raise BenchError(f"the server sent no DNS message: {error}") from error
        return Reply(
            str(RCODE.get(parsed.header.rcode)),
            tuple(str(one.rdata) for one in parsed.rr),
            len(reply),
        )


def packed(name: str, type_: str) -> bytes:
    """A query on the wire, RD set, no EDNS."""
    return bytes(DNSRecord.question(name, type_).pack())


def is_right(reply: Reply | None, asked: Question) -> bool:
    """Whether the reply has the code and the first record that the question expects."""
    if reply is None or reply.rcode != asked.rcode:
        return False
    return reply.answers[:1] == ((asked.first,) if asked.first else ())


def check(server: str, port: int, asked: list[Question]) -> None:
    """Asks every question once. Raises `BenchError` for the first wrong answer."""
    with Client(port) as client:
        for one in asked:
            reply = client.ask(packed(one.name, one.type))
            if not is_right(reply, one):
                want = f"{one.rcode} {one.first}".rstrip()
                raise BenchError(
                    f"{server}: {one.name} {one.type}: expected {want}, got {reply or 'nothing'}"
                )


def wait_right(
    port: int, asked: Question, alive: Callable[[], bool], seconds: float
) -> float | None:
    """Asks every millisecond until the answer is right; the time (monotonic) it came at.

    None when the server died or the time was over. Codes other than the right one (SERVFAIL
    before a server is ready, REFUSED while it has no zone) are waited over.
    """
    query = packed(asked.name, asked.type)
    end = time.monotonic() + seconds
    with Client(port) as client:
        while time.monotonic() < end and alive():
            reply = client.ask(query, 0.05)
            at = time.monotonic()
            if is_right(reply, asked):
                return at
            time.sleep(0.001)
    return None
