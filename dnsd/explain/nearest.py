"""Find the words nearest to a word that is not in a set.

In `explain/` (control plane: pure). Change here: which typos are recognized.

The distance counts insertions, deletions, replacements, and transpositions (each as one edit).

With 10,000 siblings, a search must take milliseconds. So `nearest` first looks up every word that
is *one* edit away. That costs time proportional to the length of the word, and not to the number
of siblings. Only if that finds nothing does it scan the siblings: a comparison of letter sets, a
fraction of a microsecond each, leaves few words for the exact distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-_"
_MEASURED = 40  # siblings whose exact distance is computed


def distance(one: str, other: str, limit: int) -> int:
    """The optimal string alignment distance of two words; `limit` + 1 if it exceeds `limit`."""
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, against in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return min(row[-1], limit + 1)


def one_edit_away(word: str) -> Iterator[str]:
    """Every word one edit away from `word`. Includes `word` itself and duplicates."""
    for i in range(len(word) + 1):
        left, right = word[:i], word[i:]
        if right:
            yield left + right[1:]
        if len(right) > 1:
            yield left + right[1] + right[0] + right[2:]
        for letter in _ALPHABET:
            if right:
                yield left + letter + right[1:]
            yield left + letter + right


def nearest(
    word: str, exists: Callable[[str], bool], siblings: Callable[[], Iterable[str]], k: int = 3
) -> list[str]:
    """Up to `k` siblings of `word`, nearest first.

    `exists` reports whether a word is a sibling; `siblings` returns all of them.
    """
    limit = 1 if len(word) < 4 else 2 if len(word) < 9 else 3
    close = dict.fromkeys(one for one in one_edit_away(word) if one != word and exists(one))
    if close:
        return sorted(close)[:k]
    letters = _letters(word)
    shortest, longest = len(word) - limit, len(word) + limit
    similar = [
        (different, one)
        for one in siblings()
        if shortest <= len(one) <= longest
        and (different := (_letters(one) ^ letters).bit_count()) <= 2 * limit
        and one != word
    ]
    similar.sort()
    measured = [(distance(word, one, limit), one) for _, one in similar[:_MEASURED]]
    return [one for far, one in sorted(measured) if far <= limit][:k]


@lru_cache(maxsize=65536)
def _letters(word: str) -> int:
    """The set of letters of a word as a bit mask."""
    found = 0
    for letter in word:
        found |= 1 << (ord(letter) & 127)
    return found
