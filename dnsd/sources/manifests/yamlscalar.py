"""What a plain (unquoted) YAML scalar means: what Kubernetes' own reader makes of it.

`yes`, `on` and `0777` as in YAML 1.1, `1e3` is a number; but no base 60 (`80:80` is text) and
no timestamps (`2026-01-01` is text).
"""

from __future__ import annotations

import re
from typing import Any

_WORDS: dict[str, bool | float | None] = {
    form: value
    for words, value in (
        ("true yes on", True),
        ("false no off", False),
        ("null", None),
        (".inf +.inf", float("inf")),
        ("-.inf", float("-inf")),
        (".nan", float("nan")),
    )
    for word in words.split()
    for form in (word, word.capitalize(), word.upper())
} | {"": None, "~": None, ".Inf": float("inf"), "+.Inf": float("inf"), "-.Inf": float("-inf")}
_WORDS[".NaN"] = float("nan")
_FIRSTS = frozenset("+-.0123456789")
_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAX_DIGITS = 40  # far more than 64 bits; no number of a manifest is longer


def resolve(text: str) -> Any:
    """What a plain (unquoted) scalar means: None, bool, int, float or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRSTS or len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return _int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _int(text: str) -> int | str:
    """An integer of YAML 1.1: `0777` and `0o777` are octal, `_` may part digits."""
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").replace("_", "")
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base) if len(digits) > 2 else text
    return sign * int(digits, 8 if digits[0] == "0" else 10)
