"""The settings of the engine: which clients dnsd answers, and what it states about itself.

In `answer/` (pure: query octets to reply octets). Change here: the configuration of an engine.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from dnsd.answer.transport import Transport
from dnsd.dns.message import MAX_MESSAGE, MIN_UDP
from dnsd.dns.networks import EVERYONE, LOCAL, PRIVATE
from dnsd.settings.kinds import CIDR, Kind, integer, several, short_text
from dnsd.settings.schema import Group, Setting

_TEXT = short_text(255)
_OCTETS = Kind(
    _TEXT.name,
    _TEXT.metavar,
    lambda value: str(_TEXT.parse(value)).encode(),
    lambda value: _TEXT.show(value.decode()),
)
HOSTNAME = b"hostname"  # the value of `nsid` that stands for the name of the host


class EngineConfig(Struct, frozen=True):
    """The configuration of an engine; it crosses the boundary to the worker processes.

    The control process resolves `nsid` ("hostname"), and the fields without a declaration:
    `tcp_keepalive` in units of 100 ms (RFC 7828); `forwarding`: external names become
    `Forward`s; `views`: clients have different views (see `views.py`).
    """

    # fmt: off
    allow_query: Annotated[tuple[str, ...], Setting(Group.ANSWERS, several(CIDR),
        "Networks of the clients that dnsd answers; it refuses other clients. Empty: no client.",
        '["10.0.0.0/8", "fd00::/8"]', reload=True)] = EVERYONE
    udp_size: Annotated[int, Setting(Group.ANSWERS, integer(512, 4096),
        "Largest reply over UDP, in octets; clients repeat the query over TCP for a longer reply."
        " 1232 passes every network without fragments (RFC 9715).", reload=True)] = 1232
    nsid: Annotated[bytes, Setting(Group.ANSWERS, _OCTETS,
        'Name of this server, for clients that query it (NSID, RFC 5001): "hostname", a text, or'
        ' "" for no name.', reload=True)] = HOSTNAME
    version_text: Annotated[str, Setting(Group.ANSWERS, _TEXT,
        'Reply to version.bind and version.server (class CH); "" refuses.',
        '"dnsd"', reload=True)] = ""
    id_text: Annotated[str, Setting(Group.ANSWERS, _TEXT,
        'Reply to id.server and hostname.bind (class CH); "" refuses.',
        '"node-7"', reload=True)] = ""
    allow_recursion: Annotated[tuple[str, ...], Setting(Group.FORWARDING, several(CIDR),
        "Networks of the clients whose queries for external names dnsd answers; it refuses those"
        ' of other clients. ["0.0.0.0/0", "::/0"] is every client. Empty: no client.',
        '["10.244.0.0/16", "127.0.0.0/8"]', reload=True)] = (*LOCAL, *PRIVATE)
    # fmt: on
    tcp_keepalive: int = 100
    forwarding: bool = False
    views: bool = False

    def limit(self, transport: Transport, size: int | None) -> int:
        """Octets a reply may have; `size` is that of the query's OPT, None without one."""
        if not transport.datagram:
            return MAX_MESSAGE
        return MIN_UDP if size is None else max(MIN_UDP, min(size, self.udp_size))
