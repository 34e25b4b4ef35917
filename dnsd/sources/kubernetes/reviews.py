"""Two questions to the API server: whose token is this, and may they do that.

TokenReview (authentication.k8s.io/v1) and SubjectAccessReview (authorization.k8s.io/v1) are
objects that are created to be answered; nothing is stored. Asking needs the verb `create`
on `tokenreviews` and `subjectaccessreviews`, and nothing else.

What is asked about is a path that is none of the API server's own, PATH: its ClusterRoles
for everybody (`system:discovery`) allow to `get` /api/*, and what dnsd serves below that
path would be everybody's too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from dnsd.sources.kubernetes.client import NOT_JSON, Client, Unreachable

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
PATH = "/dnsd"  # nonResourceURLs of a ClusterRole

T = TypeVar("T")


class User(Struct, frozen=True):
    """Somebody the cluster knows (UserInfo, authentication/v1)."""

    username: str = ""  # of nobody
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


class _TokenStatus(Struct):
    authenticated: bool = False
    user: User | None = None


class _TokenReview(Struct):
    status: _TokenStatus


class _AccessStatus(Struct):
    allowed: bool = False
    denied: bool = False


class _AccessReview(Struct):
    status: _AccessStatus


async def user_of(client: Client, token: str) -> User | None:
    """Whose token this is; None when it is nobody's. Raises KubeError when it stays unknown."""
    plain = _object("authentication.k8s.io/v1", "TokenReview", {"token": token})
    status = (await _create(client, TOKEN_REVIEWS, plain, _TokenReview)).status
    known = status.authenticated and status.user is not None and status.user.username
    return status.user if known else None


async def may(client: Client, user: User, verb: str, path: str = PATH) -> bool:
    """Whether a user may do `verb` on `path`. Raises KubeError when it stays unknown."""
    spec = {
        "user": user.username,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {name: list(values) for name, values in user.extra.items()},
        "nonResourceAttributes": {"path": path, "verb": verb},
    }
    plain = _object("authorization.k8s.io/v1", "SubjectAccessReview", spec)
    status = (await _create(client, ACCESS_REVIEWS, plain, _AccessReview)).status
    return status.allowed and not status.denied


def _object(api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "spec": spec}


async def _create(client: Client, path: str, plain: dict[str, Any], type_: type[T]) -> T:
    body = await client.create(path, plain)
    try:
        return msgspec.json.decode(body, type=type_)
    except NOT_JSON as error:
        raise Unreachable(f"{client.host}{path}: the answer is no review: {error}") from error
