"""The objects of one kind, by namespace and name, packed (see packing.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from sys import intern
from typing import Generic, TypeVar, cast

from dnsd.cluster.objects import Object
from dnsd.cluster.packing import Packed, pack, unpack

T = TypeVar("T", bound=Object)


class Shelf(Generic[T]):
    """The objects of one kind: namespace -> name -> packed. Empty namespaces leave no trace.

    What is asked for is unpacked each time, so that two answers are equal, not identical.
    """

    __slots__ = ("_count", "_spaces")

    def __init__(self) -> None:
        self._spaces: dict[str, dict[str, Packed]] = {}
        self._count = 0

    def put(self, thing: T) -> bool:
        """Keep `thing`; whether that changes anything.

        Of equal objects the octets that are there stay: the indexes share them.
        """
        packed = pack(thing)
        space = self._spaces.setdefault(intern(thing.namespace), {})
        old = space.get(thing.name)
        if old == packed:
            return False
        space[intern(thing.name)] = packed
        self._count += old is None
        return True

    def drop(self, namespace: str, name: str) -> Packed | None:
        """Forget an object; what it was, or None."""
        space = self._spaces.get(namespace)
        if space is None or (old := space.pop(name, None)) is None:
            return None
        if not space:
            del self._spaces[namespace]
        self._count -= 1
        return old

    def get(self, namespace: str, name: str) -> T | None:
        """The object of this name, or None."""
        packed = self.packed(namespace, name)
        return None if packed is None else cast(T, unpack(packed))

    def packed(self, namespace: str, name: str) -> Packed | None:
        """The same, as it is kept."""
        space = self._spaces.get(namespace)
        return space.get(name) if space else None

    def within(self, namespace: str) -> Iterator[T]:
        """The objects of one namespace."""
        for packed in self._spaces.get(namespace, {}).values():
            yield cast(T, unpack(packed))

    def sizes(self) -> dict[str, int]:
        """How many objects there are in each namespace that has any."""
        return {space: len(names) for space, names in self._spaces.items()}

    def spaces(self) -> Iterable[str]:
        return self._spaces

    def places(self) -> Iterator[tuple[str, str]]:
        """Namespace and name of every object."""
        for space, names in self._spaces.items():
            for name in names:
                yield space, name

    def all_packed(self) -> Iterator[Packed]:
        """Every object as it is kept."""
        for names in self._spaces.values():
            yield from names.values()

    def __iter__(self) -> Iterator[T]:
        for packed in self.all_packed():
            yield cast(T, unpack(packed))

    def __len__(self) -> int:
        return self._count
