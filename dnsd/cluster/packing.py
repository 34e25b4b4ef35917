"""Objects as they are kept: packed into octets, and unpacked when somebody asks for them.

A stripped object is some dozen Python objects; 10,000 Services with 50,000 endpoints are
20 MB of them. Packed, an object is one: a tag that says its kind, then msgpack. Packing and
unpacking take a microsecond or two, which is little beside what is then done with an object.

Rules
* Equal objects are equal octets (labels are sorted), and of equal octets the objects are
  equal: whoever keeps objects packed compares them without unpacking.
* An object remembers the octets it was packed into or unpacked from. So all who keep one
  that is handed around (a source, the State) keep the same octets.
* Fields are told by their place: nothing that is packed outlives the process but in a
  snapshot, which says by `LAYOUT` of which fields it is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NewType

import msgspec

from dnsd.cluster.objects import (
    ROUTE_KINDS,
    DNSEndpoint,
    EndpointSlice,
    Event,
    Gateway,
    Ingress,
    Key,
    Namespace,
    Node,
    Object,
    Pod,
    Route,
    Service,
)

Packed = NewType("Packed", bytes)

# By tag. A kind more goes to the end; a place that changes makes snapshots worthless.
_TYPES: dict[str, type[Object]] = {
    "Service": Service,
    "EndpointSlice": EndpointSlice,
    "Namespace": Namespace,
    "Pod": Pod,
    "Node": Node,
    "Ingress": Ingress,
    "Gateway": Gateway,
    "DNSEndpoint": DNSEndpoint,
    **dict.fromkeys(ROUTE_KINDS, Route),
}
_KINDS = tuple(_TYPES)
_TAGS = {kind: bytes((tag,)) for tag, kind in enumerate(_KINDS)}
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_DECODE = [msgspec.msgpack.Decoder(one).decode for one in _TYPES.values()]
_REMEMBERED = "packed"

# A digest of every field, with its type and default, of every object.
LAYOUT = hashlib.sha256(
    repr((_KINDS, msgspec.inspect.multi_type_info(_TYPES.values()))).encode()
).hexdigest()


class NotPacked(ValueError):
    """Octets that are no object."""


def pack(thing: Object) -> Packed:
    """The object as octets. Raises ValueError for text that is none (a lone surrogate)."""
    remembered: dict[str, Packed] = thing.__dict__
    packed = remembered.get(_REMEMBERED)
    if packed is None:
        packed = remembered[_REMEMBERED] = Packed(_TAGS[thing.kind] + _encode(thing))
    return packed


def unpack(packed: Packed) -> Object:
    """The object that was packed."""
    thing = _DECODE[packed[0]](packed[1:])
    thing.__dict__[_REMEMBERED] = packed
    return thing


def checked(octets: bytes) -> Packed:
    """Octets that somebody else kept, if they are an object. Raises NotPacked."""
    try:
        _DECODE[octets[0]](octets[1:])
    except (msgspec.DecodeError, IndexError) as error:
        raise NotPacked(f"no object: {error}") from error
    return Packed(octets)


def kind_of(packed: Packed) -> str:
    """The kind of a packed object."""
    return _KINDS[packed[0]]


def unpack_events(events: Iterable[Packed | Key]) -> list[Event]:
    """Events whose objects are packed, with their objects."""
    return [event if isinstance(event, Key) else unpack(event) for event in events]
