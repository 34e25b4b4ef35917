"""Packed objects, and stores of packed objects.

In `cluster/` (control plane: the state of the cluster). Change here: how objects are kept in
memory.

A stripped object consists of some dozen Python objects: 10,000 Services with 50,000 endpoints take
20 MB. A packed object is one bytes object: a tag for its kind, then msgpack. To pack or unpack one
takes one or two microseconds, which is little compared with the work on an object.

Rules
* Equal objects have equal octets (labels are sorted), and equal octets are equal objects. So
  packed objects are compared without unpacking them.
* An object keeps the octets that it was packed into or unpacked from. So all holders of an object
  (a source, the State) share the same octets.
* Fields are identified by their position. Packed objects outlive the process only in a snapshot,
  whose header holds `LAYOUT`, a digest of the fields.
* A store keeps no Keys: at 100,000 objects, a tuple for each takes too much memory. Namespaces and
  names are interned.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from sys import intern
from typing import Generic, NewType, TypeVar, cast

import msgspec

from dnsd.cluster.objects import RESOURCES, Event, Key, Object

T = TypeVar("T")
O = TypeVar("O", bound=Object)  # noqa: E741

Packed = NewType("Packed", bytes)

_KINDS = tuple(RESOURCES)  # by tag
_TYPES = tuple(kind.stripped for kind in RESOURCES.values() if kind.stripped)
_TAGS = {kind: bytes((tag,)) for tag, kind in enumerate(_KINDS)}
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_DECODE = [msgspec.msgpack.Decoder(type_).decode for type_ in _TYPES]
_MEMO = "packed"  # the attribute of an object that holds its octets


def _layout() -> str:
    """A digest of every field, with its type and default, of every kind of object.

    The text names each class by the module that it was in when snapshots were introduced. So
    moving a class does not invalidate the snapshots on disk.
    """
    text = repr((_KINDS, msgspec.inspect.multi_type_info(_TYPES)))
    external = "(ingress|gateway|load_balancer|dnsendpoint)"
    text = re.sub(rf"cluster\.objects\.{external}\.", "cluster.outside_objects.", text)
    text = re.sub(r"cluster\.objects\.[a-z]+\.", "cluster.objects.", text)
    return hashlib.sha256(text.encode()).hexdigest()


LAYOUT = _layout()


class NotPacked(ValueError):
    """Octets that are not a packed object."""


def pack(thing: Object) -> Packed:
    """The object as octets. Raises ValueError for text that UTF-8 cannot encode (a surrogate)."""
    memo: dict[str, Packed] = thing.__dict__
    packed = memo.get(_MEMO)
    if packed is None:
        packed = memo[_MEMO] = Packed(_TAGS[thing.kind] + _encode(thing))
    return packed


def unpack(packed: Packed) -> Object:
    """The object that was packed."""
    thing = _DECODE[packed[0]](packed[1:])
    thing.__dict__[_MEMO] = packed
    return thing


def checked(octets: bytes) -> Packed:
    """Octets from a file, if they are a packed object. Raises NotPacked."""
    try:
        _DECODE[octets[0]](octets[1:])
    except (msgspec.DecodeError, IndexError) as error:
        raise NotPacked(f"not a packed object: {error}") from error
    return Packed(octets)


def kind_of(packed: Packed) -> str:
    """The kind of a packed object."""
    return _KINDS[packed[0]]


def unpack_events(events: Iterable[Packed | Key]) -> list[Event]:
    """Events whose objects are packed, with unpacked objects."""
    return [event if isinstance(event, Key) else unpack(event) for event in events]


class NameTable(Generic[T]):
    """Values by namespace and name. An empty namespace takes no memory."""

    __slots__ = ("_spaces",)

    def __init__(self) -> None:
        self._spaces: dict[str, dict[str, T]] = {}

    def get(self, namespace: str, name: str) -> T | None:
        """The value, or None."""
        names = self._spaces.get(namespace)
        return names.get(name) if names else None

    def set(self, namespace: str, name: str, value: T) -> None:
        """Add or replace a value."""
        self._spaces.setdefault(intern(namespace), {})[intern(name)] = value

    def pop(self, namespace: str, name: str) -> T | None:
        """Remove a value. Returns it, or None."""
        names = self._spaces.get(namespace, {})
        old = names.pop(name, None)
        if old is not None and not names:
            del self._spaces[namespace]
        return old

    def values(self, namespace: str | None = None) -> Iterator[T]:
        """All values, or those of one namespace."""
        spaces = self._spaces if namespace is None else (namespace,)
        for space in spaces:
            yield from self._spaces.get(space, {}).values()

    def places(self) -> Iterator[tuple[str, str]]:
        """The namespace and name of every value."""
        return ((space, name) for space, names in self._spaces.items() for name in names)

    def items(self) -> Iterator[tuple[str, str, T]]:
        """Namespace, name, and value, ordered by namespace and name."""
        for space, names in sorted(self._spaces.items()):
            for name in sorted(names):
                yield space, name, names[name]

    def sizes(self) -> dict[str, int]:
        """The number of values in each namespace that has any."""
        return {space: len(names) for space, names in self._spaces.items()}

    def __len__(self) -> int:
        return sum(map(len, self._spaces.values()))


class KeyTable(Generic[T]):
    """Values by Key, without keeping the Keys."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[str, NameTable[T]] = defaultdict(NameTable)

    def get(self, key: Key) -> T | None:
        """The value of this key, or None."""
        return self._kinds[key.kind].get(key.namespace, key.name)

    def set(self, key: Key, value: T) -> None:
        """Add or replace the value of this key."""
        self._kinds[key.kind].set(key.namespace, key.name, value)

    def pop(self, key: Key) -> T | None:
        """Remove the value of this key. Returns it, or None."""
        return self._kinds[key.kind].pop(key.namespace, key.name)

    def items(self) -> Iterator[tuple[Key, T]]:
        """All keys with their values, ordered by key."""
        for kind, names in sorted(self._kinds.items()):
            for space, name, value in names.items():
                yield Key(kind, space, name), value


class Store(NameTable[Packed], Generic[O]):
    """The objects of one kind, packed. Each object that is read is unpacked anew."""

    __slots__ = ()

    def put(self, thing: O) -> bool:
        """Add or replace an object. Returns whether that changes anything.

        For an equal object the octets that are present stay, because the indexes share them.
        """
        packed = pack(thing)
        if self.get(thing.namespace, thing.name) == packed:
            return False
        self.set(thing.namespace, thing.name, packed)
        return True

    def object(self, namespace: str, name: str) -> O | None:
        """The object of this name, or None."""
        packed = self.get(namespace, name)
        return None if packed is None else cast(O, unpack(packed))

    def objects(self, namespace: str | None = None) -> Iterator[O]:
        """All objects, or those of one namespace."""
        return (cast(O, unpack(packed)) for packed in self.values(namespace))
