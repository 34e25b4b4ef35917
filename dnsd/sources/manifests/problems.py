"""Holds what is wrong with the manifests now.

In `sources/manifests/` (control plane: objects from files). Change here: the fields of a problem.

One mistake can cause ten thousand problems (a file of that many Services, copied beside itself),
and they stay until a person removes the copy. A change of another file must not cost more because
of them, so changes of the set are passed on, never the set.

A file name is octets and need not be UTF-8. Python represents other octets as lone surrogates,
which cannot be printed, packed, or sent; `printable` escapes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct


class Problem(Struct, frozen=True, order=True):
    """Something that is wrong now. `line` and `column` count from 1; 0: does not apply.

    `object` ("Service default/web") and `field` ("spec.ports[0].port") are empty if the problem
    concerns the whole file.
    """

    file: str
    line: int = 0
    column: int = 0
    document: int = 0
    object: str = ""
    field: str = ""
    text: str = ""

    def __str__(self) -> str:
        where = self.file
        if self.line:
            where += f":{self.line}"
            if self.column:
                where += f":{self.column}"
        return ": ".join(part for part in (where, self.object, self.field, self.text) if part)


# How many times a problem was added (negative: removed). Two items of a list can have equal ones.
Changes = dict[Problem, int]


def count(changes: Changes, problems: Iterable[Problem], times: int) -> None:
    """Add to `changes` that these problems were added (1) or removed (-1)."""
    for problem in problems:
        left = changes.get(problem, 0) + times
        if left:
            changes[problem] = left
        else:
            del changes[problem]


class Problems:
    """The present problems by file. Iterates over all of them, sorted."""

    def __init__(self) -> None:
        self._files: dict[str, Changes] = {}
        self._count = 0

    def apply(self, changes: Mapping[Problem, int]) -> None:
        """Add and remove problems."""
        for problem, times in changes.items():
            of_file = self._files.setdefault(problem.file, {})
            count(of_file, (problem,), times)
            if not of_file:
                del self._files[problem.file]
            self._count += times

    def of(self, file: str) -> list[Problem]:
        """The problems of one file, sorted."""
        return sorted(self._files.get(file, ()))

    def first(self) -> Problem | None:
        """The first by file and line."""
        return min(self._files[min(self._files)]) if self._files else None

    def __len__(self) -> int:
        return self._count

    def __contains__(self, problem: Problem) -> bool:
        return problem in self._files.get(problem.file, ())

    def __iter__(self) -> Iterator[Problem]:
        for file in sorted(self._files):
            for problem in self.of(file):
                yield from (problem,) * self._files[file][problem]


def printable(name: str) -> str:
    """A file name as text that can be encoded: octets that are not UTF-8 as `\\xff`."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")
