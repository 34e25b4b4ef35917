"""The objects of one kind, by namespace and name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from dnsd.cluster.objects import Object

T = TypeVar("T", bound=Object)


class Shelf(Generic[T]):
    """The objects of one kind: namespace -> name -> object. Empty namespaces leave no trace."""

    __slots__ = ("_count", "_spaces")

    def __init__(self) -> None:
        self._spaces: dict[str, dict[str, T]] = {}
        self._count = 0

    def put(self, thing: T) -> T | None:
        """Keep `thing`; what stood in its place, or None.

        An equal object leaves the one that stood there in place: a relist says everything
        again, and the indexes must go on sharing one copy with the shelf.
        """
        space = self._spaces.setdefault(thing.namespace, {})
        old = space.get(thing.name)
        if old != thing:
            space[thing.name] = thing
        self._count += old is None
        return old

    def drop(self, namespace: str, name: str) -> T | None:
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
        space = self._spaces.get(namespace)
        return space.get(name) if space else None

    def within(self, namespace: str) -> Iterable[T]:
        """The objects of one namespace."""
        return self._spaces.get(namespace, {}).values()

    def spaces(self) -> Iterable[str]:
        return self._spaces

    def __iter__(self) -> Iterator[T]:
        for space in self._spaces.values():
            yield from space.values()

    def __len__(self) -> int:
        return self._count
