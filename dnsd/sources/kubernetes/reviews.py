"""Reviews by the API server: which user a token belongs to, and what that user may do.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: which permission
the admin API requires of a token of the cluster.

TokenReview (authentication.k8s.io/v1) and SubjectAccessReview (authorization.k8s.io/v1) are objects
that a client creates to get an answer; the server stores nothing. The client needs the verb
`create` on `tokenreviews` and `subjectaccessreviews`, and nothing else.

The review is about PATH, a path that the API server itself does not serve. Its ClusterRoles for all
users (`system:discovery`) allow `get` on /api/*, so a path below that would be open to all users.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from dnsd.sources.kubernetes.client import Client

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
PATH = "/dnsd"  # nonResourceURLs of a ClusterRole


class User(Struct, frozen=True):
    """A user of the cluster (UserInfo, authentication/v1). `username` is empty for no user."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


class _TokenStatus(Struct):
    authenticated: bool = False
    user: User | None = None


class TokenReview(Struct):
    """The reply of the server."""

    status: _TokenStatus


class _AccessStatus(Struct):
    allowed: bool = False
    denied: bool = False


class SubjectAccessReview(Struct):
    """The reply of the server."""

    status: _AccessStatus


async def user_of(client: Client, token: str) -> User | None:
    """The user of a token; None if the token is not valid. Raises KubeError if this is unknown."""
    plain = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }
    status = (await client.create(TOKEN_REVIEWS, plain, TokenReview)).status
    return status.user if status.authenticated and status.user and status.user.username else None


async def may(client: Client, user: User, verb: str, path: str = PATH) -> bool:
    """Whether a user may do `verb` on `path`. Raises KubeError if this is unknown."""
    plain = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user.username,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": {name: list(values) for name, values in user.extra.items()},
            "nonResourceAttributes": {"path": path, "verb": verb},
        },
    }
    status = (await client.create(ACCESS_REVIEWS, plain, SubjectAccessReview)).status
    return status.allowed and not status.denied
