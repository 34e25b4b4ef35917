"""Where a datagram came from, and to which address of this host it was sent.

In `transport/` (data plane: sockets). Change here: how a reply leaves from the queried address.

On a socket bound to one address, a reply leaves from there. On a wildcard address the kernel
chooses the source by route, and a client of a host with several addresses would drop a reply from
another address. So such sockets request the destination of each packet (IP_PKTINFO,
IPV6_RECVPKTINFO: ip(7), ipv6(7), RFC 3542 section 6) and send it back with the reply.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from msgspec import Struct

# The number on Linux, where the socket module has no name for it (before Python 3.14).
IP_PKTINFO: int = getattr(socket, "IP_PKTINFO", 8)

_IPV6_PKTINFO: int = getattr(socket, "IPV6_PKTINFO", 50)
_IPV6_RECVPKTINFO: int = getattr(socket, "IPV6_RECVPKTINFO", 49)

_CMSG = struct.Struct("@Nii")  # struct cmsghdr: length, level, type
_SOCKADDR_IN6 = struct.Struct("!2xHI16s")

Ancillary = list[tuple[int, int, bytes]]


class Peer(Struct, frozen=True):
    """What `socket.sendmsg` needs for a reply, and the address that the engine gets.

    `packed`: 4 or 16 bytes. `ancillary`: empty if the socket is bound to one address.
    """

    packed: bytes
    address: tuple[Any, ...]
    ancillary: Ancillary


def is_wildcard(sock: socket.socket) -> bool:
    """Whether the socket is bound to every address of the host."""
    return sock.getsockname()[0] in ("0.0.0.0", "::")


def request_destination(sock: socket.socket) -> None:
    """Have the kernel report the destination of each packet. Raises OSError if it cannot."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def peer_of(name: bytes, control: bytes) -> Peer:
    """A Peer from structures of the kernel: a sockaddr, and one control message or b""."""
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
    """A Peer from the results of `socket.recvmsg`."""
    packed = socket.inet_pton(family, address[0].partition("%")[0])
    return Peer(packed, address, [_without_interface(*item) for item in ancillary])


def _without_interface(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    # The reply need not leave by the interface by which the query came.
    if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
        return level, kind, bytes(4) + data[4:]
    if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
        return level, kind, data[:16] + bytes(4)
    return level, kind, data
