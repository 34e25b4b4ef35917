"""A scope has an id, a path, and parameters; a configuration has scopes."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.cluster.objects import KINDS, RESOURCES
from dnsd.sources.kubernetes.scope import Scope, next_version, scopes
from dnsd.sources.kubernetes.settings import ALWAYS, KubernetesConfig


@pytest.mark.parametrize(
    ("scope", "name", "path", "params"),
    [
        (Scope(RESOURCES["Service"]), "services", "/api/v1/services", {}),
        (
            Scope(RESOURCES["EndpointSlice"], "team-a", "tier=web"),
            "endpointslices@team-a?tier=web",
            "/apis/discovery.k8s.io/v1/namespaces/team-a/endpointslices",
            {"labelSelector": "tier=web"},
        ),
        (
            Scope(RESOURCES["Namespace"], "", "a=b", "x"),
            "namespaces?a=b&metadata.name=x",
            "/api/v1/namespaces",
            {"labelSelector": "a=b", "fieldSelector": "metadata.name=x"},
        ),
    ],
)
def test_a_scope_has_an_id_a_path_and_parameters(scope, name, path, params):
    assert (scope.id, scope.path, scope.params) == (name, path, params)


def test_every_kind_but_endpoints_can_be_watched():
    assert set(RESOURCES) == set(KINDS) - {"Endpoints"}


def test_a_configuration_has_one_scope_per_kind_and_namespace() -> None:
    def ids(**changes: Any) -> list[str]:
        return [scope.id for scope in scopes(KubernetesConfig(**changes))]

    assert ids() == ["namespaces", "services", "endpointslices"]
    assert ids(kinds=(*ALWAYS, "Pod", "Node"))[-2:] == ["pods", "nodes"]
    assert ids(namespaces=("a", "b"), service_selector="x=y", kinds=(*ALWAYS, "Pod", "Node")) == [
        "namespaces?metadata.name=a",
        "namespaces?metadata.name=b",
        "services@a?x=y",
        "services@b?x=y",
        "endpointslices@a",
        "endpointslices@b",
        "pods@a",
        "pods@b",
        "nodes",
    ]


def test_the_versions_of_a_resource_follow_each_other_in_turn() -> None:
    scope, seen = Scope(RESOURCES["TLSRoute"]), []
    for _ in range(4):
        seen.append(scope.resource.version)
        scope = next_version(scope)
    assert seen == ["v1", "v1alpha3", "v1alpha2", "v1"]
    pods = Scope(RESOURCES["Pod"])
    assert next_version(pods) == pods
