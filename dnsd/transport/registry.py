"""The transports that dnsd answers over, each declared once.

In `transport/` (data plane: sockets). Change here: add a transport or change what holds for one.
"""

from __future__ import annotations

from dnsd.answer.transport import Transport

UDP = Transport(0, "udp", datagram=True, keepalive=False)
TCP = Transport(1, "tcp", datagram=False, keepalive=True)

TRANSPORTS: list[Transport] = [UDP, TCP]


def label(index: int) -> str:
    """The name of the transport with this index; the number itself if it is out of range."""
    return TRANSPORTS[index].name if 0 <= index < len(TRANSPORTS) else str(index)
