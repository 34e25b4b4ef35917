"""An index finds objects by what they refer to, and the Services that depend on all Nodes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dnsd.cluster.index import NodeIndex, Reference, ReferenceIndex
from dnsd.cluster.objects import Node, Pod, Service
from dnsd.cluster.store import pack


def _addresses(pod: Pod) -> list[Reference]:
    return [("", ip) for ip in pod.ips]


_pods = st.builds(
    Pod,
    st.just("x"),
    st.sampled_from("abc"),
    st.lists(st.sampled_from([b"\x0a\0\0\1", b"\x0a\0\0\2"]), max_size=3).map(tuple),
)


@given(st.lists(_pods, max_size=10))
def test_an_index_finds_exactly_the_objects_that_refer_to_a_thing(pods: list[Pod]) -> None:
    index = ReferenceIndex(_addresses)
    current: dict[str, Pod] = {}
    for pod in pods:
        index.update(current.get(pod.name), pod)
        current[pod.name] = pod
        for ip in (b"\x0a\0\0\1", b"\x0a\0\0\2"):
            expected = sorted(pack(one) for one in current.values() if ip in one.ips)
            assert sorted(index.get("", ip)) == expected
    for pod in current.values():
        index.update(pod, None)
    assert index.get("", b"\x0a\0\0\1") == ()


NODE_PORT = Service("x", "np", "NodePort")


def test_only_services_of_the_configured_types_depend_on_nodes() -> None:
    index = NodeIndex(("NodePort",))
    index.update("n", Node("n"))
    for service in (NODE_PORT, Service("x", "web")):
        index.update_service(service.key, service)
    assert [node.name for node in index.nodes_of(NODE_PORT.key)] == ["n"]
    assert index.nodes_of(Service("x", "web").key) == ()
    index.update_service(NODE_PORT.key, None)
    assert index.nodes_of(NODE_PORT.key) == ()


def test_a_heartbeat_concerns_no_service() -> None:
    index = NodeIndex(("NodePort",))
    index.update_service(NODE_PORT.key, NODE_PORT)
    node = Node("n", ready=True, version="1")
    assert set(index.update("n", node)) == {NODE_PORT.key}
    assert set(index.update("n", replace(node, version="2"))) == set()
    assert set(index.update("n", replace(node, version="3", ready=False))) == {NODE_PORT.key}
    assert set(index.update("n", None)) == {NODE_PORT.key}
