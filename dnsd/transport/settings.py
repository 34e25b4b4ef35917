"""The settings of the transports: where dnsd listens, and the limits of connections.

In `transport/` (data plane: sockets). Change here: how a listener is written.
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from dnsd.dns.addresses import Address, Endpoint
from dnsd.settings.kinds import ADDRESS, BadValue, Kind, several
from dnsd.settings.schema import Group, Setting
from dnsd.transport.limits import StreamLimits
from dnsd.transport.registry import TRANSPORTS, UnknownTransport, named


def _endpoint(value: object) -> Endpoint:
    if not isinstance(value, str) or "://" not in value:
        return Endpoint(ADDRESS.parse(value))
    scheme, _, address = value.strip().partition("://")
    try:
        return Endpoint(ADDRESS.parse(address), named(scheme).name)
    except UnknownTransport:
        schemes = ", ".join(f"{transport.name}://" for transport in TRANSPORTS)
        raise BadValue(value, f"has a scheme that is not one of {schemes}") from None
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
_URLS = " or ".join(f"{transport.name}://ADDRESS:PORT" for transport in TRANSPORTS)


class TransportConfig(Struct, frozen=True, kw_only=True):
    """Where dnsd listens for DNS, and the limits of connections."""

    # fmt: off
    listen: Annotated[tuple[Endpoint, ...], Setting(Group.LISTENING, ENDPOINTS,
        f"Where dnsd answers DNS: ADDRESS:PORT for both UDP and TCP, or {_URLS} for one of them."
        " An IPv6 address is in brackets; port 0 is any free port. Empty: an error.",
        '["0.0.0.0:53", "tcp://[::]:53"]')] = (Endpoint(Address("127.0.0.1", 1053)),)
    # fmt: on
    limits: StreamLimits = StreamLimits()
