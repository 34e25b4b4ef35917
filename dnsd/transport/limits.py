"""The limits of stream connections, some of which are settings.

In `transport/` (data plane: sockets). Change here: the bounds of connections.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from dnsd.settings.kinds import duration, integer
from dnsd.settings.schema import Group, Setting

_NAMES = {
    "max_connections": "tcp_max_connections",
    "per_client": "tcp_max_per_client",
    "idle_timeout": "tcp_idle_timeout",
}


class StreamLimits(Struct, frozen=True, rename=_NAMES):
    """The limits of stream connections, such as TCP. Times in seconds.

    The engine announces `idle_timeout` by edns-tcp-keepalive (RFC 7828). The fields without a
    declaration are constants: per connection, queries that wait for upstreams, the time from the
    first octet of a message to its last, the time for the client to take a reply, and the time for
    upstreams, which is longer than `upstream_timeout` can be.
    """

    # fmt: off
    max_connections: Annotated[int, Setting(Group.LIMITS, integer(1, 100_000),
        "TCP connections of one worker. Beyond it, the worker closes the connection that is idle"
        " longest.", reload=True)] = 2000
    per_client: Annotated[int, Setting(Group.LIMITS, integer(1, 100_000),
        "TCP connections of one client address in one worker.", reload=True)] = 100
    idle_timeout: Annotated[float, Setting(Group.LIMITS, duration(0.1, 3600),
        "The time without a query after which dnsd closes a TCP connection. A message has 5 s from"
        " its first octet to its last, whatever this setting is.", reload=True)] = 30.0
    # fmt: on
    max_forwards: int = 100
    message_timeout: float = 5.0
    write_timeout: float = 5.0
    deferred_timeout: float = 90.0
