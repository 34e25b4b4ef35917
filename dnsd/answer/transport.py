"""What a reply depends on in the transport that carries it: one small struct of data.

In `answer/` (pure). Change here: a property of transports that changes the octets of a reply.

`dnsd.transport.registry` declares the transports and makes one `Transport` for each. The engine
holds shapes and counters by `Transport.index`; it imports no transport and compares no names.
"""

from __future__ import annotations

from msgspec import Struct


class Transport(Struct, frozen=True):
    """One transport, as far as a reply depends on it.

    `index`: its position in the registry. `name`: the URL scheme, and the label in metrics.
    `datagram`: one message is one datagram, so the size that the client announces limits a
    reply; False: a reply has up to 65,535 octets. `keepalive`: the option edns-tcp-keepalive
    applies (RFC 7828 section 3.2.2).
    """

    index: int
    name: str
    datagram: bool
    keepalive: bool
