"""The API server reviews tokens and rights."""

from __future__ import annotations

import pytest

from dnsd.sources.kubernetes.errors import ApiError, Unreachable
from dnsd.sources.kubernetes.reviews import (
    ACCESS_REVIEWS,
    PATH,
    Review,
    User,
    may,
    user_of,
)
from tests.fakekube import faults
from tests.fakekube.connect import client_of
from tests.fakekube.server import FakeKube

ANNA = {
    "username": "anna",
    "uid": "u-1",
    "groups": ["ops", "system:authenticated"],
    "extra": {"example.com/scopes": ["a", "b"]},
}


@pytest.fixture
async def kube():
    async with FakeKube() as server:
        server.reviews.users["token-of-anna"] = ANNA
        yield server


@pytest.fixture
async def client(kube, tmp_path):
    async with client_of(kube, tmp_path) as one:
        yield one


async def test_a_token_yields_the_user_with_all_attributes(client):
    extra = {"example.com/scopes": ("a", "b")}
    groups = ("ops", "system:authenticated")
    assert await user_of(client, "token-of-anna") == User("anna", "u-1", groups, extra)


async def test_an_unknown_token_has_no_user(client):
    assert await user_of(client, "token-of-none") is None


async def test_a_review_without_a_user_name_has_no_user(kube, client):
    kube.reviews.users["strange"] = {"username": "", "groups": ["system:masters"]}
    assert await user_of(client, "strange") is None


@pytest.mark.parametrize("subject", ["anna", "ops"])
async def test_a_grant_by_name_or_group_covers_one_verb_on_one_path(kube, client, subject):
    anna = await user_of(client, "token-of-anna")
    assert not await may(client, anna, "get")
    kube.reviews.grants.add((subject, "get", PATH))
    assert await may(client, anna, "get")
    assert not await may(client, anna, "update")
    assert not await may(client, anna, "get", PATH + "/more")


async def test_a_right_of_all_users_on_the_api_does_not_cover_dnsd(client):
    anna = await user_of(client, "token-of-anna")
    assert await may(client, anna, "get", "/api/v1/zones")  # system:discovery
    assert not await may(client, anna, "get")


async def test_a_forbidden_review_is_an_error(kube, client):
    kube.forbidden.add(("create", "tokenreviews"))
    with pytest.raises(ApiError, match="cannot create resource"):
        await user_of(client, "token-of-anna")


async def test_a_failing_server_is_an_error(kube, client):
    kube.faults.append(faults.status(500, verb="create"))
    with pytest.raises(ApiError, match="500"):
        await may(client, User("anna"), "get")
    await kube.stop()
    with pytest.raises(Unreachable):
        await user_of(client, "token-of-anna")


async def test_a_refused_review_is_an_api_error(client):
    with pytest.raises(ApiError, match="no SubjectAccessReview"):
        await client.fetch(ACCESS_REVIEWS, Review, plain={"kind": "Pod"})


async def test_a_reply_beyond_the_limit_is_unreachable(client):
    with pytest.raises(Unreachable, match="more than 10 bytes"):
        await client.fetch(ACCESS_REVIEWS, Review, plain=_review(), limit=10)


def _review():
    spec = {"user": "anna", "nonResourceAttributes": {"path": PATH, "verb": "get"}}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
