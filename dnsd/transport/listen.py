"""Where the server listens: addresses as people write them, and the sockets bound to them.

The control process binds everything and workers inherit; a worker that dies takes no queued
packet and no port with it. With several workers each has sockets of its own on the same
address (SO_REUSEPORT), and the kernel deals clients out among them.

SO_REUSEPORT has a catch: a second server of the same user that asks for it as well joins in
silently and takes half of the queries. So the first socket of a group is bound without it,
which fails when anybody at all has the port, and is marked as shareable only afterwards;
the others then join. There is no moment at which a stranger could slip in unnoticed, as
there would be between a trial bind and the real one.

Port 0 means any free port, the same one for UDP and TCP.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from dnsd.dns.addresses import Address
from dnsd.transport.peer import ask_for_destination, is_wildcard

# Asked for, not insisted on: the kernel caps it at net.core.rmem_max. At 100 bytes a query
# (and the kernel's own 700 or so for each) 4 MiB hold about 5,000, 50 ms at full speed.
_RECEIVE_BUFFER = 4 * 1024 * 1024
_BACKLOG = 1024  # connections that wait for accept; capped at net.core.somaxconn
_PORT_TRIES = 32  # with port 0: free for UDP need not mean free for TCP


class BadAddress(ValueError):
    """The text is no address to listen on. The message has the text and what to write."""


class CannotListen(OSError):
    """The address is right but cannot be bound: busy, not ours, not permitted.

    `strerror` is a sentence that names the address and the cause.
    """


class Pair(Struct, frozen=True):
    """The two sockets of one worker on one address, bound; `tcp` listens."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def address(self) -> Address:
        """The address with the port that was really bound, a link-local one with its interface."""
        host, port, *more = self.udp.getsockname()
        return Address(f"{host}%{_interface(more[1])}" if more and more[1] else host, port)

    def close(self) -> None:
        """Close both in this process."""
        self.udp.close()
        self.tcp.close()


def _interface(number: int) -> str:
    """The name of an interface (RFC 4007 11); its number, which says the same, if it is gone."""
    try:
        return socket.if_indextoname(number)
    except OSError:
        return str(number)


def parse(text: str) -> Address:
    """The address in "127.0.0.1:1053" or "[::1]:1053".

    Raises BadAddress for anything else: host names (what they stand for may change), a port
    alone (IPv4 or IPv6, or both?), an IPv6 address without brackets.
    """
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host:
        raise BadAddress(f"{text!r}: want ADDRESS:PORT, such as 127.0.0.1:53 or [::]:53")
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= 65_535):
        raise BadAddress(f"{text!r}: the port {port!r} is not a number from 0 to 65535")
    try:
        ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError as error:
        raise BadAddress(
            f"{text!r}: {host!r} is not an IP address (host names are not looked up)"
        ) from error
    if bracketed != (ip.version == 6):
        want = f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
        raise BadAddress(f"{text!r}: write {want}")
    return Address(str(ip), int(port))


def bind_udp(address: Address, *, reuse_port: bool = False) -> socket.socket:
    """A bound, non-blocking UDP socket. Raises CannotListen.

    `reuse_port`: join others that are bound there and share; False: be the only one.
    """
    sock = _open(address, socket.SOCK_DGRAM)
    with _closed_on_error(sock, address, "UDP"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        _bind(sock, address, reuse_port)
        if is_wildcard(sock):
            ask_for_destination(sock)
    return sock


def bind_tcp(address: Address, *, reuse_port: bool = False) -> socket.socket:
    """A listening, non-blocking TCP socket. Raises CannotListen. `reuse_port` as above."""
    sock = _open(address, socket.SOCK_STREAM)
    with _closed_on_error(sock, address, "TCP"):
        # Connections of a former server that linger in TIME_WAIT must not keep us out. It
        # does not let two servers listen on one port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(sock, address, reuse_port)
        sock.listen(_BACKLOG)
    return sock


def bind_group(address: Address, workers: int = 1) -> list[Pair]:
    """UDP and TCP sockets on one address for each of `workers`. Raises CannotListen."""
    pairs = [_bind_first(address)]
    try:
        if workers > 1:
            share(pairs[0].udp)
            share(pairs[0].tcp)
            pairs += [join(pairs[0].address) for _ in range(workers - 1)]
    except OSError:
        for pair in pairs:
            pair.close()
        raise
    return pairs


def share(sock: socket.socket) -> None:
    """Let later sockets bind to the address of this one, which was bound alone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def join(address: Address) -> Pair:
    """One more pair on an address whose sockets are shared. Raises CannotListen."""
    udp = bind_udp(address, reuse_port=True)
    try:
        return Pair(udp, bind_tcp(address, reuse_port=True))
    except OSError:
        udp.close()
        raise


def adopt(fd: int) -> socket.socket:
    """The socket of an inherited file descriptor, non-blocking and not inherited further.

    Raises OSError when `fd` is no socket.
    """
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    os.set_inheritable(fd, False)
    return sock


def _bind_first(address: Address) -> Pair:
    for attempt in range(_PORT_TRIES):
        udp = bind_udp(address)
        try:
            return Pair(udp, bind_tcp(Address(address.host, udp.getsockname()[1])))
        except CannotListen as error:
            udp.close()
            again = address.port == 0 and error.errno == errno.EADDRINUSE
            if not again or attempt == _PORT_TRIES - 1:
                raise
    raise AssertionError("unreachable: the loop returns or raises")


def _open(address: Address, kind: socket.SocketKind) -> socket.socket:
    v6 = ":" in address.host
    try:
        return socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, kind)
    except OSError as error:
        raise _cannot(error, address, "UDP" if kind == socket.SOCK_DGRAM else "TCP") from error


def _bind(sock: socket.socket, address: Address, reuse_port: bool) -> None:
    sock.setblocking(False)
    if sock.family == socket.AF_INET6:
        # [::] is IPv6 only: one rule on every host, and no IPv4 addresses in IPv6 clothes.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if reuse_port:
        share(sock)
    # getaddrinfo also turns the zone of a link-local address (fe80::1%eth0) into its number.
    found: list[Any] = socket.getaddrinfo(
        address.host, address.port, sock.family, sock.type, 0, socket.AI_NUMERICHOST
    )
    sock.bind(found[0][4])


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket, address: Address, protocol: str) -> Iterator[None]:
    """Close the socket when setting it up fails, and say which address it was for."""
    try:
        yield
    except OSError as error:
        sock.close()
        raise _cannot(error, address, protocol) from error


def reason_of(error: OSError) -> str:
    """Why an address could not be bound, and what to do where that is not plain."""
    return {
        errno.EADDRINUSE: "another program has this port, or dnsd runs already; give another",
        errno.EADDRNOTAVAIL: "this host does not have that address; 0.0.0.0 or [::] is every one",
        errno.EACCES: "not permitted; ports under 1024 need CAP_NET_BIND_SERVICE",
        errno.EAFNOSUPPORT: "this host has no IPv6",
        errno.EINVAL: "no address of IPv6, or its interface is missing, as in [fe80::1%eth0]:53",
        socket.EAI_NONAME: "this host has no such interface",
    }.get(error.errno or 0, error.strerror or str(error))


def _cannot(error: OSError, address: Address, protocol: str) -> CannotListen:
    why = reason_of(error)
    return CannotListen(error.errno, f"cannot listen on {address} ({protocol}): {why}")
