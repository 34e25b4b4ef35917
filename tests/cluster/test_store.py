"""Packed objects come back as they were, and compare as the objects do."""

from __future__ import annotations

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
from dnsd.cluster.store import NotPacked, Shelf, checked, kind_of, pack, unpack, unpack_events

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


def test_every_kind_is_tried() -> None:
    # An Endpoints object becomes slices.
    assert {kind.kind for kind in _PLAIN} | {*ROUTE_KINDS, "Endpoints"} == set(KINDS)


@settings(deadline=None, max_examples=300)
@given(_objects)
def test_an_object_comes_back_as_it_was(thing: Object) -> None:
    packed = pack(thing)
    found = unpack(packed)
    assert found == thing
    assert (type(found), asdict(found)) == (type(thing), asdict(thing))
    assert kind_of(packed) == thing.kind == found.kind
    assert checked(bytes(packed)) == packed


@settings(deadline=None, max_examples=200)
@given(_objects, _objects)
def test_octets_are_equal_when_the_objects_are(one: Object, other: Object) -> None:
    assert pack(_anew(one)) == pack(one)
    assert (pack(one) == pack(other)) == (one == other)


@settings(deadline=None, max_examples=200)
@given(_objects, st.data())
def test_any_other_field_is_other_octets(thing: Object, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from([f for f in type(thing).__struct_fields__ if f != "kind"]))
    value = data.draw(_LEAVES[get_type_hints(type(thing))[field]])
    changed = replace(thing, **{field: value})
    assert (pack(changed) == pack(thing)) == (changed == thing)


def test_labels_are_equal_in_any_order() -> None:
    one = Service("default", "web", labels={"a": "1", "b": "2"})
    other = Service("default", "web", labels={"b": "2", "a": "1"})
    assert pack(one) == pack(other)


def test_all_who_keep_an_object_keep_the_same_octets() -> None:
    packed = pack(Service("default", "web"))
    thing = unpack(packed)
    assert pack(thing) is packed
    shelves: list[Shelf[Any]] = [Shelf(), Shelf()]
    for shelf in shelves:
        shelf.put(thing)
        assert shelf.packed("default", "web") is packed


def test_another_object_does_not_remember_what_it_was_made_of() -> None:
    thing = unpack(pack(Service("default", "web")))
    assert isinstance(thing, Service)
    headless = replace(thing, headless=True)
    assert unpack(pack(headless)) == headless != thing


def test_events_keep_their_order_and_their_keys() -> None:
    thing, gone = Service("default", "web"), Key("Service", "default", "web")
    assert unpack_events([pack(thing), gone, pack(thing)]) == [thing, gone, thing]


def test_text_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        pack(Service("default", "web", labels={"a": "\ud800"}))


@pytest.mark.parametrize(
    "octets",
    [b"", b"\xff\x90", b"\x00", b"\x00\x90", b"\x00\xc1", b"\x00" + msgspec.msgpack.encode([1, 2])],
)
def test_octets_that_are_no_object_are_refused(octets: bytes) -> None:
    with pytest.raises(NotPacked):
        checked(octets)


# ---------------------------------------------------------------------------------------
# Shelves, beside a plain dictionary.

_ones = st.builds(
    Service, st.sampled_from("xy"), st.sampled_from("abc"), version=st.sampled_from("12")
)


@settings(deadline=None, max_examples=100)
@given(st.lists(_ones | _ones.map(lambda one: one.key), max_size=12))
def test_a_shelf_is_a_dictionary(steps: list[Service | Key]) -> None:
    shelf: Shelf[Service] = Shelf()
    model: dict[tuple[str, str], Service] = {}
    for step in steps:
        place = step.namespace, step.name
        if isinstance(step, Key):
            dropped, expected = shelf.drop(*place), model.pop(place, None)
            assert (dropped and unpack(dropped)) == expected
        else:
            assert shelf.put(step) == (model.get(place) != step)
            model[place] = step
        assert {(one.namespace, one.name): one for one in shelf} == model
        assert sorted(shelf.places()) == sorted(model)
        assert len(shelf) == len(model)
    assert shelf.sizes() == {space: len(list(shelf.within(space))) for space in shelf.spaces()}
    assert set(shelf.spaces()) == {space for space, _ in model}
    for place in (("x", "a"), ("y", "c"), ("z", "a")):
        assert shelf.get(*place) == model.get(place)
