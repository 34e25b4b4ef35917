"""Top lists: bounds that always hold, and windows that expire."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.observe.topk import FrequencyTable, Window

STREAMS = st.lists(st.integers(0, 40), max_size=300)


class TestFrequencyTable:
    @settings(deadline=None, max_examples=80)
    @given(STREAMS, st.integers(1, 8))
    def test_estimates_hold_their_bounds(self, stream: list[int], capacity: int) -> None:
        heavy: FrequencyTable[int] = FrequencyTable(capacity)
        for item in stream:
            heavy.add(item)
        true = Counter(stream)
        found = heavy.items()
        assert len(heavy) <= 2 * capacity
        for item, (count, error) in found.items():
            assert true[item] <= count <= true[item] + error
        assert all(item in found for item, count in true.items() if count > heavy.floor)

    def test_few_items_are_exact(self) -> None:
        heavy: FrequencyTable[str] = FrequencyTable(10)
        for item in "abracadabra":
            heavy.add(item)
        assert {item: pair for item, pair in heavy.items().items() if pair[1]} == {}
        assert heavy.items()["a"] == (5, 0)

    def test_a_frequent_item_survives_a_flood_of_others(self) -> None:
        heavy: FrequencyTable[str] = FrequencyTable(16)
        for i in range(5000):
            heavy.add(f"random-{i}")
            if i % 4 == 0:
                heavy.add("frequent")
        count, error = heavy.items()["frequent"]
        assert count - error <= 1250 <= count
        assert len(heavy) <= 32


class TestWindow:
    def test_items_older_than_the_window_expire(self) -> None:
        window: Window[str] = Window(slots=6, seconds=10, capacity=8)
        for item, now in (("early", 0.0), ("early", 1.0), ("late", 45.0)):
            window.add(item, now)
        assert [one.item for one in window.top(5, 50.0)] == ["early", "late"]
        assert [one.item for one in window.top(5, 65.0)] == ["late"]
        assert window.top(5, 1000.0) == []
        assert len(window) == 0

    def test_counts_are_added_over_slots(self) -> None:
        window: Window[str] = Window(slots=6, seconds=10, capacity=8)
        for second in range(0, 50, 10):
            window.add("web", second)
            window.add(f"once-{second}", second)
        assert window.top(1, 50.0)[0] == ("web", 5, 0)

    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 59)), max_size=200))
    def test_bounds_also_hold_over_slots(self, stream: list[tuple[int, int]]) -> None:
        window: Window[int] = Window(slots=6, seconds=10, capacity=4)
        for item, second in sorted(stream, key=lambda pair: pair[1]):
            window.add(item, second)
        true = Counter(item for item, _ in stream)
        for item, count, error in window.top(100, 59):
            assert true[item] <= count <= true[item] + error
        assert len(window) <= 6 * 8
