"""One question to the upstreams, through the cache: asked once, refreshed early, used late.

* Identical questions in flight are one question (*coalescing*); each asker waits for it.
* A popular entry near its end is asked for again while it is still good (*prefetch*).
* When upstreams fail, an entry past its end is used, with a short TTL and an extended error
  that says so (*serve-stale*, RFC 8767). A client waits at most `stale_after` for fresh data
  when there is stale; after a failure nobody waits for `_RECHECK` seconds.
* A failure is kept as SERVFAIL for a few seconds (RFC 9520), except when nobody was asked.

The part handed to those who wait and the one in the cache are the same, TTLs clamped.
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
from dnsd.upstream.chain import BadChain, Part, along_chain
from dnsd.upstream.errors import NoReply, Unusable, UpstreamFailure
from dnsd.upstream.loops import Loops
from dnsd.upstream.pool import NoServer, Pool
from dnsd.upstream.settings import UpstreamConfig

_RECHECK = 30.0  # seconds, RFC 8767 5 "failure recheck timer"
_POPULAR = 2  # hits in one lifetime that make an entry worth a prefetch

InRoute = Callable[[Name], bool]


class Wanted(Struct, frozen=True):
    """A question for the upstreams of one rule. `rest`: type and class on the wire.

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
    """No answer and nothing stale. `errors`: the extended errors for the client."""

    def __init__(self, errors: tuple[tuple[int, str], ...]) -> None:
        super().__init__(errors)
        self.errors = errors


class Counts:
    """What happened, in totals."""

    __slots__ = ("coalesced", "failures", "hits", "misses", "overloaded", "prefetches", "stale")

    def __init__(self) -> None:
        self.hits = self.misses = self.coalesced = self.prefetches = 0
        self.stale = self.failures = self.overloaded = 0


class Lookup:
    """The cache with the upstreams behind it. `clock` gives seconds, for the cache only."""

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
        """Different questions on their way."""
        return len(self._flights)

    async def part(self, wanted: Wanted) -> Part:
        """What the upstreams say; raises `Failed`."""
        now = self._clock()
        entry = self.cache.get(wanted.key, now)
        if entry is None:
            return await self._fresh(wanted)
        if now < entry.expires:
            return self._hit(wanted, entry, now)
        if now < entry.retry_at:
            return self._stale(entry)
        try:
            async with asyncio.timeout(self.config.stale_after):
                return await self._fresh(wanted)
        except TimeoutError:
            return self._stale(entry)
        except Failed:
            entry.retry_at = self._clock() + _RECHECK
            return self._stale(entry)

    def _hit(self, wanted: Wanted, entry: Entry, now: float) -> Part:
        entry.hits += 1
        self.counts.hits += 1
        if entry.rcode == Rcode.SERVFAIL:
            raise Failed(entry.errors)
        if now >= entry.refresh_at:
            self._prefetch(wanted, entry)
        return entry.part(entry.body_at(now))

    def _stale(self, entry: Entry) -> Part:
        self.counts.stale += 1
        part = entry.part(entry.stale_body(self.config.stale_ttl))
        code = Ede.STALE_NXDOMAIN if part.rcode == Rcode.NXDOMAIN else Ede.STALE
        return replace(part, errors=(*part.errors, (int(code), "")))

    def _prefetch(self, wanted: Wanted, entry: Entry) -> None:
        """Asks again for an entry that is popular; once a lifetime, and never in a rush."""
        busy = len(self._flights) * 2 > self.config.max_in_flight
        if entry.hits < _POPULAR or busy:
            return
        entry.refresh_at = float("inf")
        entry.fast_until = entry.fast_until and entry.expires
        if wanted.key not in self._flights:
            self.counts.prefetches += 1
            self._fly(wanted)

    async def _fresh(self, wanted: Wanted) -> Part:
        """Asks, or joins those who wait for the same question."""
        flight = self._flights.get(wanted.key)
        if flight is None:
            if len(self._flights) >= self.config.max_in_flight:
                # Those who asked may have been told something stale; the questions still fly.
                self.counts.overloaded += 1
                raise Failed(((int(Ede.NETWORK_ERROR), "too many questions in flight"),))
            self.counts.misses += 1
            flight = self._fly(wanted)
        else:
            self.counts.coalesced += 1
            flight.joined = True
        return await asyncio.shield(flight.task)

    def _fly(self, wanted: Wanted) -> _Flight:
        task = asyncio.create_task(self._ask(wanted))
        flight = self._flights[wanted.key] = _Flight(task)
        log_failure(task, "query an upstream server", Failed)
        return flight

    async def _ask(self, wanted: Wanted) -> Part:
        key = wanted.key
        try:
            reply = await wanted.pool.query(wanted.name + wanted.rest, wanted.do, wanted.cd)
            part = along_chain(reply, wanted.name, wanted.type, wanted.do, wanted.in_route)
        except BadChain as error:
            failure = Unusable(str(error))
            raise self._failed(key, failure, wanted.pool) from error
        except UpstreamFailure as error:
            raise self._failed(key, error, wanted.pool) from error
        else:
            return self._keep(key, part)
        finally:
            del self._flights[key]

    def _failed(self, key: bytes, failure: UpstreamFailure, pool: Pool) -> Failed:
        """Keeps the failure for a while, unless something better is kept already."""
        self.counts.failures += 1
        more = failure.errors if isinstance(failure, Unusable) else ()
        errors = ((int(failure.code), str(failure)[:100]), *more)
        if isinstance(failure, NoReply) and self._flights[key].joined:
            for server in pool.servers:
                self._loops.suspect(server)
        now = self._clock()
        old = self.cache.get(key, now)
        unsent = isinstance(failure, NoServer)
        if self.config.servfail_ttl and not unsent and (old is None or not old.useful):
            part = Part(Rcode.SERVFAIL, errors=errors)
            self.cache.put(Entry(key, part, self.config.servfail_ttl, now, prefetch=False))
        return Failed(errors)

    def _keep(self, key: bytes, part: Part) -> Part:
        part, ttl = self._clamped(part)
        if ttl > 0:
            self.cache.put(Entry(key, part, ttl, self._clock(), self.config.prefetch))
        else:
            self.cache.forget(key)
        return part

    def _clamped(self, part: Part) -> tuple[Part, int]:
        """The part with its TTLs within the configured bounds, and how long it may be kept."""
        config = self.config
        negative_ttl = min(part.negative_ttl or 0, config.max_negative_ttl)

        def clamp(record: Record) -> Record:
            ttl = max(config.min_ttl, min(record.ttl, config.max_ttl))
            if part.negative and record.type == Type.SOA:
                ttl = negative_ttl
            return record if ttl == record.ttl else replace(record, ttl=ttl)

        answer = tuple(clamp(record) for record in part.answer)
        authority = tuple(clamp(record) for record in part.authority)
        ttls = [record.ttl for record in (*answer, *authority)]
        if part.negative:
            ttls.append(negative_ttl)  # without an SOA it is 0: not kept (RFC 2308 5)
        return replace(part, answer=answer, authority=authority), min(ttls, default=0)

    async def close(self) -> None:
        """Ends the questions in flight; those who wait are cancelled."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Flight:
    """A question on its way. `joined`: somebody else waits for it too."""

    __slots__ = ("joined", "task")

    def __init__(self, task: asyncio.Task[Part]) -> None:
        self.task = task
        self.joined = False
