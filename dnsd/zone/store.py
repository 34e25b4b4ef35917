"""What a contributor contributes, packed: a small part of the memory that RRsets take as objects.

The names a contributor has are much alike (`10-0-0-1.web.default.svc.cluster.local` and the next
one, the PTR records that point to them): a Service of five endpoints has 14 RRsets, which
take 2,500 octets as objects, 1,100 *loosely* packed and 250 *tightly*. To pack loosely and to
unpack costs a few microseconds; tightly 20, which is little for a Change and much for all
that a start reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import compress, decompress

import msgspec

from dnsd.dns.rrset import RRset

_FASTEST = 1  # of zlib's levels; the others save nothing with texts that are this short
_ZLIB = 0x78  # what its output begins with (RFC 1950), and no msgpack array does

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[RRset, ...]).decode


def pack(rrsets: Sequence[RRset], *, tight: bool) -> bytes:
    """These RRsets as octets, in their order."""
    packed = _encode(rrsets)
    return compress(packed, _FASTEST) if tight else packed


def tightened(packed: bytes) -> bytes:
    """The same RRsets, tightly packed."""
    return packed if packed[0] == _ZLIB else compress(packed, _FASTEST)


def unpack(packed: bytes) -> tuple[RRset, ...]:
    """The RRsets that `pack` was given."""
    return _decode(decompress(packed) if packed[0] == _ZLIB else packed)
