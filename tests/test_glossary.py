"""The glossary lists words that the code uses, each of them once.

In `tests/` (rules that hold for the whole tree). Change here: how a word is looked up in the code.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", PAGE, re.MULTILINE)
WORDS = [word for word, _ in ROWS if word != "Word" and set(word) != {"-"}]
CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "dnsd").rglob("*.py")))


@pytest.mark.parametrize("word", WORDS)
def test_the_code_uses_each_word_of_the_glossary(word: str) -> None:
    spelled = r"[\s_-]+".join(map(re.escape, word.split()))
    assert re.search(rf"(?<![a-z]){spelled}", CODE, re.IGNORECASE)


def test_the_glossary_lists_each_word_once_and_explains_it() -> None:
    assert len(WORDS) > 60
    assert len({word.lower() for word in WORDS}) == len(WORDS)
    assert all(len(meaning) > 10 for word, meaning in ROWS if word in WORDS)
