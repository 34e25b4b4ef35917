"""Packed objects compare as the objects do; stores behave as dicts of objects."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from dnsd.cluster.objects import (
    KINDS,
    ROUTE_KINDS,
    DNSEndpoint,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Gateway,
    Ingress,
    Key,
    Listener,
    LoadBalancerIngress,
    Namespace,
    Node,
    Object,
    Parent,
    Pod,
    Route,
    Service,
    ServicePort,
    StatedRecords,
)
from dnsd.cluster.store import (
    LAYOUT,
    KeyTable,
    NotPacked,
    Store,
    checked,
    kind_of,
    pack,
    unpack,
    unpack_events,
)

_LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=6),
    bytes: st.binary(max_size=16),
    int: st.integers(0, 2**31 - 1),
    bool: st.booleans(),
    dict[str, str]: st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
    tuple[str, ...]: st.lists(st.text(max_size=6), max_size=2).map(tuple),
    tuple[bytes, ...]: st.lists(st.binary(max_size=16), max_size=2).map(tuple),
}


def _struct(kind: type[Any], /, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any values in every field of a struct, those with a default too."""
    hints = {name: get_type_hints(kind)[name] for name in kind.__struct_fields__}
    return st.builds(kind, **({name: _LEAVES[hint] for name, hint in hints.items()} | fixed))


for _kind in (ServicePort, EndpointPort, Endpoint, LoadBalancerIngress, Listener, Parent):
    _LEAVES[tuple[_kind, ...]] = st.lists(_struct(_kind), max_size=2).map(tuple)
_LEAVES[tuple[StatedRecords, ...]] = st.lists(_struct(StatedRecords), max_size=2).map(tuple)

_PLAIN = (Service, EndpointSlice, Namespace, Pod, Node, Ingress, Gateway, DNSEndpoint)
_objects: st.SearchStrategy[Object] = st.one_of(
    *map(_struct, _PLAIN), _struct(Route, kind=st.sampled_from(ROUTE_KINDS))
)


def _anew(thing: Object) -> Object:
    """An equal object that has not been packed yet."""
    return replace(thing)


def test_the_tests_below_cover_every_kind() -> None:
    # An Endpoints object becomes slices.
    assert {kind.kind for kind in _PLAIN} | {*ROUTE_KINDS, "Endpoints"} == set(KINDS)


@settings(deadline=None, max_examples=300)
@given(_objects)
def test_unpack_returns_the_object_that_was_packed(thing: Object) -> None:
    packed = pack(thing)
    found = unpack(packed)
    assert found == thing
    assert (type(found), asdict(found)) == (type(thing), asdict(thing))
    assert kind_of(packed) == thing.kind == found.kind
    assert checked(bytes(packed)) == packed


@settings(deadline=None, max_examples=200)
@given(_objects, _objects)
def test_octets_are_equal_exactly_if_the_objects_are(one: Object, other: Object) -> None:
    assert pack(_anew(one)) == pack(one)
    assert (pack(one) == pack(other)) == (one == other)


@settings(deadline=None, max_examples=200)
@given(_objects, st.data())
def test_another_value_of_any_field_gives_other_octets(thing: Object, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from([f for f in type(thing).__struct_fields__ if f != "kind"]))
    value = data.draw(_LEAVES[get_type_hints(type(thing))[field]])
    changed = replace(thing, **{field: value})
    assert (pack(changed) == pack(thing)) == (changed == thing)


def test_the_order_of_labels_does_not_change_the_octets() -> None:
    one = Service("default", "web", labels={"a": "1", "b": "2"})
    other = Service("default", "web", labels={"b": "2", "a": "1"})
    assert pack(one) == pack(other)


def test_stores_of_one_object_share_its_octets() -> None:
    packed = pack(Service("default", "web"))
    thing = unpack(packed)
    assert pack(thing) is packed
    stores: list[Store[Any]] = [Store(), Store()]
    for store in stores:
        store.put(thing)
        assert store.get("default", "web") is packed


def test_a_changed_copy_does_not_keep_the_octets_of_the_original() -> None:
    thing = unpack(pack(Service("default", "web")))
    assert isinstance(thing, Service)
    headless = replace(thing, headless=True)
    assert unpack(pack(headless)) == headless != thing


def test_unpacked_events_keep_their_order_and_keys() -> None:
    thing, gone = Service("default", "web"), Key("Service", "default", "web")
    assert unpack_events([pack(thing), gone, pack(thing)]) == [thing, gone, thing]


def test_a_lone_surrogate_cannot_be_packed() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        pack(Service("default", "web", labels={"a": "\ud800"}))


@pytest.mark.parametrize(
    "octets",
    [b"", b"\xff\x90", b"\x00", b"\x00\x90", b"\x00\xc1", b"\x00" + msgspec.msgpack.encode([1, 2])],
)
def test_octets_that_are_not_an_object_are_refused(octets: bytes) -> None:
    with pytest.raises(NotPacked):
        checked(octets)


# ---------------------------------------------------------------------------------------
# Stores and tables, compared with a dict.

_services = st.builds(
    Service, st.sampled_from("xy"), st.sampled_from("abc"), version=st.sampled_from("12")
)


@settings(deadline=None, max_examples=100)
@given(st.lists(_services | _services.map(lambda one: one.key), max_size=12))
def test_a_store_behaves_as_a_dict_of_objects(steps: list[Service | Key]) -> None:
    store: Store[Service] = Store()
    model: dict[tuple[str, str], Service] = {}
    for step in steps:
        place = step.namespace, step.name
        if isinstance(step, Key):
            popped, expected = store.pop(*place), model.pop(place, None)
            assert (popped and unpack(popped)) == expected
        else:
            assert store.put(step) == (model.get(place) != step)
            model[place] = step
        assert {(one.namespace, one.name): one for one in store.objects()} == model
        assert sorted(store.places()) == sorted(model)
        assert len(store) == len(model)
    assert store.sizes() == Counter(space for space, _ in model)
    for space in "xyz":
        assert {one.name for one in store.objects(space)} == {n for s, n in model if s == space}
    for place in (("x", "a"), ("y", "c"), ("z", "a")):
        assert store.object(*place) == model.get(place)


_keys = st.builds(
    Key,
    st.sampled_from(["Service", "EndpointSlice"]),
    st.sampled_from(["", "x", "y"]),
    st.sampled_from(["a", "b", "c"]),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(_keys, st.none() | st.integers()), max_size=12))
def test_a_key_table_behaves_as_a_sorted_dict(steps: list[tuple[Key, int | None]]) -> None:
    table: KeyTable[int] = KeyTable()
    model: dict[Key, int] = {}
    for key, value in steps:
        if value is None:
            assert table.pop(key) == model.pop(key, None)
        else:
            table.set(key, value)
            model[key] = value
        assert table.get(key) == model.get(key)
        assert list(table.items()) == sorted(model.items())


def test_moving_a_class_does_not_change_the_layout_of_snapshots() -> None:
    # Update this digest only together with a field of an object: it invalidates all snapshots.
    assert LAYOUT == "6d15994e35e3dbf0c14726396dbda9566b3377cab55c79111812716c393a3eb9"
