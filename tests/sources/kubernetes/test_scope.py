"""What can be followed, and how it is called."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import KINDS, RESOURCES
from dnsd.sources.kubernetes.scope import Scope


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
def test_scopes_name_themselves_and_their_path(scope, name, path, params):
    assert (scope.id, scope.path, scope.params) == (name, path, params)


def test_every_kind_that_is_followed_can_be_stripped():
    assert set(RESOURCES) == set(KINDS) - {"Endpoints"}
