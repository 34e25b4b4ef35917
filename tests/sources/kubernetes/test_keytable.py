"""A table by Key, beside a plain dictionary."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Key
from dnsd.cluster.store import KeyTable

_keys = st.builds(
    Key,
    st.sampled_from(["Service", "EndpointSlice"]),
    st.sampled_from(["", "x", "y"]),
    st.sampled_from(["a", "b", "c"]),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(_keys, st.none() | st.integers()), max_size=12))
def test_a_table_is_a_dictionary(steps: list[tuple[Key, int | None]]) -> None:
    table: KeyTable[int] = KeyTable()
    model: dict[Key, int] = {}
    for key, value in steps:
        if value is None:
            table.drop(key)
            model.pop(key, None)
        else:
            table.put(key, value)
            model[key] = value
        assert table.get(key) == model.get(key)
        assert list(table.items()) == sorted(model.items())


def test_what_is_empty_leaves_no_trace() -> None:
    table: KeyTable[int] = KeyTable()
    table.put(Key("Service", "x", "a"), 1)
    table.drop(Key("Service", "x", "a"))
    table.drop(Key("Service", "x", "a"))
    assert table._kinds == {}
