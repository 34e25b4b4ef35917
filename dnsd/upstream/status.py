"""Types shared with the control process; imports nothing else from `upstream`.

In `upstream/` (data plane: external names). Change here: which counters and facts a worker reports.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.dns.names import Name

CLIENTS = b"\xc1"  # the first octet of a frame of clients; no msgpack value begins with it


class Counts(Struct):
    """Totals since the start of a worker."""

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    prefetches: int = 0
    stale: int = 0
    failures: int = 0
    overloaded: int = 0
    loops: int = 0
    evictions: int = 0


COUNTER_NAMES = Counts.__struct_fields__


class Where(Struct, frozen=True):
    """Where an external name is answered, and its cache entry.

    `servers`: those of the rule for `suffix`. Without servers, dnsd itself answers (`by_dnsd`: a
    pinned or a special-use name), or no rule matches. `left`: seconds until the cache entry
    expires, negative after that, None without an entry. `rcode`: that of the entry.
    """

    servers: tuple[str, ...] = ()
    by_dnsd: bool = False
    suffix: Name = b""
    left: float | None = None
    rcode: int = 0


def is_clients_frame(frame: bytes) -> bool:
    """Whether a frame is for `upstream.clients.Clients`."""
    return frame.startswith(CLIENTS)
