"""Conditional forwarding: which servers a name belongs to. The longest suffix wins.

The root's rule is the default. A rule without servers keeps the names below it here.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from dnsd.dns.names import ROOT, Name, parent_of

T = TypeVar("T")


class Routes(Generic[T]):
    """Suffixes and what belongs to each."""

    def __init__(self, rules: dict[Name, T]) -> None:
        self.rules = rules

    def find(self, name: Name) -> tuple[Name, T] | None:
        """The longest suffix of `name` (lower case) with a rule, and what belongs to it.

        One lookup a label, whatever the number of rules.
        """
        while True:
            found = self.rules.get(name)
            if found is not None:
                return name, found
            if name == ROOT:
                return None
            name = parent_of(name)


def outranks(suffix: Name, zone: Name) -> bool:
    """Whether a rule is stronger than the policy that keeps `zone` here.

    Both are suffixes of one name. The default rule never is.
    """
    return suffix != ROOT and len(suffix) >= len(zone)
