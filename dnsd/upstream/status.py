"""What the room tells of itself and is told, for those who do not need the rest of it.

A worker that asks nobody imports nothing of the room but this and the settings.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.dns.names import Name

CLIENTS = b"\xc1"  # begins a frame that tells of clients, and no msgpack value
COUNTER_NAMES = (
    "hits",
    "misses",
    "coalesced",
    "prefetches",
    "stale",
    "failures",
    "overloaded",
    "loops",
    "evictions",
)


class Where(Struct, frozen=True):
    """Where a name outside our zones is answered, and what is kept of it.

    `how`: "servers" (which are `servers`, of the rule for `suffix`), "here" (pinned, or it
    never leaves), "nobody". `left`: seconds until what is kept runs out, negative when it has;
    None when nothing is kept. `rcode` of what is kept.
    """

    how: str
    servers: tuple[str, ...] = ()
    suffix: Name = b""
    left: float | None = None
    rcode: int = 0


def tells_of_clients(frame: bytes) -> bool:
    """Whether a frame is for `upstream.clients.Clients`."""
    return frame.startswith(CLIENTS)
