"""Frames: applying Changes one by one gives the table that a build from scratch gives."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.table import Table
from dnsd.cluster.objects import Key, from_plain
from dnsd.dns.names import name_from_text
from dnsd.dns.rrset import rrset
from dnsd.dns.types import Type
from dnsd.sources.source import Batch
from dnsd.zone.change import Cause
from dnsd.zone.compile import compile_all, compile_change, records_that_fit
from dnsd.zone.frame import FRESH, NOT_READY, Apex, Frame, Node, compile_state
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.zone import Zone
from tests.answer.building import SCHEMA, engine_of, feed, pipeline_of, reply_to
from tests.cases.cluster import endpoint, endpoint_slice, external, objects, port, service

Plain = dict[str, Any]
A_IN = b"\x00\x01\x00\x01"
APEX_OF_TEST = Apex(b"\x04test\x00", b"\x04test\x00", b"\x04test\x00", bytes(16), 5)
A_RECORD = ((1, b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01"),)
OTHER_TTL = ((1, b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x06\x00\x04\x0a\x00\x00\x01"),)


def contents(table: Table) -> dict[str, Any]:
    """All that a table answers from, in a form that can be compared."""
    return {
        "names": {name: (zone_ref.name, zone_ref.kind) for name, zone_ref in table.names.items()},
        "zones": {name: zone_ref.apex for name, zone_ref in table.zone_refs.items()},
        "types": {
            # Heads are there for the longest rdata there ever was.
            kind: (one, {len(rdata): heads[len(rdata)] for rdata in one.values()}, own, many)
            for kind, (one, heads, own, many) in table.types.items()
            if one or own or many
        },
        "alias": table.alias,
        "depths": table.depths,
        "serial": table.serial,
    }


def batch_of(step: Plain | Key) -> Batch:
    return Batch(tuple([step] if isinstance(step, Key) else from_plain(step)))


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
    pipeline.on_change.append(lambda change: table.apply(compile_change(change, pipeline.zone)))
    for step in steps:
        events = [step] if isinstance(step, Key) else from_plain(step)
        pipeline.feed(Batch(tuple(events)), 0.0)
    assert contents(table) == contents(from_scratch(pipeline))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(changed_objects(), max_size=20),
    st.lists(changed_objects(), max_size=20),
    st.integers(1, 4),
)
def test_a_table_that_is_compiled_while_the_zone_changes_is_complete(
    before: list[Plain | Key], during: list[Plain | Key], size: int
) -> None:
    pipeline = Pipeline(SCHEMA, 1)
    table = Table()
    for step in before:
        pipeline.feed(batch_of(step), 0.0)
    pipeline.on_change.append(lambda change: table.apply(compile_change(change, pipeline.zone)))
    left = iter(during)
    for frame in compile_all(pipeline.zone, size):
        table.apply(frame)
        for step in islice(left, 2):
            pipeline.feed(batch_of(step), 0.0)
    table.apply(compile_state(FRESH, pipeline.zone.serial))
    assert contents(table) == contents(from_scratch(pipeline))


def test_a_name_that_passes_to_its_other_contributor_during_the_walk_is_served() -> None:
    """Its records stay the same, so no Change contains it."""
    zone = Zone(SCHEMA, 1)
    shared = rrset(name_from_text("shared.cluster.local."), Type.A, 5, [bytes(4)])
    first, second = Key("Service", "default", "a"), Key("Service", "default", "b")
    other = rrset(name_from_text("other.cluster.local."), Type.A, 5, [bytes(4)])
    zone.replace(first, [other], Cause(first))
    zone.replace(second, [shared], Cause(second))
    walk = zone.served()
    met = []
    while other.name not in met:
        met.append(next(walk)[0])
    assert shared.name not in met
    zone.replace(first, [other, shared], Cause(first))
    assert zone.replace(second, [], Cause(second)) is None
    met += [name for name, _ in walk]
    assert shared.name in met


def test_a_frame_can_be_applied_twice() -> None:
    pipeline = pipeline_of(objects())
    table = from_scratch(pipeline)
    frames = feed(pipeline, [service("web", "10.96.0.99", ports=[port(1, "one")])])
    for frame in frames * 2:
        table.apply(frame)
    assert contents(table) == contents(from_scratch(pipeline))


def test_the_old_table_answers_until_the_new_one_is_complete() -> None:
    """A new table is built beside the one that answers, and takes its place at once."""
    old, new = pipeline_of([service("old", "10.96.0.1")]), pipeline_of(objects())
    engine = engine_of(old)
    *most, last = compile_all(new.zone)
    for frame in most:
        engine.table.apply(frame)
        assert reply_to(engine, "old.prod.svc.cluster.local.").answer
        assert reply_to(engine, "web.prod.svc.cluster.local.").rcode() == 3
    engine.table.apply(last)
    assert reply_to(engine, "old.prod.svc.cluster.local.").rcode() == 3
    assert contents(engine.table) == contents(from_scratch(new))


def test_a_frame_of_the_state_keeps_the_names() -> None:
    pipeline = pipeline_of(objects())
    table = from_scratch(pipeline)
    before = contents(table)
    table.apply(compile_state(NOT_READY))
    assert (table.claim.state, contents(table)) == (NOT_READY, before)
    table.apply(compile_state(FRESH))
    assert (table.claim.state, contents(table)) == (FRESH, before)


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


def test_octets_that_are_not_a_frame_cannot_be_decoded() -> None:
    with pytest.raises(msgspec.DecodeError):
        Table().apply(b"\xc1garbage")


def test_an_rrset_is_cut_after_the_records_that_fit_a_message() -> None:
    few = rrset(b"\x01a\x00", Type.A, 5, [i.to_bytes(4, "big") for i in range(10)])
    many = rrset(b"\x01a\x00", Type.A, 5, [i.to_bytes(4, "big") for i in range(9000)])
    assert records_that_fit(few) == 10
    assert 4000 < records_that_fit(many) < 4096


def test_equal_octets_in_a_table_are_one_object() -> None:
    """PTR and SRV records lead to names that are there anyway, or a zone would be held twice."""
    table = from_scratch(pipeline_of([service("web", "10.96.0.1", ports=[port(80, "http")])]))
    name = name_from_text("web.prod.svc.cluster.local.")
    ((key, address),) = ((k, v) for k, v in table.types[A_IN][0].items() if k == name)
    (pointed,) = table.types[b"\x00\x0c\x00\x01"][0].values()
    assert pointed is key
    entries = table.types[b"\x00\x21\x00\x01"][3]
    for entry in entries.values():
        assert entry.body is key
        assert entry.additional is address
    assert len(entries) == 2
    assert len(set(map(id, entries.values()))) == 1


def test_a_name_with_a_usual_record_is_in_no_other_dict() -> None:
    """Names with a usual record exist by that; empty non-terminals and apexes are in `names`."""
    table = from_scratch(pipeline_of([service("web", "10.96.0.1")]))
    web, above = map(name_from_text, ("web.prod.svc.cluster.local.", "prod.svc.cluster.local."))
    assert web not in table.names
    assert above in table.names
    assert table.exists(web)
    assert table.exists(above)
    assert not table.exists(b"\x04nope" + above)


def test_from_records_to_an_empty_non_terminal_and_back() -> None:
    """A name that loses its records to what is below it goes on to exist, and gets them back."""
    frames = [
        msgspec.msgpack.encode(Frame(1, reset=True, zones=(APEX_OF_TEST,), ttl=5)),
        *(
            msgspec.msgpack.encode(
                Frame(
                    2,
                    zones=(APEX_OF_TEST,),
                    nodes=(Node(b"\x01a\x04test\x00", 0, singles=singles),),
                )
            )
            for singles in (A_RECORD, (), A_RECORD, OTHER_TTL, ())
        ),
    ]
    table = Table()
    table.apply(frames[0])
    table.apply(msgspec.msgpack.encode(Frame(1, complete=True)))
    name = b"\x01a\x04test\x00"
    expected = (A_RECORD[0][1], None, A_RECORD[0][1], OTHER_TTL[0][1], None)
    for frame, record in zip(frames[1:], expected, strict=True):
        table.apply(frame)
        assert table.exists(name)
        found = table.find(name, A_IN)
        assert found == (record and (record, 1, b"", 0))
        assert (name in table.names) == (record != A_RECORD[0][1])
        assert sum(name in d for one, _, own, _ in table.types.values() for d in (one, own)) == (
            record is not None
        )
    table.apply(msgspec.msgpack.encode(Frame(3, gone=(name,))))
    assert not table.exists(name)


def test_the_first_frame_resets_and_has_the_zones() -> None:
    frame = msgspec.msgpack.decode(next(iter(compile_all(pipeline_of([]).zone))), type=Frame)
    assert frame.reset
    assert frame.zones[0].name == SCHEMA.zones[0]
