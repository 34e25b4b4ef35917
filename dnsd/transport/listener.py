"""Binds the sockets that dnsd answers on, and adopts them in the processes that serve them.

In `transport/` (data plane: sockets). Change here: socket options, and why a bind fails.

A worker that dies takes no queued packet and no port with it, because the control process holds
every socket. With several workers each has its own sockets on the same address (SO_REUSEPORT,
socket(7)), and the kernel distributes clients among them.

SO_REUSEPORT has a risk: a second server of the same user that sets it too joins without an error
and takes half of the queries. So the first socket of a group is bound without the option, which
fails if another process has the port. The option is set afterwards, and the other sockets join.
A trial bind before the real one would leave a moment in which another server could join.

Port 0 means any free port, the same one for all transports of an address.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from dnsd.answer.transport import Transport
from dnsd.dns.addresses import Address, Endpoint
from dnsd.transport.peer import is_wildcard, request_destination
from dnsd.transport.registry import PLAIN, TRANSPORTS

# Octets. The kernel caps it at net.core.rmem_max. At 100 octets a query, and about 700 that the
# kernel adds to each, 4 MiB hold about 5,000 queries: 50 ms at full speed.
_RECEIVE_BUFFER = 4 * 1024 * 1024
_BACKLOG = 1024  # connections that wait for accept; the kernel caps it at net.core.somaxconn
_PORT_TRIES = 32  # with port 0: a port that is free for UDP may be busy for TCP


class CannotListen(OSError):
    """An address cannot be bound: it is busy, not of this host, or not permitted.

    `strerror` is a sentence that names the address, the transport, and the cause.
    """


class Listener(Struct, frozen=True):
    """One bound socket, and the transport that it serves.

    `address` has the port that was bound, and the interface of a link-local address.
    """

    transport: Transport
    address: Address
    socket: socket.socket


def _address_of(sock: socket.socket) -> Address:
    host, port, *more = sock.getsockname()
    return Address(f"{host}%{_interface(more[1])}" if more and more[1] else host, port)


def _interface(number: int) -> str:
    """The name of an interface (RFC 4007 section 11); its number if the interface is gone."""
    try:
        return socket.if_indextoname(number)
    except OSError:
        return str(number)


def bind(address: Address, transport: Transport, *, join: bool = False) -> Listener:
    """A bound, non-blocking socket; one of streams accepts connections. Raises CannotListen.

    `join`: share the address with the sockets of this group; False: be the only socket there.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        sock = socket.socket(family, TRANSPORTS[transport]().socket_type)
        try:
            _bind(sock, address, join)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        place = f"{address} ({transport.label})"
        raise CannotListen(error.errno, f"cannot listen on {place}: {reason_of(error)}") from error
    return Listener(transport, _address_of(sock), sock)


def _bind(sock: socket.socket, address: Address, join: bool) -> None:
    sock.setblocking(False)
    stream = sock.type == socket.SOCK_STREAM
    if stream:
        # Connections of a former server in TIME_WAIT must not keep the port busy. The option
        # does not let two servers listen on one port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    if sock.family == socket.AF_INET6:
        # [::] is IPv6 only: one rule on every host, and no IPv4-mapped addresses.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if join:
        share(sock)
    # getaddrinfo also turns the zone of a link-local address (fe80::1%eth0) into its number.
    found: list[Any] = socket.getaddrinfo(
        address.host, address.port, sock.family, sock.type, 0, socket.AI_NUMERICHOST
    )
    sock.bind(found[0][4])
    if stream:
        sock.listen(_BACKLOG)
    elif is_wildcard(sock):
        request_destination(sock)


def share(sock: socket.socket) -> None:
    """Let later sockets bind to the address of this one, which was bound alone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def bind_group(
    address: Address, transports: Sequence[Transport] = PLAIN, workers: int = 1
) -> list[list[Listener]]:
    """For each worker, one listener of each transport on `address`. Raises CannotListen."""
    group = [_bind_first(address, transports)]
    try:
        if workers > 1:
            for listener in group[0]:
                share(listener.socket)
        for _ in range(workers - 1):
            group.append([])
            for first in group[0]:
                group[-1].append(bind(first.address, first.transport, join=True))
    except OSError:
        close(listener for listeners in group for listener in listeners)
        raise
    return group


def _bind_first(address: Address, transports: Sequence[Transport]) -> list[Listener]:
    """Listeners that share one port, which is the first one's where the address has port 0."""
    for attempt in range(_PORT_TRIES):
        listeners: list[Listener] = []
        try:
            for transport in transports:
                port = listeners[0].address.port if listeners else address.port
                listeners.append(bind(Address(address.host, port), transport))
        except CannotListen as error:
            close(listeners)
            again = address.port == 0 and listeners and error.errno == errno.EADDRINUSE
            if not again or attempt == _PORT_TRIES - 1:
                raise
        else:
            return listeners
    raise AssertionError("unreachable: the loop returns or raises")


def endpoints(listeners: Iterable[Listener]) -> list[Endpoint]:
    """The shortest text of where these answer: one entry for a plain ADDRESS:PORT."""
    found: dict[Address, list[Transport]] = {}
    for listener in listeners:
        found.setdefault(listener.address, []).append(listener.transport)
    return [
        Endpoint(address, scheme)
        for address, transports in found.items()
        for scheme in ([""] if (*transports,) == PLAIN else [one.name for one in transports])
    ]


def close(listeners: Iterable[Listener]) -> None:
    """Close the sockets in this process."""
    for listener in listeners:
        listener.socket.close()


def adopt(fd: int) -> socket.socket:
    """The socket of an inherited file descriptor, non-blocking and not inherited further.

    Raises OSError when `fd` is not a socket.
    """
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    os.set_inheritable(fd, False)
    return sock


def reason_of(error: OSError) -> str:
    """Why an address cannot be bound, and what to do about it where that is not evident."""
    return {
        errno.EADDRINUSE: "another program has this port, or dnsd runs already; give another",
        errno.EADDRNOTAVAIL: "this host does not have that address; 0.0.0.0 or [::] is every one",
        errno.EACCES: "not permitted; ports under 1024 need CAP_NET_BIND_SERVICE",
        errno.EAFNOSUPPORT: "this host has no IPv6",
        errno.EINVAL: "not an IPv6 address, or its interface is missing, as in [fe80::1%eth0]:53",
        socket.EAI_NONAME: "this host has no such interface",
    }.get(error.errno or 0, error.strerror or str(error))
