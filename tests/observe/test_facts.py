"""Facts: each value is exported by a metric."""

from __future__ import annotations

import msgspec
import pytest

from dnsd.observe.facts import Facts, HistoryStatus, ServerFacts, WorkerStatus
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
    ("group", "one", "fields"),
    [
        (
            "workers",
            WorkerStatus(0, 1, "starting", 1.0, 2.0, 3, ""),
            ("index", "age", "lag", "restarts"),
        ),
        ("servers", ServerFacts("a", True, 1, 2, 3), ServerFacts.__struct_fields__),
    ],
)
def test_each_value_of_a_worker_and_a_server_is_exported(
    group: str, one: WorkerStatus | ServerFacts, fields: tuple[str, ...]
) -> None:
    before = msgspec.structs.replace(facts(), **{group: (one,)})
    for field in fields:
        old = getattr(one, field)
        new = not old if isinstance(old, bool) else "b" if isinstance(old, str) else old + 7
        changed = msgspec.structs.replace(one, **{field: new})
        after = msgspec.structs.replace(before, **{group: (changed,)})
        assert exposition(after) != exposition(before), field


@pytest.mark.parametrize("field", ["changes", "bytes", "lost"])
def test_each_extent_of_the_history_is_exported(field: str) -> None:
    extent = msgspec.structs.replace(HistoryStatus(0, 0, 0.0, 0, False), **{field: 7})
    after = msgspec.structs.replace(facts(), history=extent)
    assert exposition(after) != exposition(facts())


def test_only_an_open_worker_is_up() -> None:
    worker = WorkerStatus(0, 1, "draining", 1.0, 2.0, 3, "")
    assert not worker.open
    assert msgspec.structs.replace(worker, state="open").open
