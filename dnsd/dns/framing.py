"""Framing of messages on a stream: two octets of length before each (RFC 1035 4.2.2).

In `dns/` (wire format, no I/O). Change here: how messages are delimited on TCP and TLS.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

PREFIX = 2  # octets of the length field


def frame(message: bytes) -> bytes:
    """The message with its length field; at most 65,535 octets, else OverflowError."""
    return len(message).to_bytes(PREFIX, "big") + message


def length_of(prefix: bytes) -> int:
    """The length in octets of the message that follows this length field."""
    return int.from_bytes(prefix, "big")


async def read_frame(read_exactly: Callable[[int], Awaitable[bytes]], prefix: bytes = b"") -> bytes:
    """The next message of a stream; `prefix` is its length field, if that was read already.

    `read_exactly(n)` returns n octets; whatever it raises at the end of the stream passes through.
    """
    return await read_exactly(length_of(prefix or await read_exactly(PREFIX)))
