"""The filters by namespace hide objects, and a Namespace shows or hides what is in it."""

from __future__ import annotations

from dnsd.cluster.objects import Event, Namespace, Node, Service
from dnsd.sources.kubernetes.filter import NamespaceFilter
from tests.sources.kubernetes.informers import informer

A, B = Service("a", "web"), Service("b", "web")


def test_without_filters_every_event_passes() -> None:
    services = informer("Service")
    events: list[Event] = [A, B.key]
    assert NamespaceFilter([services], (), "").apply(services, events) == events


def test_only_the_listed_namespaces_pass() -> None:
    services, namespaces, nodes = informer("Service"), informer("Namespace"), informer("Node")
    found = NamespaceFilter([services, namespaces, nodes], ("a",), "")
    assert found.apply(services, [A, B, B.key]) == [A]
    assert found.apply(namespaces, [Namespace("a"), Namespace("b")]) == [Namespace("a")]
    assert found.apply(nodes, [Node("n")]) == [Node("n")]


def test_with_a_selector_objects_pass_if_their_namespace_is_known() -> None:
    services, namespaces = informer("Service", A, B), informer("Namespace", Namespace("a"))
    found = NamespaceFilter([services, namespaces], (), "team=a")
    assert found.apply(services, [A, B]) == [A]
    assert found.keys(services) == [A.key]


def test_with_a_selector_a_namespace_shows_and_hides_its_objects() -> None:
    services, namespaces = informer("Service", A, B), informer("Namespace")
    found = NamespaceFilter([services, namespaces], (), "team=a")
    space = Namespace("a")
    assert found.apply(namespaces, [space]) == [space, A]
    assert found.apply(namespaces, [space.key]) == [space.key, A.key]
