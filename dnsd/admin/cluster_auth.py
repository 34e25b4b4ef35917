"""Tokens of the cluster: who may ask the API, decided by the API server.

`kubectl create token NAME` makes one; the API server says whose it is (TokenReview), and
whether RBAC allows `update` (the role `write`) or `get` (the role `read`) on the path
/dnsd (SubjectAccessReview). Own tokens, of a file or of dnsd, are looked at before, so that
they work when the API server does not.

* Fail closed: no answer from the API server is CannotAsk, never a yes. What it said counts for
  `Timeouts.good` seconds, and so does a permission that was taken away meanwhile.
* One token is asked about once at a time, however many requests carry it.
* Whoever can reach the API can send tokens that nobody has. Those questions are paid from a
  budget, `rate` a second; tokens known to be somebody's are asked about again outside of it.
* Kept are SHA-256 digests, `MAX_KNOWN` of them, the oldest leaving first.
"""

from __future__ import annotations

import asyncio
import re
import time
from hashlib import sha256

import structlog
from msgspec import Struct

from dnsd.admin.auth import Role
from dnsd.sources.kubernetes.client import Client
from dnsd.sources.kubernetes.credentials import KubeError
from dnsd.sources.kubernetes.reviews import may, user_of

log = structlog.get_logger(__name__)

MAX_KNOWN = 1000
MAX_TOKEN = 8192  # characters; more fits into no header of the API
_WORD = re.compile(r"[!-~]+")


class Timeouts(Struct, frozen=True):
    """Durations in seconds; all are guesses, and say what they trade."""

    good: float = 30.0  # until a permission taken away is noticed, against questions
    bad: float = 10.0  # until one given is noticed
    reply: float = 5.0  # for all questions about one token
    rate: float = 10.0  # questions a second about tokens not known to be somebody's
    burst: float = 20.0


class Person(Struct, frozen=True):
    """Whose token it is. `role` is None for somebody the cluster knows and does not allow."""

    name: str
    role: Role | None


class CannotAsk(Exception):
    """Whose token it is stays unknown; the text may be shown to whoever sent it."""


class _Known(Struct, frozen=True):
    person: Person | None
    until: float


class ClusterTokens:
    """Asks the API server, and remembers for a while. `close` it."""

    def __init__(self, client: Client, timeouts: Timeouts | None = None) -> None:
        self._client, self._patience = client, timeouts or Timeouts()
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Task[Person | CannotAsk | None]] = {}
        self._budget, self._spent_at = self._patience.burst, time.monotonic()
        self._problem = ""

    async def close(self) -> None:
        """Ends what is being asked, and the connections."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._client.close()

    async def find(self, presented: str) -> Person | None:
        """Whose token this is; None when it is nobody's. Raises CannotAsk."""
        if len(presented) > MAX_TOKEN or not _WORD.fullmatch(presented):
            return None
        digest = sha256(presented.encode()).digest()
        known = self._known.get(digest)
        if known is not None and time.monotonic() < known.until:
            return known.person
        task = self._asking.get(digest)
        if task is None:
            if known is None or known.person is None:
                self._spend()
            task = asyncio.create_task(self._ask(digest, presented))
            self._asking[digest] = task
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        # Shielded: others may wait for the same answer when this request is broken off.
        found = await asyncio.shield(task)
        if isinstance(found, CannotAsk):
            raise found
        return found

    def _spend(self) -> None:
        """Takes one question from the budget. Raises CannotAsk when it is used up."""
        now = time.monotonic()
        grown = self._budget + (now - self._spent_at) * self._patience.rate
        self._budget, self._spent_at = min(grown, self._patience.burst), now
        if self._budget < 1:
            raise CannotAsk("too many unknown tokens; try again in a moment")
        self._budget -= 1

    async def _ask(self, digest: bytes, presented: str) -> Person | CannotAsk | None:
        try:
            async with asyncio.timeout(self._patience.reply):
                person = await self._person(presented)
        except (KubeError, TimeoutError) as error:
            self._complain(str(error) or f"no answer within {self._patience.reply} s")
            return CannotAsk("the API server cannot be asked about this token; the log says why")
        self._problem = ""
        good = person is not None and person.role is not None
        until = time.monotonic() + (self._patience.good if good else self._patience.bad)
        self._known.pop(digest, None)  # so that it becomes the youngest
        while len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = _Known(person, until)
        return person

    async def _person(self, presented: str) -> Person | None:
        user = await user_of(self._client, presented)
        if user is None:
            return None
        for verb, role in (("update", Role.WRITE), ("get", Role.READ)):
            if await may(self._client, user, verb):
                return Person(user.username, role)
        return Person(user.username, None)

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("tokens of the cluster cannot be checked", problem=problem)
        self._problem = problem
