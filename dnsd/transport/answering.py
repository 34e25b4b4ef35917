"""The interface between a transport and the engine, and the handling of an engine that raises.

In `transport/` (data plane: sockets). Change here: what every transport does with an outcome.

A server hands each query to a stage and gets one of four outcomes (`answer/outcome.py`). `bytes`
is the reply, and None means that no reply is due. A `Deferred` has its reply later: it goes to
`on_deferred` together with a `LateReply`, which sends the reply to the right client from the
address that the client queried. A `Stream` is a reply of many messages: a transport with framing
sends each of them, a datagram transport sends `Stream.datagram` instead.

The engine promises never to raise. The transports do not rely on it, because no packet may end a
process: an exception costs the packet that raised it, is counted, and is logged at most once a
second, so that such packets cannot fill a disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from dnsd.answer.outcome import Deferred, Outcome
from dnsd.answer.stages import Stage
from dnsd.answer.transport import Transport
from dnsd.transport.limits import StreamLimits

log = structlog.get_logger(__name__)

# A shorter message has no header (RFC 1035 section 4.1.1), so no reply to it is possible.
HEADER_BYTES = 12

_LOG_INTERVAL = 1.0  # seconds between two log lines about failures

OnDeferred = Callable[[Any, "LateReply"], None]
"""Takes a deferred query and its `LateReply`, which it must call once."""


class LateReply:
    """Sends the reply to a deferred query.

    Call it with the reply, or with None for no reply. It never raises, and does nothing if the
    client has gone or the transport is closed. Only the first call counts: it releases the place
    that the query has in its transport.
    """

    __slots__ = ("_send",)

    def __init__(self, send: Callable[[bytes | None], None]) -> None:
        self._send: Callable[[bytes | None], None] | None = send

    def __call__(self, reply: bytes | None) -> None:
        send, self._send = self._send, None
        if send is not None:
            send(reply)


class Answering:
    """What one server answers with: its stage, its transport, and the handler of deferred queries.

    `stage` may be replaced at any time (see observe/tap.py). Without `on_deferred`, deferred
    queries are dropped. `limits` are those of connections. `failures` counts the exceptions of the
    engine, each of which is a bug.
    """

    __slots__ = ("_quiet_until", "failures", "limits", "on_deferred", "stage", "transport")

    def __init__(
        self,
        transport: Transport,
        stage: Stage,
        on_deferred: OnDeferred | None = None,
        limits: StreamLimits = StreamLimits(),  # noqa: B008 - frozen
    ) -> None:
        self.transport, self.stage = transport, stage
        self.on_deferred, self.limits = on_deferred, limits
        self.failures = 0
        self._quiet_until = 0.0

    def answer(self, packet: bytes, client: bytes) -> Outcome:
        """The outcome for one packet; None if the engine raises."""
        try:
            return self.stage.answer(packet, client, self.transport)
        except Exception as error:  # noqa: BLE001  (no packet may end the process)
            self.fail(error, packet)
            return None

    def defer(self, outcome: Outcome, send: Callable[[bytes | None], None]) -> bool:
        """Hand over a deferred query, whose reply goes to `send`; if that raises, send no reply.

        False if the outcome is not a deferred query, or has no handler.
        """
        if self.on_deferred is None or not isinstance(outcome, Deferred):
            return False
        reply = LateReply(send)
        try:
            self.on_deferred(outcome, reply)
        except Exception as error:  # noqa: BLE001  (as above)
            self.fail(error, b"")
            reply(None)
        return True

    def fail(self, error: Exception, packet: bytes) -> None:
        """Count a failure; log it with the start of the packet, at most once a second."""
        self.failures += 1
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _LOG_INTERVAL
            log.error(
                "a query was dropped because answering it failed; this is a bug, please report it",
                transport=self.transport.name,
                failures=self.failures,
                packet=packet[:64].hex(),
                length=len(packet),
                exc_info=error,
            )
