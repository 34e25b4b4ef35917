"""The text of values: durations, counts, and escapes."""

from __future__ import annotations

import pytest

from dnsd.commands.printing import ago, count, plain, short, span


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "-"), (2e-7, "<1 µs"), (25e-6, "25 µs"), (0.0015, "1.5 ms")]
)
def test_a_short_duration_keeps_three_digits(seconds: float, text: str) -> None:
    assert short(seconds) == text


def test_a_long_duration_is_in_its_largest_unit() -> None:
    assert [span(one) for one in (5, 90, 7200, 200_000)] == ["5 s", "2 min", "2 h", "2 d"]
    assert ago(0.0) == "never"
    assert ago(100.0, now=160.0) == "1 min ago"


def test_a_count_has_its_noun() -> None:
    assert (count(1, "name"), count(1200, "name")) == ("1 name", "1,200 names")


def test_control_characters_are_escaped() -> None:
    assert plain("a\x1b[2Jb\nc\u200b\x9b") == "a\\x1b[2Jb\\nc\\u200b\\x9b"
    assert plain("naïve 名") == "naïve 名"
