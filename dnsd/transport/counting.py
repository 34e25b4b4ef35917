"""What the transports count. Apart from them, for those who only add up."""

from __future__ import annotations

from msgspec import Struct


class UdpCounters(Struct):
    """What happened on one socket since it was opened."""

    received: int = 0
    sent: int = 0
    dropped: int = 0  # no reply was due: not a query, truncated, or answering it failed
    truncated: int = 0  # longer than we read; part of `dropped`
    deferred: int = 0  # handed to on_ask
    late: int = 0  # replies that came back from there and were sent
    batches: int = 0
    errors: int = 0  # receive calls that failed, replies that could not be sent
    failures: int = 0  # exceptions in the engine


class TcpCounters(Struct):
    """What happened on one listening socket since it was opened."""

    accepted: int = 0
    refused: int = 0  # over a limit, and nobody idle to make room
    evicted: int = 0  # idle, closed to make room
    timeouts: int = 0  # closed by one of the time limits
    received: int = 0  # messages
    sent: int = 0
    dropped: int = 0  # messages that get no reply
    malformed: int = 0  # lengths that no message can have
    deferred: int = 0  # handed to on_ask
    late: int = 0  # replies from there
    errors: int = 0  # accept calls that failed
    failures: int = 0  # exceptions in the engine
