"""The resolver: a deferred query for an external name becomes a reply.

In `upstream/` (data plane: external names). Change here: which source answers a name.

`cached` answers what can be answered at once: a cached reply, a pinned or special-use name, too
many queries in flight. `resolve` does the rest and always ends in a reply: whatever the network
does, the client gets at least SERVFAIL with the reason.

Each name on a CNAME chain has one *source*, and only the answer of that source is trusted:

1. The zones of dnsd: the engine answers as for any client, so a Service created a moment ago is
   found, and names in these zones are never in the cache.
2. Pinned names (`hosts.py`).
3. A forward rule, not that of the root, at least as long as the special-use zone of the name.
4. Special-use names (`special_use.py`).
5. The longest forward rule; the rule of the root holds the default servers.

The source may change with every CNAME, ten times at most. If a chain began in the zones of dnsd,
its beginning is always answered: if the rest fails, the reply is NOERROR with the known CNAMEs and
an extended error, which is enough for a client that needs the CNAME only.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import astuple, replace

from dnsd.answer.outcome import Forward
from dnsd.dns.message import Ede, Malformed, Rcode, opt_record, query
from dnsd.dns.names import ROOT, Name, longest_suffix
from dnsd.dns.records import Record, read_reply
from dnsd.dns.types import Type
from dnsd.upstream.cache import Cache, key_of
from dnsd.upstream.chain import MAX_CHAIN, Answer
from dnsd.upstream.compose import compose, own_chain, servfail
from dnsd.upstream.hosts import Hosts, load
from dnsd.upstream.lookup import Failed, Lookup, Request
from dnsd.upstream.loops import Loops
from dnsd.upstream.pool import Pool
from dnsd.upstream.search import complete
from dnsd.upstream.server import Server
from dnsd.upstream.settings import UpstreamConfig
from dnsd.upstream.spec import parse_servers
from dnsd.upstream.special_use import SpecialUseNames
from dnsd.upstream.status import Where
from dnsd.upstream.stream import tls_context

if TYPE_CHECKING:
    from dnsd.answer.engine import Engine
    from dnsd.answer.views import Views

_SLACK = 0.05  # seconds; the timeout of a pool ends first, because its error is more specific
_CLASS_IN = b"\x00\x01"
_LOOP = (int(Ede.NO_REACHABLE_AUTHORITY), f"CNAMEs loop, or are more than {MAX_CHAIN}")
_NO_ROUTE = (int(Ede.NOT_AUTHORITATIVE), "no upstream for this name")


class Resolver:
    """The resolver of one worker.

    `engine` answers for the zones of dnsd, and `is_local` decides whether a name is in one of them.
    `udp_size`: octets, the EDNS size in replies. Raises `BadUpstream` for a bad configuration.
    """

    def __init__(
        self,
        config: UpstreamConfig,
        engine: Engine | Views,
        is_local: Callable[[Name], bool],
        *,
        udp_size: int = 1232,
        clock: Callable[[], float] = time.monotonic,
        dice: random.Random | None = None,
    ) -> None:
        self.config = config
        self._engine = engine
        # The transport of the resolver's own queries to the engine: one that truncates no reply.
        self._whole = next(
            transport for transport in engine.shared.transports if not transport.datagram
        )
        self._is_local = is_local
        self._clock = clock
        self._udp_size = udp_size
        self._opts = opt_record(udp_size, False), opt_record(udp_size, True)
        self._active = 0
        self.loops = Loops()
        self._pools = _pools(config, self.loops, dice or random.Random())  # noqa: S311
        self._special_use = SpecialUseNames(config.never_leave)
        self.hosts = load(config.hosts, config.hosts_files, config.hosts_ttl)
        self.cache = Cache(config.cache_entries, config.cache_bytes, config.stale_for)
        self._lookup = Lookup(config, self.cache, self.loops, clock)
        self._entries = self.cache.entries
        self._counts = self._lookup.counts

    # -- at once

    def kept(
        self, key: bytes, packet: bytes, question: bytes, edns: bool, room: int
    ) -> bytes | None:
        """The reply to a usual query if it is cached, whole, and fresh; for `Engine.kept`.

        `room`: octets for question and records.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._clock()
        if now >= entry.fast_until:
            return None
        body = entry.body_at(now)
        if len(question) + len(body) > room:
            return None
        entry.hits += 1
        self._counts.hits += 1
        if edns:
            opt = self._opts[key[-1] >> 1]
            return b"".join((packet[:2], entry.head_edns, question, body, opt))
        return b"".join((packet[:2], entry.head, question, body))

    def cached(self, forward: Forward) -> bytes | None:
        """The reply if it can be given at once; None if `resolve` has to be awaited."""
        if forward.chained:
            return self._overloaded(forward)
        question = forward.question
        entry = self._entries.get(key_of(forward.name, question[-4:], forward.do, forward.cd))
        if entry is None:
            return self._without_servers(forward)
        now = self._clock()
        if now < entry.fast_until:
            entry.hits += 1
            self._counts.hits += 1
            body, head, opt = entry.body_at(now), entry.head, b""
            if forward.edns:
                head = entry.head_edns
                opt = self._opts[forward.do]
                if forward.options:
                    opt = opt_record(self._udp_size, forward.do, options=forward.options)
            reply = b"".join((forward.packet[:2], head, question, body, opt))
            if len(reply) <= forward.limit:
                return reply
            return self._reply(forward, entry.answer(body))
        if not entry.useful and now < entry.expires:
            return self._reply(forward, Answer(Rcode.SERVFAIL, errors=entry.errors))
        return self._overloaded(forward)

    def _reply(self, forward: Forward, answer: Answer) -> bytes:
        return compose(forward, answer, self._udp_size)

    def _without_servers(self, forward: Forward) -> bytes | None:
        """The reply for a name of which no server is queried, or to a query in a loop."""
        if self.loops.is_loop(forward.name, forward.question):
            error = (int(Ede.PROHIBITED), "forwarding loop")
            return self._reply(forward, Answer(Rcode.REFUSED, errors=(error,)))
        source = self._source(forward.name, forward.type)
        if source is None:
            return self._reply(forward, Answer(Rcode.REFUSED, errors=(_NO_ROUTE,)))
        if isinstance(source, Answer):
            return self._reply(forward, source)
        if reason := source.dead:
            self._counts.failures += 1
            return self._reply(forward, servfail(Ede.NO_REACHABLE_AUTHORITY, reason))
        return self._overloaded(forward)

    def _overloaded(self, forward: Forward) -> bytes | None:
        """The failure if too many queries are in flight; None if another one is allowed."""
        if self._active < self.config.max_in_flight:
            return None
        self._counts.overloaded += 1
        failure = servfail(Ede.NETWORK_ERROR, "too many queries in flight")
        return self._reply(forward, _with_chain(forward, failure, own_chain(forward)))

    # -- later

    async def resolve(self, forward: Forward) -> bytes:
        """The reply, within `timeout` whatever the chain; `cached` was called first.

        Raises nothing for what the network or an upstream server does.
        """
        self._active += 1
        try:
            async with asyncio.timeout(self.config.timeout + _SLACK):
                answer = await self._follow(forward)
        except TimeoutError:
            failure = servfail(Ede.NO_REACHABLE_AUTHORITY, "no answer in time")
            answer = _with_chain(forward, failure, own_chain(forward))
        finally:
            self._active -= 1
        return self._reply(forward, answer)

    async def complete(
        self, forward: Forward, denial: bytes, candidates: tuple[Name, ...]
    ) -> bytes:
        """The reply to a question that the search list of a pod can complete.

        Otherwise it is `denial`, also if too many queries are in flight.
        """
        if self._active >= self.config.max_in_flight:
            self._counts.overloaded += 1
            return denial
        self._active += 1
        answer = None
        try:
            async with asyncio.timeout(self.config.timeout):
                answer = await complete(
                    forward.name, candidates, functools.partial(self._look_up, forward)
                )
        except TimeoutError:
            return denial
        finally:
            self._active -= 1
        return denial if answer is None else self._reply(forward, answer)

    async def _look_up(self, forward: Forward, name: Name) -> Answer | None:
        """The whole answer for one name of a search list; None if it failed."""
        answer = await self._follow(replace(forward, name=name, local=False))
        if answer.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            return None
        positive = any(record.type == forward.type for record in answer.answer)
        return replace(answer, negative=not positive)

    async def _follow(self, forward: Forward) -> Answer:
        """Follows the chain from source to source."""
        records = list(own_chain(forward))
        name, aliases = forward.name, forward.chained
        errors: tuple[tuple[int, str], ...] = ()
        while True:
            try:
                answer = await self._answer(forward, name)
            except Failed as failed:
                failure = Answer(Rcode.SERVFAIL, errors=(*errors, *failed.errors))
                return _with_chain(forward, failure, tuple(records))
            records += answer.answer
            aliases += answer.aliases
            errors = (*errors, *answer.errors)
            if not answer.leads_to and aliases <= MAX_CHAIN:
                return Answer(answer.rcode, tuple(records), answer.authority, errors=errors)
            owners = {record.key for record in records if record.type == Type.CNAME}
            if aliases > MAX_CHAIN or answer.leads_to in owners:
                return Answer(Rcode.SERVFAIL, errors=(_LOOP,))
            name = answer.leads_to

    async def _answer(self, forward: Forward, name: Name) -> Answer:
        """The answer of the source of a name; raises `Failed`."""
        if self._is_local(name):
            return self._local_answer(forward, name)
        source = self._source(name, forward.type)
        if source is None:
            raise Failed(((int(Ede.NO_REACHABLE_AUTHORITY), _NO_ROUTE[1]),))
        if isinstance(source, Answer):
            return source

        def in_route(target: Name) -> bool:
            return not self._is_local(target) and self._source(target, forward.type) is source

        rest = forward.question[-4:-2] + _CLASS_IN
        request = Request(name, rest, forward.do, forward.cd, source, in_route)
        return await self._lookup.answer(request)

    def _source(self, name: Name, type_: int) -> Answer | Pool | None:
        """The source of an external name: the answer of dnsd itself, servers, or no source."""
        pinned = self.hosts.answer(name, type_)
        if pinned is not None:
            return pinned
        suffix = longest_suffix(name, self._pools)
        zone = self._special_use.zone_of(name, type_)
        if zone is not None and (suffix is None or suffix == ROOT or len(suffix) < len(zone)):
            return self._special_use.answer(name, type_, zone)
        if suffix is None:
            return None
        pool = self._pools[suffix]
        return pool if pool.servers else self._special_use.answer(name, type_, suffix)

    def _local_answer(self, forward: Forward, name: Name) -> Answer:
        """The answer of the zones of dnsd for the target of an upstream's CNAME."""
        question = name + forward.question[-4:-2] + _CLASS_IN
        reply = self._engine.answer(query(b"\x00\x00", question), forward.client, self._whole)
        if isinstance(reply, Forward):
            if not reply.chained:
                raise Failed(())
            return Answer(Rcode.NOERROR, own_chain(reply), leads_to=reply.name)
        try:
            read = read_reply(reply if isinstance(reply, bytes) else b"")
        except Malformed:
            raise Failed(()) from None
        if read.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            raise Failed(read.errors)
        return Answer(read.rcode, read.answer, read.authority, errors=read.errors)

    # -- status

    def where(self, name: Name, type_: int) -> Where:
        """Where an external name (lower case) is answered. Sends no query and counts nothing."""
        source = self._source(name, type_)
        if not isinstance(source, Pool):
            return Where(by_dnsd=source is not None)
        servers = tuple(str(server.spec) for server in source.servers)
        rest = type_.to_bytes(2, "big") + _CLASS_IN
        cached = [self._entries.get(key_of(name, rest, do, False)) for do in (False, True)]
        entry = next((entry for entry in cached if entry is not None), None)
        where = Where(servers, suffix=source.suffix)
        if entry is None:
            return where
        return replace(where, left=entry.expires - self._clock(), rcode=int(entry.rcode))

    def pin(self, hosts: Hosts) -> None:
        """Replaces the pinned names, and drops cached replies that may contradict them."""
        if hosts != self.hosts:
            self.hosts = hosts
            self.cache.flush()

    def counters(self) -> tuple[int, ...]:
        """Totals since the start, in the order of `COUNTER_NAMES`."""
        self._counts.loops, self._counts.evictions = self.loops.found, self.cache.evictions
        return astuple(self._counts)

    @property
    def active(self) -> int:
        """The number of clients that wait."""
        return self._active

    @property
    def in_flight(self) -> int:
        """The number of different questions that wait for servers."""
        return self._lookup.in_flight

    def servers(self) -> list[Server]:
        """All servers of all rules, with their health."""
        return [server for pool in self._pools.values() for server in pool.servers]

    async def close(self) -> None:
        """Cancels the queries in flight and the probes, and closes the connections."""
        await self.loops.close()
        await self._lookup.close()
        for server in self.servers():
            await server.close()


def _with_chain(forward: Forward, failure: Answer, known: tuple[Record, ...]) -> Answer:
    """A failure; or NOERROR with the known CNAMEs if the chain began in the zones of dnsd."""
    if not forward.local:
        return failure
    return Answer(Rcode.NOERROR, known, errors=failure.errors)


def _pools(config: UpstreamConfig, loops: Loops, dice: random.Random) -> dict[Name, Pool]:
    """The pool of each forward rule, by suffix; raises `BadUpstream`."""
    lists = dict(config.forward)
    if config.servers and config.servers != ("none",):
        lists[ROOT] = config.servers
    tls = None
    pools = {}
    for suffix, texts in lists.items():
        specs = parse_servers(texts, config.resolv_conf)
        if tls is None and any(spec.scheme == "tls" for spec in specs):
            tls = tls_context(config.tls_ca)
        servers = [Server(s, suffix, tls, config.random_case, loops.in_flight) for s in specs]
        pools[suffix] = Pool(suffix, servers, config, dice)
    return pools
