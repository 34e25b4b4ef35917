"""One DNS message to a server, and its reply, over a real socket.

In `tests/` (support of all tests). Change here: how a test sends a message over UDP or TCP.
"""

from __future__ import annotations

import asyncio
import socket

TIMEOUT = 10.0  # seconds; only a failing test reaches it


async def over_udp(port: int, packet: bytes, wait: float = TIMEOUT) -> bytes | None:
    """The reply to one datagram, or None after `wait` seconds."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        await loop.sock_sendall(sock, packet)
        try:
            async with asyncio.timeout(wait):
                return await loop.sock_recv(sock, 65535)
        except TimeoutError:
            return None


async def over_tcp(port: int, packet: bytes) -> bytes | None:
    """The reply to one message on a new connection, or None if the connection ends first."""
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(len(packet).to_bytes(2, "big") + packet)
            writer.write_eof()
            head = await reader.readexactly(2)
            return await reader.readexactly(int.from_bytes(head, "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        finally:
            writer.close()
