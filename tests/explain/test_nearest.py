"""Nearest words: the distance, and the suggestions for typos."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.explain.nearest import distance, nearest, one_edit_away

WORDS = st.text("abc-", max_size=6)


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [
        ("web", "web", 0),
        ("web", "wbe", 1),
        ("web", "webs", 1),
        ("web", "eb", 1),
        ("web", "wob", 1),
        ("webui", "wbeiu", 2),
        ("frontend", "backend", 5),
        ("", "abc", 3),
    ],
)
def test_the_distance_is_symmetric_and_counts_edits(one: str, other: str, edits: int) -> None:
    assert distance(one, other, 5) == distance(other, one, 5) == edits


@settings(deadline=None, max_examples=100)
@given(WORDS, WORDS, st.integers(0, 4))
def test_a_limit_changes_nothing_below_it(one: str, other: str, limit: int) -> None:
    assert distance(one, other, limit) == min(distance(one, other, 99), limit + 1)


@settings(deadline=None, max_examples=50)
@given(WORDS, WORDS)
def test_one_edit_away_is_distance_one(one: str, other: str) -> None:
    assert (other in set(one_edit_away(one)) - {one}) == (distance(one, other, 3) == 1)


def offered(word: str, *there: str) -> list[str]:
    return nearest(word, set(there).__contains__, lambda: there)


def test_words_within_the_limit_are_suggested() -> None:
    there = ("webui-svc", "webui-svx", "database", "cache")
    assert offered("webui-scv", *there) == ["webui-svc"]
    assert offered("databse", *there) == ["database"]
    assert offered("webuisvcs", *there)[0] == "webui-svc"  # two edits
    assert offered("something-else", *there) == []
    assert offered("cache", *there) == []


def test_a_typo_among_ten_thousand_siblings_is_found() -> None:
    there = [f"service-{i:05d}" for i in range(10_000)] + ["checkout"]
    assert offered("chekcuot", *there) == ["checkout"]
    assert offered("service-0012", *there)[0].startswith("service-0")
