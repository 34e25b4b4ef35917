"""Node ports in manifests: the same at every start, never one that somebody states."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Service, ServicePort
from dnsd.cluster.store import unpack_events
from dnsd.sources.manifests.allocate import NODE_PORTS
from dnsd.sources.manifests.file import parse
from dnsd.sources.manifests.nodeports import NodePorts
from dnsd.sources.manifests.registry import Catalogue

LOW, COUNT = NODE_PORTS


def service(name: str, *node_ports: int, type_: str = "NodePort", **more: Any) -> Service:
    ports = tuple(ServicePort(f"p{i}", "TCP", 80 + i, one) for i, one in enumerate(node_ports))
    return Service("default", name, type_, ports=ports, **more)


def numbers(ports: NodePorts, one: Service) -> list[int]:
    return [port.node_port for port in ports.given(one).ports]


def restated(*services: Service) -> NodePorts:
    ports = NodePorts()
    for one in services:
        ports.restate(one.key, one)
    return ports


class TestGiven:
    def test_what_is_missing_is_given_and_what_is_stated_stays(self) -> None:
        one = service("web", 0, 30080, 0)
        ports = restated(one)
        first, second, third = numbers(ports, one)
        assert second == 30080
        assert LOW <= first < LOW + COUNT
        assert LOW <= third < LOW + COUNT
        assert len({first, second, third}) == 3
        assert ports.given(one).ports_allocated
        assert not ports.given(service("web", 30080)).ports_allocated

    def test_load_balancers_get_them_too_and_nobody_else(self) -> None:
        balancer, plain = (
            service("lb", 0, type_="LoadBalancer"),
            service("ip", 0, type_="ClusterIP"),
        )
        ports = restated(balancer, plain)
        assert numbers(ports, balancer) != [0]
        assert ports.given(plain) == plain

    def test_one_that_is_stated_later_moves_whom_it_was_given(self) -> None:
        one = service("web", 0)
        ports = restated(one)
        ports.moved()
        (given_first,) = numbers(ports, one)
        other = service("other", given_first)
        ports.restate(other.key, other)
        assert one.key in ports.moved()
        assert numbers(ports, one) != [given_first]
        ports.restate(other.key, None)
        assert numbers(ports, one) == [given_first]

    def test_when_all_are_stated_none_is_given(self) -> None:
        everyone = Service(
            "default",
            "all",
            "NodePort",
            ports=tuple(ServicePort(f"p{i}", "TCP", i + 1, LOW + i) for i in range(COUNT)),
        )
        late = service("late", 0)
        ports = restated(everyone, late)
        assert numbers(ports, late) == [0]
        assert not ports.given(late).ports_allocated


_services = st.builds(
    lambda name, node_ports, type_: service(name, *node_ports, type_=type_),
    st.sampled_from("abcd"),
    st.lists(st.sampled_from([0, 30000, 30001]), max_size=3, unique_by=lambda one: one or object()),
    st.sampled_from(["NodePort", "LoadBalancer", "ClusterIP"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_services, st.booleans()), max_size=12))
def test_any_order_gives_what_a_new_start_would(edits: list[tuple[Service, bool]]) -> None:
    ports, final = NodePorts(), {}
    for one, there in edits:
        ports.restate(one.key, one if there else None)
        final[one.key] = one if there else None
    left = [one for one in final.values() if one]
    fresh = restated(*reversed(left))
    assert [ports.given(one) for one in left] == [fresh.given(one) for one in left]
    given_ports = [
        port.node_port
        for one in left
        for port, asked in zip(ports.given(one).ports, one.ports, strict=True)
        if port.node_port and not asked.node_port
    ]
    stated = {port.node_port for one in left if one.type != "ClusterIP" for port in one.ports}
    assert len(given_ports) == len(set(given_ports))
    assert not stated & set(given_ports)


def test_from_manifests() -> None:
    text = b"""
kind: Service
metadata: {name: web}
spec: {type: NodePort, ports: [{port: 80}]}
"""
    catalogue = Catalogue()
    (event,) = unpack_events(catalogue.update({"web.yaml": parse("web.yaml", text).entries}))
    assert isinstance(event, Service)
    assert LOW <= event.ports[0].node_port < LOW + COUNT
    assert event.ports_allocated
    claim = text.replace(b"web", b"rival").replace(
        b"port: 80", b"port: 80, nodePort: %d" % event.ports[0].node_port
    )
    events = unpack_events(catalogue.update({"rival.yaml": parse("rival.yaml", claim).entries}))
    assert {one.name for one in events} == {"web", "rival"}
