"""Who sent a datagram, and which of our addresses it was sent to.

A reply has to leave from the address that was asked. On a socket bound to one address it
does so by itself; on a wildcard bind the kernel chooses by route, and on a host with several
addresses the client would see a stranger's reply and drop it. So such sockets ask for the
destination of each packet (IP_PKTINFO, IPV6_RECVPKTINFO: ip(7), ipv6(7), RFC 3542 section 6)
and hand it back with the reply.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from msgspec import Struct

# Linux' number, where the socket module does not name it (it does from Python 3.14 on).
IP_PKTINFO: int = getattr(socket, "IP_PKTINFO", 8)

_IPV6_PKTINFO: int = getattr(socket, "IPV6_PKTINFO", 50)
_IPV6_RECVPKTINFO: int = getattr(socket, "IPV6_RECVPKTINFO", 49)

_CMSG = struct.Struct("@Nii")  # struct cmsghdr: length, level, type
_SOCKADDR_IN6 = struct.Struct("!2xHI16s")

Ancillary = list[tuple[int, int, bytes]]


class Peer(Struct, frozen=True):
    """The way back: what `socket.sendmsg` needs, and the address the engine is shown.

    `packed`: 4 or 16 bytes. `ancillary`: empty when the socket has one address anyway.
    """

    packed: bytes
    address: tuple[Any, ...]
    ancillary: Ancillary


def is_wildcard(sock: socket.socket) -> bool:
    """Whether the socket is bound to every address of the host."""
    return sock.getsockname()[0] in ("0.0.0.0", "::")


def ask_for_destination(sock: socket.socket) -> None:
    """Have each packet say which address it was sent to. Raises OSError when it cannot."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def peer_of(name: bytes, control: bytes) -> Peer:
    """A Peer from the kernel's own structures: a sockaddr, and one control message or b""."""
    ancillary: Ancillary = []
    if control:
        length, level, kind = _CMSG.unpack_from(control)
        if _CMSG.size <= length <= len(control):
            ancillary = [(level, kind, control[_CMSG.size : length])]
    if len(name) == 16:
        packed = name[4:8]
        port = int.from_bytes(name[2:4], "big")
        return Peer(packed, (socket.inet_ntop(socket.AF_INET, packed), port), ancillary)
    port, flow, packed = _SOCKADDR_IN6.unpack_from(name)
    scope = int.from_bytes(name[24:28], sys.byteorder)
    host = socket.inet_ntop(socket.AF_INET6, packed)
    return Peer(packed, (host, port, flow, scope), ancillary)


def peer_from(family: int, address: tuple[Any, ...], ancillary: Ancillary) -> Peer:
    """A Peer from what `socket.recvmsg` returned."""
    packed = socket.inet_pton(family, address[0].partition("%")[0])
    return Peer(packed, address, [_without_interface(*item) for item in ancillary])


def _without_interface(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    # The interface the query came in by need not be the one the reply leaves by.
    if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
        return level, kind, bytes(4) + data[4:]
    if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
        return level, kind, data[:16] + bytes(4)
    return level, kind, data
