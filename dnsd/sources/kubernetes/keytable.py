"""A dictionary by Key that keeps no Keys: kind -> namespace -> name -> value.

A Key is a tuple of its own and holds its texts; at 100,000 objects that is memory worth having.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from dnsd.cluster.objects import Key

T = TypeVar("T")


class KeyTable(Generic[T]):
    """Values by Key. What is empty leaves no trace."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, dict[str, T]]] = {}

    def get(self, key: Key) -> T | None:
        """The value of this key, or None."""
        names = self._kinds.get(key.kind, {}).get(key.namespace)
        return names.get(key.name) if names else None

    def put(self, key: Key, value: T) -> None:
        """Set the value of this key."""
        self._kinds.setdefault(key.kind, {}).setdefault(key.namespace, {})[key.name] = value

    def drop(self, key: Key) -> None:
        """Forget this key, if it is there."""
        spaces = self._kinds.get(key.kind, {})
        names = spaces.get(key.namespace)
        if names is None or names.pop(key.name, None) is None:
            return
        if not names:
            del spaces[key.namespace]
        if not spaces:
            del self._kinds[key.kind]

    def items(self) -> Iterator[tuple[Key, T]]:
        """All keys with their values, sorted by key."""
        for kind, spaces in sorted(self._kinds.items()):
            for space, names in sorted(spaces.items()):
                for name in sorted(names):
                    yield Key(kind, space, name), names[name]
