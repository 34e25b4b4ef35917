"""The present problems are those added less those removed, in any order of the changes."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.sources.manifests.problems import Changes, Problem, Problems, count, printable

A, B, C = Problem("a.yaml", 2, text="x"), Problem("a.yaml", 10, text="y"), Problem("b.yaml")


class TestProblem:
    @pytest.mark.parametrize(
        ("problem", "text"),
        [
            (Problem("a.yaml", text="is empty"), "a.yaml: is empty"),
            (Problem("a.yaml", 3, text="is empty"), "a.yaml:3: is empty"),
            (
                Problem("a.yaml", 3, 7, 1, "Service d/a", "spec", "x"),
                "a.yaml:3:7: Service d/a: spec: x",
            ),
        ],
    )
    def test_the_text_of_a_problem_leaves_out_what_does_not_apply(
        self, problem: Problem, text: str
    ) -> None:
        assert str(problem) == text


class TestProblems:
    def test_problems_are_ordered_by_file_and_line(self) -> None:
        problems = Problems()
        assert (len(problems), problems.first(), list(problems)) == (0, None, [])
        problems.apply({C: 1, B: 1, A: 1})
        assert (len(problems), problems.first(), list(problems)) == (3, A, [A, B, C])
        assert (problems.of("a.yaml"), problems.of("c.yaml")) == ([A, B], [])
        problems.apply({A: -1, B: -1})
        assert (len(problems), problems.first(), list(problems)) == (1, C, [C])
        assert C in problems
        assert A not in problems

    def test_a_problem_added_twice_is_removed_twice(self) -> None:
        problems = Problems()
        problems.apply({A: 2})
        assert list(problems) == [A, A]
        problems.apply({A: -1})
        assert list(problems) == [A]

    def test_a_problem_removed_and_added_again_is_not_a_change(self) -> None:
        changes: Changes = {}
        count(changes, [A, B], -1)
        count(changes, [A, C, C], 1)
        assert changes == {B: -1, C: 2}


@given(st.lists(st.lists(st.sampled_from([A, B, C]), max_size=4), max_size=6))
def test_changes_lead_from_any_state_to_the_next(states: list[list[Problem]]) -> None:
    problems = Problems()
    before: list[Problem] = []
    for state in states:
        changes: Changes = {}
        count(changes, before, -1)
        count(changes, state, 1)
        problems.apply(changes)
        before = state
        assert list(problems) == sorted(state)
        assert (len(problems), set(problems)) == (len(state), set(Counter(state)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"a.yaml", "a.yaml"),
        ("dnsd-größe/é.yaml".encode(), "dnsd-größe/é.yaml"),
        (b"\xff/\xe9 \xc3\xa9.yaml", r"\xff/\xe9 é.yaml"),
        (b"", ""),
    ],
)
def test_octets_of_a_file_name_that_are_not_utf8_are_escaped(name: bytes, text: str) -> None:
    assert printable(os.fsdecode(name)) == text
    assert printable(os.fsdecode(name)).encode() == text.encode()
