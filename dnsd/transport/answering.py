"""What every transport shares: the shape of the engine, and what happens when it fails.

A transport carries bytes. It hands each query to an engine and gets one of three outcomes:
`bytes` is the reply, `None` means that nothing is to be sent, and any other object (an Ask)
means that the reply comes from upstream and later. An Ask goes to `on_ask` together with
the one function that carries its reply to the right client, from the address that was asked.

The engine promises never to raise. The transports do not build on that promise, because
nothing a packet says may end a process: an exception costs the packet that raised it, is
counted, and is logged at most once a second, so that whoever finds such a packet cannot
fill a disk with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from dnsd.answer.transport import Transport

log = structlog.get_logger(__name__)

# Below this a message has no header, and without an id nobody could use a reply to it.
HEADER_BYTES = 12

_LOG_INTERVAL = 1.0  # seconds between two log lines about failures

OnAsk = Callable[[Any, "LateReply"], None]
"""Takes an Ask and the way back to its client. Must call the latter once, sooner or later."""


class LateReply:
    """The way back to the client of an Ask.

    Call it with the reply, or with None when there will be none. It never raises, does
    nothing when the client has gone or the transport is closed, and works once: the slot
    that the query takes up in its transport is given back with the first call.
    """

    __slots__ = ("_send",)

    def __init__(self, send: Callable[[bytes | None], None]) -> None:
        self._send: Callable[[bytes | None], None] | None = send

    def __call__(self, reply: bytes | None) -> None:
        send, self._send = self._send, None
        if send is not None:
            send(reply)


class Answerer(Protocol):
    """The part of dnsd.answer.engine.Engine that a transport needs."""

    @property
    def needs_client(self) -> bool:
        """False: the client address may be passed as b"" or None."""

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> object:
        """bytes: the reply. None: drop. Anything else: an Ask."""

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> Sequence[object]:
        """One outcome a packet; packet i is blob[i * stride : i * stride + lengths[i]]."""


class Failures:
    """Counts and logs what the engine was not supposed to raise."""

    __slots__ = ("_quiet_until", "count", "transport")

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.count = 0
        self._quiet_until = 0.0

    def note(self, error: Exception, packet: bytes) -> None:
        """Count one failure; log it with the head of the packet unless one was just logged."""
        self.count += 1
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _LOG_INTERVAL
            log.error(
                "a query was dropped because answering it failed; this is a bug",
                transport=self.transport,
                failures=self.count,
                packet=packet[:64].hex(),
                length=len(packet),
                exc_info=error,
            )


def answer_safely(
    engine: Answerer, packet: bytes, client: bytes, transport: Transport, failures: Failures
) -> object:
    """The engine's outcome for one packet; None (and a note in `failures`) when it raises."""
    try:
        return engine.answer(packet, client, transport)
    except Exception as error:  # noqa: BLE001  (whatever it is, it must not end the process)
        failures.note(error, packet)
        return None


def ask_safely(on_ask: OnAsk, ask: object, reply: LateReply, failures: Failures) -> None:
    """Hand an Ask over; when that raises, note it and give the query up."""
    try:
        on_ask(ask, reply)
    except Exception as error:  # noqa: BLE001  (as above)
        failures.note(error, b"")
        reply(None)
