"""Any document of a known kind is an object or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import (
    CLUSTER_SCOPED,
    CONTRIBUTOR_KINDS,
    KINDS,
    RESOURCES,
    BadObject,
    Object,
    from_json,
    from_plain,
)
from dnsd.sources.manifests.file import parse

_KEYS = """
metadata name namespace labels spec type clusterIP clusterIPs ports port protocol nodePort
externalName endpoints addresses hostname conditions ready targetRef kind subsets ip status
podIP podIPs addressType loadBalancer ingress annotations address nodeName ipFamilies
"""
_keys = st.sampled_from(_KEYS.split())
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["a", "None", "10.0.0.1", "fd00::1", "ClusterIP", "ExternalName", "TCP", "Pod"]
    ),
    st.text(max_size=6),
)
_structures = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=6)
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(KINDS), st.dictionaries(_keys, _structures, max_size=6))
def test_both_decoders_agree_on_any_structure(kind: str, plain: dict[str, Any]) -> None:
    data = json.dumps(plain).encode()
    assert _outcome(lambda: from_json(kind, data)) == _outcome(
        lambda: from_plain(plain | {"kind": kind})
    )


def _outcome(decode: Callable[[], list[Object]]) -> list[Object] | None:
    try:
        return decode()
    except (BadObject, msgspec.DecodeError):
        return None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), st.binary(max_size=40))
def test_any_bytes_are_an_object_or_refused(kind: str, data: bytes) -> None:
    with pytest.raises((BadObject, msgspec.DecodeError)):
        from_json(kind, data)  # 40 random bytes hold no metadata with a name


def test_a_kind_of_another_group_is_skipped() -> None:
    text = b"""
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {name: new}
---
kind: Ingress
apiVersion: extensions/v1beta1
metadata: {name: old}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: foreign}
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: site}
spec: {parentRefs: [{name: gate}]}
"""
    file = parse("all.yaml", text)
    assert [manifest.object.name for manifest in file.manifests] == ["new", "site"]
    assert file.skipped == {"Ingress.extensions": 1, "Gateway.networking.istio.io": 1}


@pytest.mark.parametrize("kind", ["Ingress", "Gateway", "HTTPRoute", "DNSEndpoint"])
def test_a_nameless_object_is_refused(kind: str) -> None:
    with pytest.raises(BadObject, match=r"metadata\.name"):
        from_plain({"kind": kind, "metadata": {}})


def test_the_error_for_a_wrong_type_names_the_key() -> None:
    labels = {"kind": "Namespace", "metadata": {"name": "a", "labels": {8080: "x"}}}
    with pytest.raises(BadObject, match=r"metadata\.labels: the key 8080 is not text; put it in"):
        from_plain(labels)
    value = {"kind": "Namespace", "metadata": {"name": "a", "labels": {"port": 8080}}}
    with pytest.raises(BadObject, match=r"metadata\.labels\[port\]: Expected `str`, got `int`"):
        from_plain(value)


def test_the_kinds_that_are_kept_are_those_with_a_stripped_shape() -> None:
    assert set(KINDS) - set(RESOURCES) == {"Endpoints"}
    assert set(RESOURCES) - set(CONTRIBUTOR_KINDS) == {"EndpointSlice", "Gateway"}
    assert CLUSTER_SCOPED == ("Namespace", "Node")
