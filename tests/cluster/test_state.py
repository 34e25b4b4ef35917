"""The state is a function of the last event of every key, and reports what an event touched."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dnsd.cluster.objects import (
    CLUSTER_SCOPED,
    CONTRIBUTOR_KINDS,
    ROUTE_KINDS,
    DNSEndpoint,
    Endpoint,
    EndpointSlice,
    Event,
    Gateway,
    Ingress,
    Key,
    Namespace,
    Node,
    Object,
    Parent,
    Pod,
    Route,
    RouteSubject,
    Service,
    ServiceSubject,
)
from dnsd.cluster.state import State
from dnsd.dns.addresses import pack_address

WEB = Key("Service", "default", "web")
WEB_SERVICE = Service("default", "web", cluster_ips=(b"\x0a\x60\x00\x01",))


def a_slice(
    name: str, service: str = "web", *ips: str, namespace: str = "default"
) -> EndpointSlice:
    endpoints = tuple(Endpoint((pack_address(ip),)) for ip in ips)
    return EndpointSlice(namespace, name, service, endpoints)


class TestServices:
    def test_a_service_is_its_own_contributor(self) -> None:
        state = State()
        assert state.apply([WEB_SERVICE]) == {WEB}
        assert state.subject(WEB) == ServiceSubject(WEB_SERVICE)
        assert state.get(WEB) == WEB_SERVICE

    def test_an_equal_object_dirties_nothing(self) -> None:
        state = State()
        state.apply([WEB_SERVICE])
        assert state.apply([replace(WEB_SERVICE)]) == set()

    def test_a_deleted_service_has_no_subject(self) -> None:
        state = State()
        state.apply([WEB_SERVICE])
        assert state.apply([WEB]) == {WEB}
        assert state.subject(WEB) is None
        assert state.apply([WEB]) == set()

    def test_services_of_two_namespaces_stay_apart(self) -> None:
        other = replace(WEB_SERVICE, namespace="other")
        state = State()
        state.apply([WEB_SERVICE, other])
        assert list(state.services("other")) == [other]
        assert list(state.services("nowhere")) == []
        assert list(state.services()) == [WEB_SERVICE, other]
        state.apply([WEB])
        assert state.subject(other.key) == ServiceSubject(other)


class TestSlices:
    def test_a_slice_dirties_the_service_of_its_label(self) -> None:
        state = State()
        state.apply([WEB_SERVICE])
        one = a_slice("web-1", "web", "10.0.0.1")
        assert state.apply([one]) == {WEB}
        assert state.subject(WEB) == ServiceSubject(WEB_SERVICE, (one,))

    def test_a_slice_that_changes_its_label_dirties_both(self) -> None:
        state = State()
        state.apply([WEB_SERVICE, a_slice("s", "web")])
        moved = a_slice("s", "api")
        api = Key("Service", "default", "api")
        state.apply([replace(WEB_SERVICE, name="api")])
        assert state.apply([moved]) == {WEB, api}
        assert state.slices_of(WEB) == ()
        assert state.slices_of(api) == (moved,)

    def test_a_slice_dirties_only_a_service_that_exists(self) -> None:
        state = State()
        one = a_slice("web-1", "web", "10.0.0.1")
        assert state.apply([one]) == set()
        assert state.apply([WEB_SERVICE]) == {WEB}
        assert state.subject(WEB) == ServiceSubject(WEB_SERVICE, (one,))

    def test_a_slice_that_loses_its_label_has_no_service(self) -> None:
        state = State()
        state.apply([WEB_SERVICE, a_slice("s", "web")])
        assert state.apply([a_slice("s", "")]) == {WEB}
        assert state.apply([Key("EndpointSlice", "default", "s")]) == set()
        assert state.counts()["EndpointSlice"] == 0

    def test_a_slice_waits_for_its_service(self) -> None:
        state = State()
        one = a_slice("web-1", "web", "10.0.0.1")
        state.apply([one])
        assert state.subject(WEB) is None
        assert WEB in state.apply([WEB_SERVICE])
        assert state.subject(WEB) == ServiceSubject(WEB_SERVICE, (one,))

    def test_slices_outlive_their_service(self) -> None:
        state = State()
        state.apply([WEB_SERVICE, a_slice("web-1", "web", "10.0.0.1"), WEB])
        assert state.subject(WEB) is None
        state.apply([WEB_SERVICE])
        subject = state.subject(WEB)
        assert isinstance(subject, ServiceSubject)
        assert len(subject.slices) == 1

    def test_slices_are_ordered_by_name(self) -> None:
        state = State()
        for name in ("c", "a", "b", "a"):
            state.apply([a_slice(name, "web", f"10.0.0.{ord(name)}")])
        assert [one.name for one in state.slices_of(WEB)] == ["a", "b", "c"]
        state.apply([Key("EndpointSlice", "default", "b")])
        assert [one.name for one in state.slices_of(WEB)] == ["a", "c"]

    def test_a_slice_of_another_namespace_does_not_belong_to_the_service(self) -> None:
        state = State()
        state.apply([WEB_SERVICE, a_slice("s", "web", "10.0.0.1", namespace="other")])
        assert state.slices_of(WEB) == ()


class TestPodsNamespacesNodes:
    def test_pods_dirty_only_their_own_key(self) -> None:
        state = State()
        state.apply([WEB_SERVICE, a_slice("s", "web", "10.0.0.1")])
        pod = Pod("default", "web-0", (pack_address("10.0.0.1"),))
        assert state.apply([pod]) == {pod.key}
        assert state.subject(pod.key) == pod
        assert [*state.objects("Pod")] == [pod]

    def test_pods_are_found_by_address(self) -> None:
        ip, v6 = pack_address("10.0.0.1"), pack_address("fd00::1")
        first, second = Pod("b", "x", (ip, v6, ip)), Pod("a", "y", (ip,), host_network=True)
        state = State()
        state.apply([first, second])
        assert state.pods_with(ip) == (second, first)
        assert state.pods_with(v6) == (first,)
        moved = replace(first, ips=(v6,))
        state.apply([moved])
        assert state.pods_with(ip) == (second,)
        state.apply([replace(moved)])  # an equal object again: still one copy
        state.apply([moved.key, second.key])
        assert state.pods_with(ip) == ()
        assert state.pods_with(v6) == ()

    def test_a_namespace_exists_when_its_object_does(self) -> None:
        team = Namespace("team-a")
        state = State()
        state.apply([Service("team-b", "web")])
        assert state.apply([team]) == {team.key}
        assert list(state.namespaces()) == [team]
        assert state.subject(Key("Namespace", "", "team-b")) is None
        assert state.apply([team.key]) == {team.key}
        assert list(state.namespaces()) == []

    def test_a_node_is_its_own_contributor(self) -> None:
        node = Node("n1", (pack_address("192.168.0.1"),))
        state = State()
        state.apply([Service("default", "np", "NodePort")])
        assert state.apply([node]) == {node.key}
        assert state.get(node.key) == node
        assert list(state.objects("Node")) == [node]
        assert state.subject(node.key) == node
        assert state.apply([node.key]) == {node.key}
        assert state.get(node.key) is None

    def test_an_unknown_kind_changes_nothing(self) -> None:
        state = State()
        strange = Key("Deployment", "default", "web")
        assert state.apply([strange]) == set()
        assert state.get(strange) is None
        assert state.subject(strange) is None

    def test_counts_have_every_kind(self) -> None:
        state = State()
        state.apply([WEB_SERVICE, a_slice("s"), Namespace("default"), Pod("d", "p"), Node("n")])
        counts = {kind: count for kind, count in state.counts().items() if count}
        assert counts == dict.fromkeys(("Namespace", "Service", "EndpointSlice", "Pod", "Node"), 1)
        assert len(list(state.objects())) == 5
        state.apply([one.key for one in list(state.objects())])
        assert set(state.counts().values()) == {0}


NODE_PORT = Service("default", "np", "NodePort")
NODES = (
    Node("n1", (pack_address("192.168.0.1"),), ready=True, version="1"),
    Node("n2", (pack_address("192.168.0.2"),), ready=True, version="1"),
)


class TestServicesOnNodes:
    def test_a_service_at_node_ports_has_all_nodes_by_name(self) -> None:
        state = State(("NodePort",))
        state.apply([NODES[1], NODE_PORT, WEB_SERVICE, NODES[0]])
        subject = state.subject(NODE_PORT.key)
        assert isinstance(subject, ServiceSubject)
        assert [node.name for node in subject.nodes] == ["n1", "n2"]
        assert state.subject(WEB) == ServiceSubject(WEB_SERVICE)

    def test_a_node_dirties_services_at_node_ports_and_a_heartbeat_does_not(self) -> None:
        state = State(("NodePort",))
        state.apply([NODE_PORT, WEB_SERVICE, *NODES])
        assert state.apply([replace(NODES[0], version="2")]) == {NODES[0].key}
        down = replace(NODES[0], version="3", ready=False)
        assert state.apply([down]) == {down.key, NODE_PORT.key}
        assert state.apply([down.key]) == {down.key, NODE_PORT.key}

    def test_a_service_that_changes_its_type_no_longer_depends_on_nodes(self) -> None:
        state = State(("NodePort",))
        state.apply([NODE_PORT, *NODES, replace(NODE_PORT, type="ClusterIP")])
        assert state.apply([NODES[0].key]) == {NODES[0].key}
        state.apply([NODE_PORT, NODE_PORT.key])
        assert state.apply([NODES[0]]) == {NODES[0].key}

    def test_the_types_that_depend_on_nodes_can_change(self) -> None:
        balancer = Service("default", "lb", "LoadBalancer")
        state = State(("NodePort",))
        state.apply([NODE_PORT, balancer, *NODES])
        state.follow_nodes(("LoadBalancer",))
        assert state.apply([NODES[0].key]) == {NODES[0].key, balancer.key}
        state.follow_nodes(())
        assert state.subject(balancer.key) == ServiceSubject(balancer)


class TestRoutes:
    def test_the_subject_of_a_route_has_its_existing_gateways(self) -> None:
        route = Route("HTTPRoute", "x", "r", parents=(Parent("y", "g"), Parent("x", "none")))
        gate = Gateway("y", "g")
        state = State()
        assert state.apply([route]) == {route.key}
        assert state.subject(route.key) == RouteSubject(route)
        assert state.apply([gate]) == {route.key}
        assert state.subject(route.key) == RouteSubject(route, (gate,))
        assert state.subject(gate.key) is None
        assert state.get(gate.key) == gate
        assert state.apply([gate.key]) == {route.key}

    def test_routes_of_one_name_and_two_kinds_stay_apart(self) -> None:
        web, rpc = Route("HTTPRoute", "x", "r"), Route("GRPCRoute", "x", "r")
        state = State()
        state.apply([web, rpc])
        assert state.apply([web.key]) == {web.key}
        assert state.get(rpc.key) == rpc

    def test_a_route_that_moves_to_another_gateway_leaves_the_first(self) -> None:
        route = Route("TLSRoute", "x", "r", parents=(Parent("x", "a"),))
        state = State()
        state.apply([route, replace(route, parents=(Parent("x", "b"),))])
        assert state.apply([Gateway("x", "a")]) == set()
        assert state.apply([Gateway("x", "b")]) == {route.key}


# ---------------------------------------------------------------------------------------
# Any order of events.

_names = st.sampled_from(["a", "b", "c"])
_spaces = st.sampled_from(["x", "y"])
_ips = st.lists(st.sampled_from([b"\x0a\0\0\1", b"\x0a\0\0\2", b"\xfd" + bytes(15)]), max_size=3)
_objects: st.SearchStrategy[Object] = st.one_of(
    st.builds(
        Service,
        _spaces,
        _names,
        st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
        version=st.sampled_from(["1", "2"]),
    ),
    st.builds(
        EndpointSlice,
        _spaces,
        _names,
        st.sampled_from(["a", "b", ""]),
        _ips.map(lambda ips: tuple(Endpoint((ip,)) for ip in ips)),
    ),
    st.builds(Namespace, _names, version=st.sampled_from(["1", "2"])),
    st.builds(Pod, _spaces, _names, _ips.map(tuple)),
    st.builds(
        Node,
        _names,
        st.sampled_from([(), (b"\x0a\0\0\1",)]),
        version=st.sampled_from(["1", "2"]),
    ),
    st.builds(Ingress, _spaces, _names, version=st.sampled_from(["1", "2"])),
    st.builds(DNSEndpoint, _spaces, _names, version=st.sampled_from(["1", "2"])),
    st.builds(Gateway, _spaces, _names, version=st.sampled_from(["1", "2"])),
    st.builds(
        Route,
        st.sampled_from(ROUTE_KINDS),
        _spaces,
        _names,
        parents=st.lists(st.builds(Parent, _spaces, _names), max_size=2).map(tuple),
    ),
)
_events: st.SearchStrategy[Event] = st.one_of(_objects, _objects.map(lambda thing: thing.key))
_OWNERS = [
    Key(kind, "" if kind in CLUSTER_SCOPED else space, name)
    for kind in CONTRIBUTOR_KINDS
    for space in "xy"
    for name in "abc"
]


def _subjects(state: State) -> dict[Key, object]:
    return {contributor: state.subject(contributor) for contributor in _OWNERS}


def _final(batches: Sequence[Sequence[Event]]) -> list[Object]:
    last: dict[Key, Object] = {}
    for event in (event for batch in batches for event in batch):
        if isinstance(event, Key):
            last.pop(event, None)
        else:
            last[event.key] = event
    return list(last.values())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(_events, max_size=6), max_size=6),
    st.randoms(use_true_random=False),
    st.sampled_from([(), ("NodePort",), ("NodePort", "LoadBalancer")]),
)
def test_any_order_equals_the_final_objects(
    batches: list[list[Event]], random: object, types: tuple[str, ...]
) -> None:
    state = State(types)
    for batch in batches:
        before = _subjects(state)
        dirty = state.apply(batch)
        after = _subjects(state)
        assert {
            contributor for contributor in _OWNERS if before[contributor] != after[contributor]
        } <= dirty
        assert dirty <= set(_OWNERS)
    final = _final(batches)
    random.shuffle(final)  # type: ignore[attr-defined]
    fresh = State()
    fresh.apply(final)
    fresh.follow_nodes(types)
    assert _subjects(state) == _subjects(fresh)
    assert state.counts() == fresh.counts()
    assert {one.key: one for one in state.objects()} == {one.key: one for one in final}
    for ip in (b"\x0a\0\0\1", b"\x0a\0\0\2", b"\xfd" + bytes(15)):
        assert state.pods_with(ip) == fresh.pods_with(ip)
        assert {p.key for p in state.pods_with(ip)} == {
            p.key for p in final if isinstance(p, Pod) and ip in p.ips
        }
    services = [one for one in final if isinstance(one, Service)]
    kinds = Counter("headless" if one.headless else one.type for one in services)
    assert state.service_types() == kinds
    assert state.service_counts() == Counter(one.namespace for one in services)
    for contributor in _OWNERS:
        assert state.slices_of(contributor) == fresh.slices_of(contributor)
        if contributor.kind == "Service":
            mine = {
                one.name: one
                for one in final
                if isinstance(one, EndpointSlice)
                and (one.namespace, one.service) == (contributor.namespace, contributor.name)
            }
            assert state.slices_of(contributor) == tuple(mine[name] for name in sorted(mine))
        assert state.get(contributor) == {one.key: one for one in final}.get(contributor)


# ---------------------------------------------------------------------------------------
# What an event costs.


def _steps(state: State, event: Event) -> int:
    """The lines and calls of Python, and the calls into C, that `apply` takes for one event."""
    steps = 0
    if not isinstance(event, Key):
        event = replace(event)  # a copy that is not packed yet

    def count(frame: FrameType, what: str, argument: object) -> Any:
        nonlocal steps
        steps += 1
        return count

    previous = sys.gettrace(), sys.getprofile()
    collecting = gc.isenabled()
    gc.disable()  # a collection runs callbacks, and its time depends on the objects
    sys.settrace(count)
    sys.setprofile(count)  # for functions in C
    try:
        state.apply([event])
    finally:
        sys.setprofile(previous[1])
        sys.settrace(previous[0])
        if collecting:
            gc.enable()
    return steps


def _crowd(services: int) -> State:
    state = State()
    for i in range(services):
        state.apply(
            [
                Service("default", f"s{i}"),
                a_slice(f"s{i}-1", f"s{i}", f"10.0.{i >> 8}.{i & 255}"),
                Namespace(f"n{i}"),
                Pod("default", f"p{i}", ((10 << 24 | i).to_bytes(4, "big"),)),
            ]
        )
    state.compact()
    return state


@pytest.mark.parametrize(
    "event",
    [
        Service("default", "new"),
        a_slice("new-1", "s0", "10.9.9.9"),
        a_slice("s0-1", "s1", "10.9.9.9"),
        Namespace("new"),
        Pod("default", "p0", (b"\x0b\0\0\1",)),
        Key("Service", "default", "s0"),
        Key("EndpointSlice", "default", "s0-1"),
        Key("Pod", "default", "p0"),
        Key("Namespace", "", "n0"),
        Node("new"),
        Ingress("default", "new"),
        Route("HTTPRoute", "default", "new", parents=(Parent("default", "g"),)),
        Gateway("default", "g"),
        DNSEndpoint("default", "new"),
    ],
    ids=str,
)
def test_the_work_of_an_event_does_not_grow_with_the_objects(event: Event) -> None:
    _steps(_crowd(2), event)  # the first call also fills the caches of the interpreter
    assert _steps(_crowd(2), event) == _steps(_crowd(800), event)
