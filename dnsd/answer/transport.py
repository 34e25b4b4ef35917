"""One transport as data: what a reply, and the texts about it, depend on.

In `answer/` (pure). Change here: a property of transports that a reply depends on.

`dnsd.transport.registry` declares the transports and makes one `Transport` for each. The engine
holds shapes and counters by `Transport.index`; it imports no transport and compares no names.
"""

from __future__ import annotations

from msgspec import Struct


class Transport(Struct, frozen=True):
    """One transport that queries come over.

    `index`: its position in the registry. `name`: the URL scheme, and the label in metrics.
    `datagram`: one message is one datagram, so the size that the client announces limits a
    reply; False: a reply has up to 65,535 octets. `framed`: a length of two octets precedes
    each message (RFC 1035 section 4.2.2). `keepalive`: the option edns-tcp-keepalive applies
    (RFC 7828 section 3.2.2).
    """

    index: int
    name: str
    datagram: bool
    framed: bool
    keepalive: bool

    @property
    def label(self) -> str:
        """The name in texts: UDP, TCP."""
        return self.name.upper()
