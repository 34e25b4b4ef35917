"""The names nearest to one that does not exist: what was probably meant.

Two kinds of mistakes are looked for, each where it is made: a label with a typing error
(edit distance, transpositions counted once) among its siblings, and a right name in the
wrong namespace.

Ten thousand siblings must not cost more than milliseconds. So first everything *one* edit
away is looked up, which costs the label's length and not the number of siblings; only when
that finds nothing are the siblings walked, with a comparison of letter sets that costs a
fraction of a microsecond and leaves few for the real distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-_"
_MEASURED = 40  # siblings whose distance is worked out


def distance(one: str, other: str, limit: int) -> int:
    """The edits (insert, delete, replace, swap neighbours) between two words.

    Optimal string alignment; `limit` + 1 when it is more than `limit`.
    """
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
    """Every word that one edit makes of `word`; itself and repetitions included."""
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
    word: str, is_there: Callable[[str], bool], siblings: Callable[[], Iterable[str]], k: int = 3
) -> list[str]:
    """Up to `k` siblings of `word` that may have been meant, the nearest first.

    `is_there` tells whether a sibling of that name exists, `siblings` gives them all.
    """
    limit = 1 if len(word) < 4 else 2 if len(word) < 9 else 3
    close = dict.fromkeys(one for one in one_edit_away(word) if one != word and is_there(one))
    if close:
        return sorted(close)[:k]
    letters = _letters(word)
    shortest, longest = len(word) - limit, len(word) + limit
    alike = [
        (different, one)
        for one in siblings()
        if shortest <= len(one) <= longest
        and (different := (_letters(one) ^ letters).bit_count()) <= 2 * limit
        and one != word
    ]
    alike.sort()
    measured = [(distance(word, one, limit), one) for _, one in alike[:_MEASURED]]
    return [one for far, one in sorted(measured) if far <= limit][:k]


@lru_cache(maxsize=65536)
def _letters(word: str) -> int:
    """The set of the letters of a word, as bits."""
    found = 0
    for letter in word:
        found |= 1 << (ord(letter) & 127)
    return found
