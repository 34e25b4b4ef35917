"""Frames: applying Changes one by one gives the table that a build from scratch gives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.table import Table
from dnsd.cluster.objects import Key, from_plain
from dnsd.cluster.source import Batch
from dnsd.pipeline import Pipeline
from dnsd.zone.compile import (
    FRESH,
    NOT_READY,
    Frame,
    compile_all,
    compile_change,
    compile_state,
    records_that_fit,
)
from dnsd.zone.rrset import Type, rrset
from dnsd.zone.schema import SchemaConfig
from tests.answer.building import SCHEMA, ask, engine_of, feed, pipeline_of
from tests.cases.cluster import endpoint, endpoint_slice, external, objects, port, service

Plain = dict[str, Any]


def contents(table: Table) -> dict[str, Any]:
    """All that a table answers from, in a form that can be compared."""
    return {
        "names": {name: (home.name, home.kind) for name, home in table.names.items()},
        "zones": {name: home.apex for name, home in table.homes.items()},
        "types": {kind: sets for kind, sets in table.types.items() if sets[0] or sets[1]},
        "alias": table.alias,
        "depths": table.depths,
        "serial": table.serial,
    }


def from_scratch(pipeline: Pipeline) -> Table:
    return engine_of(pipeline).table


names = st.sampled_from(["a", "b", "c"])
addresses = st.integers(1, 4).map(lambda n: f"10.244.0.{n}")
cluster_ips = st.sampled_from(["10.96.0.1", "10.96.0.2", "None", "203.0.113.1"])
ports = st.sampled_from([[], [port(80)], [port(80, "x"), port(81, "y", "UDP")]])


@st.composite
def changed_objects(draw: st.DrawFn) -> Plain | Key:
    name = draw(names)
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return external(name, draw(st.sampled_from(["example.com", "a.prod.svc.cluster.local"])))
    if kind == 1:
        return Key("Service", "prod", name)
    if kind == 2:
        return Key("EndpointSlice", "prod", f"{name}-a")
    if kind == 3:
        return service(name, draw(cluster_ips), ports=draw(ports))
    found = [
        endpoint(address, hostname=draw(st.sampled_from(["", "h"])), ready=draw(st.booleans()))
        for address in draw(st.lists(addresses, min_size=1, max_size=3))
    ]
    return endpoint_slice(name, *found, ports=draw(ports))


@settings(max_examples=150, deadline=None)
@given(st.lists(changed_objects(), max_size=20), st.sampled_from(["disabled", "insecure"]))
def test_changes_equal_a_build_from_scratch(steps: list[Plain | Key], pods: str) -> None:
    pipeline = Pipeline(SchemaConfig(zones=SCHEMA.zones, pods=pods), 1)
    table = from_scratch(pipeline)
    pipeline.followers.append(lambda change: table.apply(compile_change(change, pipeline.zone)))
    for step in steps:
        events = [step] if isinstance(step, Key) else from_plain(step)
        pipeline.feed(Batch(tuple(events)), 0.0)
    assert contents(table) == contents(from_scratch(pipeline))


def test_frames_may_come_twice() -> None:
    pipeline = pipeline_of(objects())
    table = from_scratch(pipeline)
    frames = feed(pipeline, [service("web", "10.96.0.99", ports=[port(1, "one")])])
    for frame in frames * 2:
        table.apply(frame)
    assert contents(table) == contents(from_scratch(pipeline))


def test_old_answers_until_complete() -> None:
    """A new table is built beside the one that answers, and takes its place at once."""
    old, new = pipeline_of([service("old", "10.96.0.1")]), pipeline_of(objects())
    engine = engine_of(old)
    *most, last = compile_all(new.zone)
    for frame in most:
        engine.table.apply(frame)
        assert ask(engine, "old.prod.svc.cluster.local.").answer
        assert ask(engine, "web.prod.svc.cluster.local.").rcode() == 3
    engine.table.apply(last)
    assert ask(engine, "old.prod.svc.cluster.local.").rcode() == 3
    assert contents(engine.table) == contents(from_scratch(new))


def test_state_leaves_the_names_alone() -> None:
    pipeline = pipeline_of(objects())
    table = from_scratch(pipeline)
    before = contents(table)
    table.apply(compile_state(NOT_READY))
    assert (table.state, contents(table)) == (NOT_READY, before)
    table.apply(compile_state(FRESH))
    assert (table.state, contents(table)) == (FRESH, before)


def test_a_change_does_not_grow_with_the_zone() -> None:
    """The frame of one Service's Change has as many octets in a zone of 10 as of 1,000."""
    sizes = []
    for others in (10, 1000):
        plains = [service(f"s{i}", f"10.97.{i // 250}.{i % 250}") for i in range(others)]
        pipeline = pipeline_of([*plains, service("x", "10.96.1.1", ports=[port(80, "p")])])
        frames = feed(pipeline, [service("x", "10.96.1.2", ports=[port(80, "p")])])
        pipeline.zone.serial = 0
        sizes.append(sum(map(len, frames)))
    assert abs(sizes[0] - sizes[1]) < 8


def test_not_a_frame() -> None:
    with pytest.raises(msgspec.DecodeError):
        Table().apply(b"\xc1garbage")


def test_records_that_fit() -> None:
    few = rrset(b"\x01a\x00", Type.A, 5, [i.to_bytes(4, "big") for i in range(10)])
    many = rrset(b"\x01a\x00", Type.A, 5, [i.to_bytes(4, "big") for i in range(9000)])
    assert records_that_fit(few) == 10
    assert 4000 < records_that_fit(many) < 4096


def test_names_are_not_copied() -> None:
    """The dicts of a table share the names, or a large zone would be held several times."""
    table = from_scratch(pipeline_of(objects()))
    name = next(iter(table.types[b"\x00\x01\x00\x01"][0]))
    assert any(name is key for key in table.names)


def test_a_frame_is_small_for_what_it_holds() -> None:
    frame = msgspec.msgpack.decode(next(iter(compile_all(pipeline_of([]).zone))), type=Frame)
    assert frame.reset
    assert frame.zones[0].name == SCHEMA.zones[0]
