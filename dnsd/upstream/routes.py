"""Conditional forwarding: which rule a name belongs to. The longest suffix wins.

In `upstream/` (data plane: external names). Change here: how a name finds its forward rule.

The rule of the root is the default. dnsd answers names of a rule without servers itself.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from dnsd.dns.names import ROOT, Name, parent_of

T = TypeVar("T")


class Routes(Generic[T]):
    """A value for each suffix."""

    def __init__(self, rules: dict[Name, T]) -> None:
        self.rules = rules

    def find(self, name: Name) -> tuple[Name, T] | None:
        """The longest suffix of `name` (lower case) with a rule, and its value.

        One lookup for each label, whatever the number of rules.
        """
        while True:
            found = self.rules.get(name)
            if found is not None:
                return name, found
            if name == ROOT:
                return None
            name = parent_of(name)


def outranks(suffix: Name, zone: Name) -> bool:
    """Whether the rule of `suffix` has precedence over the special-use zone `zone`.

    Both are suffixes of one name. The default rule never has precedence.
    """
    return suffix != ROOT and len(suffix) >= len(zone)
