"""Events: encoded only for listeners, and only when something changed."""

from __future__ import annotations

import msgspec

from dnsd.admin.events import Events, change_event
from dnsd.sources.source import Batch
from dnsd.zone.change import Change
from tests.answer.building import pipeline_of
from tests.zone.made import piece, service


def test_a_change_is_sent_to_open_listeners_only() -> None:
    events = Events()
    pipeline = pipeline_of([])
    pipeline.on_change.append(events.change)
    pipeline.feed(Batch((service("web", "10.96.0.1"),)), 0.0)
    with events.listening() as listener:
        pipeline.feed(Batch((service("web", "10.96.0.2"),)), 0.0)
        assert len(listener.waiting()) == 1
    assert len(events) == 0


def test_only_a_source_that_changes_its_state_is_sent() -> None:
    events = Events()
    with events.listening() as listener:
        events.states({"manifests": "starting"})
        events.states({"manifests": "synced"})
        events.states({"manifests": "synced"})
        (event,) = listener.waiting()
    assert event.wire() == (
        b'event: source\ndata: {"source":"manifests","before":"starting","state":"synced"}\n\n'
    )


def test_a_rebuilt_zone_is_sent_as_a_reset_with_its_serial() -> None:
    events = Events()
    zone = pipeline_of([]).zone
    with events.listening() as listener:
        events.reset(zone)
        (event,) = listener.waiting()
    assert (event.name, event.id) == ("reset", str(zone.serial))


def test_a_large_change_is_cut_and_the_rest_counted() -> None:
    pipeline = pipeline_of([])
    changes: list[Change] = []
    pipeline.on_change.append(changes.append)
    pieces = [piece(f"10.1.{i}.{k}", name=f"web-{i}-{k}") for i in range(4) for k in range(100)]
    pipeline.feed(Batch((service("web", headless=True), *pieces)), 0.0)
    data = msgspec.json.decode(change_event(changes[-1]).data)
    assert len(data["added"]) + data["more"] == len(changes[-1].added)
    assert data["more"] > 0
