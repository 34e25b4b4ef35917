"""One question to the upstream servers, through the cache: sent once, refreshed early, used late.

In `upstream/` (data plane: external names). Change here: coalescing, prefetch, and stale answers.

* Identical questions in flight are one query (*coalescing*); every client waits for it.
* A popular entry near its end is queried again while it is still fresh (*prefetch*).
* If the servers fail, an entry past its end is used, with a short TTL and an extended error
  (*serve-stale*, RFC 8767). If there is a stale entry, a client waits at most `stale_after` for
  fresh data, and after a failure it does not wait at all for `_RECHECK` seconds.
* A failure is cached as SERVFAIL for a few seconds (RFC 9520), except if no query was sent.

The waiting clients and the cache get the same answer, with its TTLs clamped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from dnsd.dns.message import Ede, Rcode
from dnsd.dns.names import Name
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.runtime.tasks import log_failure
from dnsd.upstream.cache import Cache, Entry, key_of
from dnsd.upstream.chain import Answer, along_chain
from dnsd.upstream.errors import NoReply, UpstreamFailure
from dnsd.upstream.loops import Loops
from dnsd.upstream.pool import NoServer, Pool
from dnsd.upstream.settings import UpstreamConfig
from dnsd.upstream.status import Counts

_RECHECK = 30.0  # seconds, RFC 8767 5 "failure recheck timer"
_POPULAR = 2  # hits in one lifetime of an entry that make it worth a prefetch

InRoute = Callable[[Name], bool]


class Request(Struct, frozen=True):
    """A question for the servers of one rule. `rest`: type and class on the wire.

    `in_route`: whether a CNAME's target has the same forward rule.
    """

    name: Name
    rest: bytes
    do: bool
    cd: bool
    pool: Pool
    in_route: InRoute

    @property
    def key(self) -> bytes:
        return key_of(self.name, self.rest, self.do, self.cd)

    @property
    def type(self) -> int:
        return self.rest[0] << 8 | self.rest[1]


class Failed(Exception):
    """Neither a fresh nor a stale answer. `errors`: the extended errors for the client."""

    def __init__(self, errors: tuple[tuple[int, str], ...]) -> None:
        super().__init__(errors)
        self.errors = errors


class Lookup:
    """The cache with the servers behind it. `clock` gives seconds, for the cache only."""

    def __init__(
        self, config: UpstreamConfig, cache: Cache, loops: Loops, clock: Callable[[], float]
    ) -> None:
        self.config = config
        self.cache = cache
        self.counts = Counts()
        self._loops = loops
        self._clock = clock
        self._flights: dict[bytes, _Flight] = {}

    @property
    def in_flight(self) -> int:
        """The number of different questions in flight."""
        return len(self._flights)

    async def answer(self, request: Request) -> Answer:
        """The answer of the cache or of the servers; raises `Failed`."""
        now = self._clock()
        entry = self.cache.get(request.key, now)
        if entry is None:
            return await self._fresh(request)
        if now < entry.expires:
            return self._hit(request, entry, now)
        if now < entry.retry_at:
            return self._stale(entry)
        try:
            async with asyncio.timeout(self.config.stale_after):
                return await self._fresh(request)
        except TimeoutError:
            return self._stale(entry)
        except Failed:
            entry.retry_at = self._clock() + _RECHECK
            return self._stale(entry)

    def _hit(self, request: Request, entry: Entry, now: float) -> Answer:
        entry.hits += 1
        self.counts.hits += 1
        if entry.rcode == Rcode.SERVFAIL:
            raise Failed(entry.errors)
        if now >= entry.refresh_at:
            self._prefetch(request, entry)
        return entry.answer(entry.body_at(now))

    def _stale(self, entry: Entry) -> Answer:
        self.counts.stale += 1
        answer = entry.answer(entry.stale_body(self.config.stale_ttl))
        code = Ede.STALE_NXDOMAIN if answer.rcode == Rcode.NXDOMAIN else Ede.STALE
        return replace(answer, errors=(*answer.errors, (int(code), "")))

    def _prefetch(self, request: Request, entry: Entry) -> None:
        """Queries a popular entry again, once in its lifetime, unless dnsd is busy."""
        busy = len(self._flights) * 2 > self.config.max_in_flight
        if entry.hits < _POPULAR or busy:
            return
        entry.refresh_at = float("inf")
        entry.fast_until = entry.fast_until and entry.expires
        if request.key not in self._flights:
            self.counts.prefetches += 1
            self._start(request)

    async def _fresh(self, request: Request) -> Answer:
        """Sends a query, or joins the same question in flight."""
        flight = self._flights.get(request.key)
        if flight is None:
            if len(self._flights) >= self.config.max_in_flight:
                # Their clients may have got stale answers; the queries still wait.
                self.counts.overloaded += 1
                raise Failed(((int(Ede.NETWORK_ERROR), "too many queries in flight"),))
            self.counts.misses += 1
            flight = self._start(request)
        else:
            self.counts.coalesced += 1
            flight.joined = True
        return await asyncio.shield(flight.task)

    def _start(self, request: Request) -> _Flight:
        task = asyncio.create_task(self._query(request))
        flight = self._flights[request.key] = _Flight(task)
        log_failure(task, "query an upstream server", Failed)
        return flight

    async def _query(self, request: Request) -> Answer:
        key = request.key
        try:
            reply = await request.pool.query(request.name + request.rest, request.do, request.cd)
            answer = along_chain(reply, request.name, request.type, request.do, request.in_route)
        except UpstreamFailure as error:
            raise self._failed(key, error, request.pool) from error
        else:
            return self._store(key, answer)
        finally:
            del self._flights[key]

    def _failed(self, key: bytes, failure: UpstreamFailure, pool: Pool) -> Failed:
        """Caches the failure for a while, unless the cache has an answer."""
        self.counts.failures += 1
        errors = ((int(failure.code), str(failure)[:100]), *failure.errors)
        if isinstance(failure, NoReply) and self._flights[key].joined:
            for server in pool.servers:
                self._loops.suspect(server)
        now = self._clock()
        old = self.cache.get(key, now)
        unsent = isinstance(failure, NoServer)
        if self.config.servfail_ttl and not unsent and (old is None or not old.useful):
            answer = Answer(Rcode.SERVFAIL, errors=errors)
            self.cache.put(Entry(key, answer, self.config.servfail_ttl, now, prefetch=False))
        return Failed(errors)

    def _store(self, key: bytes, answer: Answer) -> Answer:
        answer, ttl = self._clamped(answer)
        if ttl > 0:
            self.cache.put(Entry(key, answer, ttl, self._clock(), self.config.prefetch))
        else:
            self.cache.forget(key)
        return answer

    def _clamped(self, answer: Answer) -> tuple[Answer, int]:
        """The answer with its TTLs within the configured bounds, and the seconds to cache it."""
        config = self.config
        negative_ttl = min(answer.negative_ttl or 0, config.max_negative_ttl)

        def clamp(record: Record) -> Record:
            ttl = max(config.min_ttl, min(record.ttl, config.max_ttl))
            if answer.negative and record.type == Type.SOA:
                ttl = negative_ttl
            return record if ttl == record.ttl else replace(record, ttl=ttl)

        records = tuple(clamp(record) for record in answer.answer)
        authority = tuple(clamp(record) for record in answer.authority)
        ttls = [record.ttl for record in (*records, *authority)]
        if answer.negative:
            ttls.append(negative_ttl)  # without an SOA it is 0: not cached (RFC 2308 5)
        return replace(answer, answer=records, authority=authority), min(ttls, default=0)

    async def close(self) -> None:
        """Cancels the questions in flight and the clients that wait for them."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Flight(Struct):
    """A question in flight. `joined`: several clients wait for it."""

    task: asyncio.Task[Answer]
    joined: bool = False
