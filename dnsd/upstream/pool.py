"""The servers of one forward rule: the order of queries, and when the next server is queried.

In `upstream/` (data plane: external names). Change here: how a server is selected, and when the
next one is queried too.

The first server of the order is queried. If it does not reply for longer than it usually takes, the
next one is queried *as well*: the first may be slow, and its reply still counts. If it fails or its
reply is not usable, the next one is queried at once. All of it ends with the timeout.

A usable reply is NOERROR or NXDOMAIN and not a referral. A server that replies REFUSED, SERVFAIL,
or a referral may be the wrong server for the name.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from dnsd.dns.message import Rcode
from dnsd.dns.names import Name
from dnsd.dns.records import Reply
from dnsd.dns.types import Type
from dnsd.upstream.errors import NoReply, Unusable, UpstreamFailure
from dnsd.upstream.server import Server
from dnsd.upstream.settings import UpstreamConfig

_MIN_TRIES, _MAX_TRIES = 3, 8
_MAX_OPEN = 2  # servers that one query waits for at once
# One query in 20 goes to another server than the fastest, so that its latency stays known.
_EXPLORE = 20


class NoServer(NoReply):
    """All servers are down or forward queries back to this server: nothing was sent."""


class Pool:
    """The servers for the names at and below `suffix`."""

    def __init__(
        self, suffix: Name, servers: Sequence[Server], config: UpstreamConfig, dice: random.Random
    ) -> None:
        self.suffix = suffix
        self.servers = tuple(servers)
        self.config = config
        self._dice = dice

    async def query(self, question: bytes, do: bool, cd: bool) -> Reply:
        """The reply to a question (name in lower case, type, class).

        Raises `UpstreamFailure`; takes the setting `upstream_timeout` at most.
        """
        order = self.order(asyncio.get_running_loop().time())
        if not order:
            raise NoServer(self.dead)
        race = _Race(self, question, do, cd)
        try:
            async with asyncio.timeout(self.config.timeout):
                return await race.run(order)
        except TimeoutError:
            raise race.failure from None
        finally:
            race.stop()

    @property
    def dead(self) -> str:
        """The reason if no server is usable; empty if one is."""
        now = asyncio.get_running_loop().time()
        if any(server.usable(now) for server in self.servers):
            return ""
        loops = any(server.loops for server in self.servers)
        return (
            "the upstream forwards queries back to this server"
            if loops
            else "all upstreams are down"
        )

    def order(self, now: float) -> list[Server]:
        """The usable servers in the order in which they are queried."""
        servers = [server for server in self.servers if server.usable(now)]
        if self.config.policy == "random":
            self._dice.shuffle(servers)
        elif self.config.policy == "fastest" and len(servers) > 1:
            # An unknown latency is 0, so its server is first.
            servers.sort(key=lambda server: server.health.latency)
            if not self._dice.randrange(_EXPLORE):
                servers.insert(0, servers.pop(self._dice.randrange(1, len(servers))))
        servers.sort(key=lambda server: server.health.suspect)
        return servers


class _Race:
    """One query to one server, then perhaps to others too."""

    def __init__(self, pool: Pool, question: bytes, do: bool, cd: bool) -> None:
        self.pool = pool
        self.question, self.do, self.cd = question, do, cd
        self.failure: UpstreamFailure = NoReply("no upstream server replied in time")
        self.running: dict[asyncio.Task[Reply], Server] = {}
        self.unusable: set[Server] = set()  # servers whose reply was not usable

    async def run(self, order: list[Server]) -> Reply:
        """Queries the servers in turn, within the limit of tries."""
        tries = max(_MIN_TRIES, min(2 * len(order), _MAX_TRIES))
        for attempt in range(tries):
            server = order[attempt % len(order)]
            if server in self.unusable or server.loops:
                continue
            self._start(server)
            patience = server.health.patience(self.pool.config.attempt_timeout)
            reply = await self._first(server, patience if attempt < tries - 1 else None)
            if reply is not None:
                return reply
        while self.running:
            reply = await self._first(None, None)
            if reply is not None:
                return reply
        raise self.failure

    def _start(self, server: Server) -> None:
        if len(self.running) >= _MAX_OPEN:
            self._abandon(next(iter(self.running)))
        task = asyncio.create_task(server.query(self.question, self.do, self.cd))
        self.running[task] = server
        server.tasks.add(task)

    async def _first(self, newest: Server | None, patience: float | None) -> Reply | None:
        """The first usable reply; None if the newest server is too slow or of no use."""
        loop = asyncio.get_running_loop()
        end = None if patience is None else loop.time() + patience
        while newest is None or newest in self.running.values():
            left = None if end is None else max(0.0, end - loop.time())
            done, _ = await asyncio.wait(
                self.running, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                if newest is not None:
                    newest.failed()
                return None
            for task in done:
                reply = self._take(task)
                if reply is not None:
                    return reply
            if newest is None:
                return None
        return None

    def _take(self, task: asyncio.Task[Reply]) -> Reply | None:
        """The reply of a finished task if it is usable; otherwise stores the reason."""
        server = self.running.pop(task)
        server.tasks.discard(task)
        if task.cancelled():
            self._note(NoReply("the upstream forwards queries back to this server"))
            return None
        error = task.exception()
        if isinstance(error, UpstreamFailure):
            self._note(error)
            return None
        reply = task.result()  # raises any other exception: a bug of dnsd
        problem = _problem(reply)
        if problem:
            self.unusable.add(server)
            self._note(Unusable(f"{server.spec} {problem}", reply.errors))
            return None
        return reply

    def _note(self, failure: UpstreamFailure) -> None:
        """Keeps the most informative failure: a reply before a timeout or a network error."""
        if not isinstance(self.failure, Unusable):
            self.failure = failure

    def _abandon(self, task: asyncio.Task[Reply]) -> None:
        server = self.running.pop(task)
        server.tasks.discard(task)
        task.cancel()

    def stop(self) -> None:
        """Cancels the queries that still run."""
        for task in list(self.running):
            self._abandon(task)


def _problem(reply: Reply) -> str:
    """The reason why a reply is not usable; empty if it is."""
    if reply.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        known = reply.rcode in Rcode.__members__.values()
        return f"replied {Rcode(reply.rcode).name if known else f'rcode {reply.rcode}'}"
    types = {record.type for record in reply.authority}
    if reply.rcode == Rcode.NOERROR and not reply.answer and Type.NS in types:
        if Type.SOA not in types:
            return "replied with a referral"
    return ""
