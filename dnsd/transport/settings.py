"""The settings of the listeners and of TCP connections.

In `transport/` (data plane: sockets). Change here: where dnsd listens, and limits of connections.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from dnsd.dns.addresses import Address, Endpoint
from dnsd.settings.kinds import ADDRESS, BadValue, Kind, duration, integer, several
from dnsd.settings.schema import Group, Setting


def _endpoint(value: object) -> Endpoint:
    if not isinstance(value, str) or "://" not in value:
        return Endpoint(ADDRESS.parse(value))
    scheme, _, address = value.strip().partition("://")
    if not re.fullmatch(r"[a-z][a-z0-9]*", scheme):
        raise BadValue(value, "has no scheme before ://, like udp://127.0.0.1:1053")
    try:
        return Endpoint(ADDRESS.parse(address), scheme)
    except BadValue as error:
        raise BadValue(value, error.problem) from None


def _endpoints(value: object) -> tuple[Endpoint, ...]:
    found: tuple[Endpoint, ...] = _ENDPOINTS.parse(value)
    for one, other in combinations(found, 2):
        if one.overlaps(other):
            raise BadValue(
                str(other),
                f"overlaps with {one}, which is in the list too; 0.0.0.0 and [::] are every"
                " address of this host, so remove one of the two",
            )
    return found


_ENDPOINTS = several(
    Kind(ADDRESS.name, "[SCHEME://]ADDRESS:PORT", _endpoint, ADDRESS.show), at_least=1
)
ENDPOINTS = replace(_ENDPOINTS, parse=_endpoints)
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
    upstreams, which give up long before.
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
    ask_timeout: float = 30.0


class TransportConfig(Struct, frozen=True, kw_only=True):
    """Where dnsd listens for DNS, and the limits of connections."""

    # fmt: off
    listen: Annotated[tuple[Endpoint, ...], Setting(Group.LISTENING, ENDPOINTS,
        "Where dnsd answers DNS: ADDRESS:PORT for both UDP and TCP, or udp://ADDRESS:PORT or"
        " tcp://ADDRESS:PORT for one of them. An IPv6 address is in brackets; port 0 is any free"
        " port. Empty: an error.", '["0.0.0.0:53", "tcp://[::]:53"]')] = (
        Endpoint(Address("127.0.0.1", 1053)),)
    # fmt: on
    limits: StreamLimits = StreamLimits()
