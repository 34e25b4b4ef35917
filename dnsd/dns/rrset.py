"""RRsets: all records of one name and type.

In `dns/` (wire format, no I/O). Change here: what an RRset holds.

An *rdata* is bytes in uncompressed wire form. An `RRset` holds its rdatas sorted and without
duplicates, so equal sets compare equal in whatever order they were collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from dnsd.dns.names import Name

if TYPE_CHECKING:
    from collections.abc import Iterable


class RRset(Struct, frozen=True, gc=False, array_like=True):
    """All records of one name and type (class IN): `rdatas` sorted, distinct, never empty.

    `ttl` in seconds, 0 to 2**31-1 (RFC 2181 8).
    """

    name: Name
    type: int
    ttl: int
    rdatas: tuple[bytes, ...]


def rrset(name: Name, type_: int, ttl: int, rdatas: Iterable[bytes]) -> RRset:
    """The RRset of these rdatas, sorted and without duplicates."""
    return RRset(name, int(type_), ttl, tuple(sorted(set(rdatas))))
