"""Node ports are the same at each start, and never one that a manifest states."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Service, ServicePort
from dnsd.cluster.store import unpack_events
from dnsd.sources.manifests.allocate import NODE_PORTS
from dnsd.sources.manifests.file import parse
from dnsd.sources.manifests.nodeports import NodePorts
from dnsd.sources.manifests.registry import Registry

LOW, COUNT = NODE_PORTS


def service(name: str, *node_ports: int, type_: str = "NodePort", **more: Any) -> Service:
    ports = tuple(ServicePort(f"p{i}", "TCP", 80 + i, one) for i, one in enumerate(node_ports))
    return Service("default", name, type_, ports=ports, **more)


def numbers(ports: NodePorts, one: Service) -> list[int]:
    return [port.node_port for port in ports.with_ports(one).ports]


def declared(*services: Service) -> NodePorts:
    ports = NodePorts()
    for one in services:
        ports.declare(one.key, one)
    return ports


class TestAllocation:
    def test_a_missing_port_is_allocated_and_a_stated_one_stays(self) -> None:
        one = service("web", 0, 30080, 0)
        ports = declared(one)
        first, second, third = numbers(ports, one)
        assert second == 30080
        assert LOW <= first < LOW + COUNT
        assert LOW <= third < LOW + COUNT
        assert len({first, second, third}) == 3
        assert ports.with_ports(one).ports_allocated
        assert not ports.with_ports(service("web", 30080)).ports_allocated

    def test_only_the_types_nodeport_and_loadbalancer_are_allocated_ports(self) -> None:
        balancer, plain = (
            service("lb", 0, type_="LoadBalancer"),
            service("ip", 0, type_="ClusterIP"),
        )
        ports = declared(balancer, plain)
        assert numbers(ports, balancer) != [0]
        assert ports.with_ports(plain) == plain

    def test_a_port_stated_later_displaces_the_allocated_one(self) -> None:
        one = service("web", 0)
        ports = declared(one)
        ports.moved()
        (given_first,) = numbers(ports, one)
        other = service("other", given_first)
        ports.declare(other.key, other)
        assert one.key in ports.moved()
        assert numbers(ports, one) != [given_first]
        ports.declare(other.key, None)
        assert numbers(ports, one) == [given_first]

    def test_without_a_free_number_the_port_stays_without(self) -> None:
        everyone = Service(
            "default",
            "all",
            "NodePort",
            ports=tuple(ServicePort(f"p{i}", "TCP", i + 1, LOW + i) for i in range(COUNT)),
        )
        late = service("late", 0)
        ports = declared(everyone, late)
        assert numbers(ports, late) == [0]
        assert not ports.with_ports(late).ports_allocated


_services = st.builds(
    lambda name, node_ports, type_: service(name, *node_ports, type_=type_),
    st.sampled_from("abcd"),
    st.lists(st.sampled_from([0, 30000, 30001]), max_size=3, unique_by=lambda one: one or object()),
    st.sampled_from(["NodePort", "LoadBalancer", "ClusterIP"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_services, st.booleans()), max_size=12))
def test_any_order_of_edits_leads_to_what_a_new_start_allocates(
    edits: list[tuple[Service, bool]],
) -> None:
    ports, final = NodePorts(), {}
    for one, there in edits:
        ports.declare(one.key, one if there else None)
        final[one.key] = one if there else None
    left = [one for one in final.values() if one]
    fresh = declared(*reversed(left))
    assert [ports.with_ports(one) for one in left] == [fresh.with_ports(one) for one in left]
    given_ports = [
        port.node_port
        for one in left
        for port, asked in zip(ports.with_ports(one).ports, one.ports, strict=True)
        if port.node_port and not asked.node_port
    ]
    stated = {port.node_port for one in left if one.type != "ClusterIP" for port in one.ports}
    assert len(given_ports) == len(set(given_ports))
    assert not stated & set(given_ports)


def test_the_registry_allocates_and_displaces_node_ports() -> None:
    text = b"""
kind: Service
metadata: {name: web}
spec: {type: NodePort, ports: [{port: 80}]}
"""
    registry = Registry()
    (event,) = unpack_events(registry.update({"web.yaml": parse("web.yaml", text).manifests}))
    assert isinstance(event, Service)
    assert LOW <= event.ports[0].node_port < LOW + COUNT
    assert event.ports_allocated
    claim = text.replace(b"web", b"rival").replace(
        b"port: 80", b"port: 80, nodePort: %d" % event.ports[0].node_port
    )
    events = unpack_events(registry.update({"rival.yaml": parse("rival.yaml", claim).manifests}))
    assert {one.name for one in events} == {"web", "rival"}
