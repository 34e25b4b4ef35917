"""What is wrong now is what came less what went, in whatever order it is told."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dnsd.sources.manifests.file import Problem
from dnsd.sources.manifests.problems import Changes, Ledger, note

A, B, C = Problem("a.yaml", 2, text="x"), Problem("a.yaml", 10, text="y"), Problem("b.yaml")


class TestLedger:
    def test_in_the_order_of_files_and_lines(self) -> None:
        ledger = Ledger()
        assert (len(ledger), ledger.first(), list(ledger)) == (0, None, [])
        ledger.apply({C: 1, B: 1, A: 1})
        assert (len(ledger), ledger.first(), list(ledger)) == (3, A, [A, B, C])
        assert (ledger.of("a.yaml"), ledger.of("c.yaml")) == ([A, B], [])
        ledger.apply({A: -1, B: -1})
        assert (len(ledger), ledger.first(), list(ledger)) == (1, C, [C])
        assert C in ledger
        assert A not in ledger

    def test_what_is_there_twice_goes_twice(self) -> None:
        ledger = Ledger()
        ledger.apply({A: 2})
        assert list(ledger) == [A, A]
        ledger.apply({A: -1})
        assert list(ledger) == [A]

    def test_what_comes_and_goes_again_is_no_change(self) -> None:
        changes: Changes = {}
        note(changes, [A, B], -1)
        note(changes, [A, C, C], 1)
        assert changes == {B: -1, C: 2}


@given(st.lists(st.lists(st.sampled_from([A, B, C]), max_size=4), max_size=6))
def test_any_history(states: list[list[Problem]]) -> None:
    ledger = Ledger()
    before: list[Problem] = []
    for state in states:
        changes: Changes = {}
        note(changes, before, -1)
        note(changes, state, 1)
        ledger.apply(changes)
        before = state
        assert list(ledger) == sorted(state)
        assert (len(ledger), set(ledger)) == (len(state), set(Counter(state)))
