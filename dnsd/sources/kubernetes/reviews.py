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
from typing import Any

from msgspec import Struct

from dnsd.sources.kubernetes.client import Client

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
PATH = "/dnsd"  # nonResourceURLs of a ClusterRole
MAX_REVIEW = 2**20  # bytes of a review as the server returns it; usual are a few kilobytes


class User(Struct, frozen=True):
    """A user of the cluster (UserInfo, authentication/v1). `username` is empty for no user."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


class _Status(Struct):
    authenticated: bool = False  # TokenReview
    user: User | None = None
    allowed: bool = False  # SubjectAccessReview
    denied: bool = False


class Review(Struct):
    """The reply to either review."""

    status: _Status


async def user_of(client: Client, token: str) -> User | None:
    """The user of a token; None if the token is not valid. Raises KubeError if this is unknown."""
    spec = {"token": token}
    status = await _review(client, TOKEN_REVIEWS, "TokenReview", spec)
    return status.user if status.authenticated and status.user and status.user.username else None


async def may(client: Client, user: User, verb: str, path: str = PATH) -> bool:
    """Whether a user may do `verb` on `path`. Raises KubeError if this is unknown."""
    spec = {
        "user": user.username,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {name: list(values) for name, values in user.extra.items()},
        "nonResourceAttributes": {"path": path, "verb": verb},
    }
    status = await _review(client, ACCESS_REVIEWS, "SubjectAccessReview", spec)
    return status.allowed and not status.denied


async def _review(client: Client, path: str, kind: str, spec: dict[str, Any]) -> _Status:
    plain = {"apiVersion": path.split("/", 2)[2].rpartition("/")[0], "kind": kind, "spec": spec}
    return (await client.fetch(path, Review, plain=plain, limit=MAX_REVIEW)).status
