"""Authentication of API requests with tokens of the cluster.

In `admin/` (control plane: the HTTP API). Change here: how cluster tokens are checked and cached.

`kubectl create token NAME` creates such a token. The API server authenticates it (TokenReview), and
RBAC authorizes it (SubjectAccessReview): `update` on the path /dnsd is the role `write`, `get` is
the role `read`. Tokens of the file, and of dnsd itself, are checked first, so they work while the
API server is unreachable.

* The check fails closed: without an answer of the API server it raises CheckFailed. An answer is
  cached for a lifetime (`Limits`), so a revoked permission ends that much later.
* Concurrent requests with one token share one check.
* A client that can reach the API can send unknown tokens. Their checks are limited by a token
  bucket. Checks of known tokens are not limited.
* The cache holds the SHA-256 digests of at most `MAX_KNOWN` tokens, and evicts the oldest.
"""

from __future__ import annotations

import asyncio
import re
import time
from hashlib import sha256

import structlog
from msgspec import Struct

from dnsd.admin.auth import Identity, Role
from dnsd.runtime.tasks import Tasks
from dnsd.runtime.tokens import TokenBucket
from dnsd.sources.kubernetes.client import Client
from dnsd.sources.kubernetes.errors import KubeError
from dnsd.sources.kubernetes.reviews import may, user_of

log = structlog.get_logger(__name__)

MAX_KNOWN = 1000
MAX_TOKEN = 8192  # characters; a header of the API cannot hold more
_WORD = re.compile(r"[!-~]+")


class Limits(Struct, frozen=True):
    """Durations in seconds, and rates. All values are guesses with the tradeoff beside them."""

    allowed_lifetime: float = 30.0  # until a revoked permission ends, against load
    denied_lifetime: float = 10.0  # until a granted permission starts
    timeout: float = 5.0  # for all requests about one token
    rate: float = 10.0  # checks of unknown tokens per second
    burst: float = 20.0  # checks of unknown tokens at once


class CheckFailed(Exception):
    """The token could not be checked. The text may be sent to the client."""


class _Known(Struct, frozen=True):
    identity: Identity | None
    until: float  # time.monotonic


class ClusterTokens:
    """Checks tokens with the API server, and caches the results. `close` it."""

    def __init__(self, client: Client, limits: Limits | None = None) -> None:
        self._client, self._limits = client, limits or Limits()
        self._known: dict[bytes, _Known] = {}
        self._checks: dict[bytes, asyncio.Task[Identity | CheckFailed | None]] = {}
        self._tasks = Tasks()
        self._unknown = TokenBucket(self._limits.rate, self._limits.burst, time.monotonic)
        self._problem = ""

    async def close(self) -> None:
        """Cancel the checks, and close the connections."""
        await self._tasks.close()
        await self._client.close()

    async def find(self, presented: str) -> Identity | None:
        """The identity of a token; None for an unknown one. Raises CheckFailed."""
        if len(presented) > MAX_TOKEN or not _WORD.fullmatch(presented):
            return None
        digest = sha256(presented.encode()).digest()
        known = self._known.get(digest)
        if known is not None and time.monotonic() < known.until:
            return known.identity
        task = self._checks.get(digest)
        if task is None:
            unknown = known is None or known.identity is None
            if unknown and not self._unknown.take(1):
                raise CheckFailed("too many unknown tokens; try again later")
            task = self._tasks.start(self._check(digest, presented), "check a cluster token")
            self._checks[digest] = task
            task.add_done_callback(lambda _: self._checks.pop(digest, None))
        # Shielded: other requests may wait for the same check when this one is cancelled.
        found = await asyncio.shield(task)
        if isinstance(found, CheckFailed):
            raise found
        return found

    async def _check(self, digest: bytes, presented: str) -> Identity | CheckFailed | None:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.timeout):
                identity = await self._identity(presented)
        except (KubeError, TimeoutError) as error:
            self._warn(str(error) or f"no answer within {limits.timeout} s")
            return CheckFailed("the API server cannot check this token; the log has the reason")
        self._problem = ""
        allowed = identity is not None and identity.role is not None
        lifetime = limits.allowed_lifetime if allowed else limits.denied_lifetime
        self._known.pop(digest, None)  # so that it becomes the newest
        while len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = _Known(identity, time.monotonic() + lifetime)
        return identity

    async def _identity(self, presented: str) -> Identity | None:
        user = await user_of(self._client, presented)
        if user is None:
            return None
        for verb, role in (("update", Role.WRITE), ("get", Role.READ)):
            if await may(self._client, user, verb):
                return Identity(user.username, role)
        return Identity(user.username, None)

    def _warn(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("cluster tokens cannot be checked", problem=problem)
        self._problem = problem
