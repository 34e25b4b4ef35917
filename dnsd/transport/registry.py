"""The transports that dnsd answers over: each is declared once, here.

In `transport/` (data plane: sockets). Change here: the list of transports.

A transport is a `Transport`, which is data, and a function that imports the class that serves one
socket of it, so that the command line can list the transports without importing an event loop.
Counters, metrics, settings, the admin API, and the tests iterate over `TRANSPORTS`, in its order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

from dnsd.answer.transport import Transport
from dnsd.dns.addresses import Endpoint

if TYPE_CHECKING:
    import socket

    from msgspec import Struct

    from dnsd.transport.answering import Answering


class UnknownTransport(ValueError):
    """No transport has this name. The message lists the names there are."""


class Server(Protocol):
    """Answers the queries that arrive on one socket, which belongs to it from then on."""

    socket_type: ClassVar[socket.SocketKind]
    counters_type: ClassVar[type[Struct]]
    answering: Answering

    def __init__(self, sock: socket.socket, answering: Answering) -> None: ...

    def start(self) -> None:
        """Answer from now on, on the running event loop."""

    def client(self, i: int) -> bytes:
        """The packed address that packet `i` of the current batch came from."""

    def counters(self) -> Struct:
        """A `counters_type`: totals since the start, the same object each time."""

    async def drain(self, quiet: float, limit: float, handover: bool) -> bool:
        """Answer what has arrived; True when that took less than `limit` seconds.

        `quiet`: seconds without a datagram that end it. `handover`: another process serves
        the same socket, so nothing that is still queued there has to be answered here.
        """

    def close(self) -> None:
        """Stop, and close the socket. Late replies are dropped from now on."""


UDP = Transport(0, "udp", datagram=True, framed=False, keepalive=False)
TCP = Transport(1, "tcp", datagram=False, framed=True, keepalive=True)


def _udp() -> type[Server]:
    from dnsd.transport.udp import Udp

    return Udp


def _tcp() -> type[Server]:
    from dnsd.transport.tcp import Tcp

    return Tcp


# The index of a transport is its position.
TRANSPORTS: dict[Transport, Callable[[], type[Server]]] = {UDP: _udp, TCP: _tcp}

PLAIN = (UDP, TCP)  # what ADDRESS:PORT without a scheme stands for


def transports_of(endpoint: Endpoint) -> tuple[Transport, ...]:
    """Over which transports to answer there. Raises UnknownTransport."""
    return (named(endpoint.scheme),) if endpoint.scheme else PLAIN


def named(name: str) -> Transport:
    """The transport of a URL scheme. Raises UnknownTransport."""
    for transport in TRANSPORTS:
        if transport.name == name:
            return transport
    names = " and ".join(transport.name for transport in TRANSPORTS)
    raise UnknownTransport(f"{name} is not a transport; dnsd has {names}")


def name_of(index: int) -> str:
    """The name of the transport with this index; the number itself if it is out of range."""
    return next((one.name for one in TRANSPORTS if one.index == index), str(index))
