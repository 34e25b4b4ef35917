"""Facts: each value is exported by a metric."""

from __future__ import annotations

import msgspec
import pytest

from dnsd.observe.facts import Facts, ServerFacts, WorkerFacts
from dnsd.observe.histogram import Histogram
from dnsd.observe.metrics import exposition
from tests.observe.test_metrics import facts

FILLED = Histogram((1.0,))
FILLED.add(0.5)
OTHER = {
    "version": "0.0",
    "sources": (),
    "services": {},
    "objects": {},
    "counters": {},
    "change_seconds": FILLED,
    "answer_seconds": FILLED,
    "programming_seconds": {},
}
NUMBERS = [one.name for one in msgspec.structs.fields(Facts) if one.type in (int, float)]


@pytest.mark.parametrize("field", [*OTHER, *NUMBERS, "ready", "stale"])
def test_a_changed_value_changes_the_metrics(field: str) -> None:
    before = facts()
    value = OTHER.get(field)
    if value is None:
        old = getattr(before, field)
        value = not old if isinstance(old, bool) else old + 7
    after = msgspec.structs.replace(before, **{field: value})
    assert exposition(after) != exposition(before)


@pytest.mark.parametrize(
    "one", [WorkerFacts(0, False, 1.0, 2.0, 3), ServerFacts("a", True, 1, 2, 3)]
)
def test_each_field_of_a_worker_and_a_server_is_exported(one: WorkerFacts | ServerFacts) -> None:
    group = "workers" if isinstance(one, WorkerFacts) else "servers"
    before = msgspec.structs.replace(facts(), **{group: (one,)})
    for field in one.__struct_fields__:
        old = getattr(one, field)
        new = not old if isinstance(old, bool) else "b" if isinstance(old, str) else old + 7
        changed = msgspec.structs.replace(one, **{field: new})
        after = msgspec.structs.replace(before, **{group: (changed,)})
        assert exposition(after) != exposition(before), field
