"""RRsets: all records of one name and type.

An *rdata* is bytes: uncompressed wire form. An `RRset` holds its rdatas sorted and without
duplicates, so that equal sets compare equal, whatever order they were collected in.
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
    """An RRset of these rdatas, sorted and each once."""
    return RRset(name, int(type_), ttl, tuple(sorted(set(rdatas))))
