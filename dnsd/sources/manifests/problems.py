"""What is wrong now, kept up by what comes and goes.

One mistake may cause ten thousand problems (a file of that many Services copied beside itself),
and they stay until somebody mends it. A change of something else must not cost more for that:
whoever finds problems says which came and which went, and nobody goes through the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dnsd.sources.manifests.file import Problem

# How many times more, or less, a problem is there. Two may be equal: two items of one list.
Changes = dict[Problem, int]


def note(changes: Changes, problems: Iterable[Problem], times: int) -> None:
    """Add to `changes` that these came (1) or went (-1), so many times."""
    for problem in problems:
        left = changes.get(problem, 0) + times
        if left:
            changes[problem] = left
        else:
            del changes[problem]


class Ledger:
    """The problems there are, by file; iterates over all of them, sorted."""

    def __init__(self) -> None:
        self._files: dict[str, Changes] = {}
        self._count = 0

    def apply(self, changes: Mapping[Problem, int]) -> None:
        """Take in what came and went."""
        for problem, times in changes.items():
            found = self._files.setdefault(problem.file, {})
            left = found.get(problem, 0) + times
            self._count += times
            if left:
                found[problem] = left
            else:
                del found[problem]
                if not found:
                    del self._files[problem.file]

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
