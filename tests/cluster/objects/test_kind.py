"""All kinds of objects have a key, and metadata at a fixed position."""

from __future__ import annotations

from dnsd.cluster.objects import RESOURCES, EndpointSlice, Key, Namespace, Node, Pod, Service


def test_the_key_of_an_object_names_its_kind_namespace_and_name() -> None:
    assert Service("d", "a").key == Key("Service", "d", "a")
    assert EndpointSlice("d", "a", "s").key == Key("EndpointSlice", "d", "a")
    assert Pod("d", "a").key == Key("Pod", "d", "a")
    assert Namespace("a").key == Key("Namespace", "", "a")
    assert Node("a").key == Key("Node", "", "a")
    assert (Namespace("a").namespace, Node("a").namespace) == ("", "")


def test_the_metadata_follows_the_fields_of_the_kind() -> None:
    # Packed objects identify fields by their position, and snapshots hold packed objects.
    for kind in RESOURCES.values():
        assert kind.stripped is not None
        fields = kind.stripped.__struct_fields__
        dated = ("uid", "version", "created", "origin")
        assert fields[-4:] == dated or fields[-3:] == ("uid", "version", "origin")
        assert ("namespace" in fields) == kind.namespaced


def test_the_path_of_a_kind_depends_on_its_group() -> None:
    assert RESOURCES["Pod"].prefix == "/api/v1"
    assert RESOURCES["EndpointSlice"].prefix == "/apis/discovery.k8s.io/v1"
    assert RESOURCES["DNSEndpoint"].prefix == "/apis/externaldns.k8s.io/v1alpha1"
