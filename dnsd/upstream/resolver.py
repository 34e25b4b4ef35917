"""Names that are not ours: the engine's third outcome becomes a reply.

`cached` answers what can be answered at once: a kept reply, a name that stays here, too many
questions in flight. `resolve` does the rest and always ends in a reply: whatever the network
does, the client is told something (SERVFAIL and why, at worst).

Each name on a CNAME chain has one *place*, and only what that place says of it is believed:

1. our own zones: the engine is asked, as for any client, so a Service created a moment ago
   is there, and nothing of ours is ever kept in the cache;
2. pinned names (`hosts.py`);
3. a forward rule at least as long as the policy that would keep the name here;
4. names that never leave (`policy.py`);
5. the longest forward rule, the default servers at last (`forward.py`).

A chain may change places with every CNAME, ten times at most. When it began in our own
zones, its beginning is always answered: if the rest fails, NOERROR with the CNAMEs that are
known, and an extended error (a client that wanted only to know the alias has it).
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from dnsd.answer.outcome import Forward, Outcome
from dnsd.answer.shared import Shared
from dnsd.answer.transport import Transport
from dnsd.dns.message import Ede, Malformed, Rcode, opt_record, query
from dnsd.dns.names import ROOT, Name
from dnsd.dns.records import Record, read_reply
from dnsd.dns.types import Type
from dnsd.upstream.cache import Cache, key_of
from dnsd.upstream.chain import MAX_CHAIN, Part
from dnsd.upstream.compose import Answer, answer_of, compose, own_chain, servfail
from dnsd.upstream.config import parse_name, parse_servers
from dnsd.upstream.hosts import Hosts, load
from dnsd.upstream.lookup import Failed, Lookup, Wanted
from dnsd.upstream.loops import Loops
from dnsd.upstream.pool import Pool
from dnsd.upstream.routes import Routes, outranks
from dnsd.upstream.search import Completion, complete
from dnsd.upstream.server import Server
from dnsd.upstream.settings import UpstreamConfig
from dnsd.upstream.special_use import SpecialUseNames
from dnsd.upstream.status import Where
from dnsd.upstream.stream import tls_context

_SLACK = 0.05  # seconds; a pool's own deadline comes first, because it knows what was tried
_CLASS_IN = b"\x00\x01"
_LOOP = (int(Ede.NO_REACHABLE_AUTHORITY), "CNAMEs loop or are over 10")
_NO_ROUTE = (int(Ede.NOT_AUTHORITATIVE), "no upstream for this name")


class LocalEngine(Protocol):
    """The part of the engine that answers for names in the zones of dnsd."""

    @property
    def shared(self) -> Shared:
        """What the engines of the process share."""

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        """See `Stage`; `Forward` if the name leads out of the zones again."""


class Resolver:
    """The upstream room of one worker.

    `engine` answers for our own zones, `is_ours` tells which names lie in them. `udp_size`
    is what our replies announce. Raises `BadUpstream` for a configuration it cannot use.
    """

    def __init__(
        self,
        config: UpstreamConfig,
        engine: LocalEngine,
        is_ours: Callable[[Name], bool],
        *,
        udp_size: int = 1232,
        clock: Callable[[], float] = time.monotonic,
        dice: random.Random | None = None,
    ) -> None:
        self.config = config
        self._engine = engine
        # For questions of its own: one on which no reply is cut.
        self._whole = next(one for one in engine.shared.transports if not one.datagram)
        self._is_ours = is_ours
        self._clock = clock
        self._udp_size = udp_size
        self._opts = opt_record(udp_size, False), opt_record(udp_size, True)
        self._active = 0
        self.loops = Loops()
        self.routes = _routes(config, self.loops, dice or random.Random())  # noqa: S311
        extra = [parse_name(text, "never_leave") for text in config.never_leave]
        self._never = SpecialUseNames(extra)
        self.hosts = load(config.hosts, config.hosts_files, config.hosts_ttl)
        self.cache = Cache(config.cache_entries, config.cache_bytes, config.stale_for)
        self._lookup = Lookup(config, self.cache, self.loops, clock)
        self._entries = self.cache.entries
        self._counts = self._lookup.counts

    # -- at once ---------------------------------------------------------------------------

    def kept(
        self, key: bytes, packet: bytes, question: bytes, edns: bool, room: int
    ) -> bytes | None:
        """The reply to a usual query, if it is kept whole and fresh; for `Engine.kept`.

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

    def cached(self, ask: Forward) -> bytes | None:
        """The reply, if it can be given at once; None when `resolve` has to be awaited."""
        if ask.chained:
            return self._overloaded(ask)
        question = ask.question
        entry = self._entries.get(key_of(ask.name, question[-4:], ask.do, ask.cd))
        if entry is None:
            return self._without_asking(ask)
        now = self._clock()
        if now < entry.fast_until:
            entry.hits += 1
            self._counts.hits += 1
            body, head, opt = entry.body_at(now), entry.head, b""
            if ask.edns:
                head = entry.head_edns
                opt = self._opts[ask.do]
                if ask.options:
                    opt = opt_record(self._udp_size, ask.do, options=ask.options)
            reply = b"".join((ask.packet[:2], head, question, body, opt))
            if len(reply) <= ask.limit:
                return reply
            return compose(ask, answer_of(entry.part(body)), self._udp_size)
        if not entry.useful and now < entry.expires:
            return compose(ask, Answer(Rcode.SERVFAIL, errors=entry.errors), self._udp_size)
        return self._overloaded(ask)

    def _without_asking(self, ask: Forward) -> bytes | None:
        """The reply to a name that stays here, comes back, or has nobody to be asked."""
        if self.loops.is_loop(ask.name, ask.question):
            answer = Answer(Rcode.REFUSED, errors=((int(Ede.PROHIBITED), "forwarding loop"),))
            return compose(ask, answer, self._udp_size)
        place = self._place(ask.name, ask.type)
        if place is None:
            return compose(ask, Answer(Rcode.REFUSED, errors=(_NO_ROUTE,)), self._udp_size)
        if isinstance(place, Part):
            return compose(ask, answer_of(place), self._udp_size)
        if why := place.dead:
            self._counts.failures += 1
            failure = servfail(Ede.NO_REACHABLE_AUTHORITY, why)
            return compose(ask, failure, self._udp_size)
        return self._overloaded(ask)

    def _overloaded(self, ask: Forward) -> bytes | None:
        """The refusal when too many questions are in flight, None when there is room."""
        if self._active < self.config.max_in_flight:
            return None
        self._counts.overloaded += 1
        failure = servfail(Ede.NETWORK_ERROR, "too many questions in flight")
        return compose(ask, self._excuse(ask, failure, own_chain(ask)), self._udp_size)

    # -- in a while ------------------------------------------------------------------------

    async def resolve(self, ask: Forward) -> bytes:
        """The reply, within `timeout` whatever the chain; `cached` was called first.

        Raises nothing for what the network or an upstream does.
        """
        self._active += 1
        try:
            async with asyncio.timeout(self.config.timeout + _SLACK):
                answer = await self._follow(ask)
        except TimeoutError:
            failure = servfail(Ede.NO_REACHABLE_AUTHORITY, "no answer in time")
            answer = self._excuse(ask, failure, own_chain(ask))
        finally:
            self._active -= 1
        return compose(ask, answer, self._udp_size)

    async def complete(self, ask: Forward, plain: bytes, found: Completion) -> bytes:
        """The reply to a question that a pod's search list can complete.

        `plain` is the reply otherwise, also when there are too many questions already.
        """
        if self._active >= self.config.max_in_flight:
            self._counts.overloaded += 1
            return plain
        self._active += 1
        part = None
        try:
            async with asyncio.timeout(self.config.timeout):
                part = await complete(found, functools.partial(self._look, ask))
        except TimeoutError:
            return plain
        finally:
            self._active -= 1
        return plain if part is None else compose(ask, answer_of(part), self._udp_size)

    async def _look(self, ask: Forward, name: Name) -> Part | None:
        """The whole answer for one name of a search list, None when it cannot be had."""
        asked = replace(ask, name=name, local=False)
        answer = await self._follow(asked)
        if answer.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            return None
        positive = any(record.type == ask.type for record in answer.answer)
        return Part(
            answer.rcode,
            answer.answer,
            answer.authority,
            errors=answer.errors,
            negative=not positive,
        )

    async def _follow(self, ask: Forward) -> Answer:
        """Goes along the chain from place to place."""
        records = list(own_chain(ask))
        name, aliases = ask.name, ask.chained
        errors: tuple[tuple[int, str], ...] = ()
        while True:
            try:
                part = await self._part(ask, name)
            except Failed as failure:
                answer = Answer(Rcode.SERVFAIL, errors=(*errors, *failure.errors))
                return self._excuse(ask, answer, tuple(records))
            records += part.answer
            aliases += part.aliases
            errors = (*errors, *part.errors)
            if not part.leads_to and aliases <= MAX_CHAIN:
                return Answer(part.rcode, tuple(records), part.authority, errors)
            owners = {record.key for record in records if record.type == Type.CNAME}
            if aliases > MAX_CHAIN or part.leads_to in owners:
                return Answer(Rcode.SERVFAIL, errors=(_LOOP,))
            name = part.leads_to

    @staticmethod
    def _excuse(ask: Forward, failure: Answer, known: tuple[Record, ...]) -> Answer:
        """A failure as it is told: with our own CNAMEs when the chain began with them."""
        if not ask.local:
            return failure
        return Answer(Rcode.NOERROR, known, errors=failure.errors)

    async def _part(self, ask: Forward, name: Name) -> Part:
        """What the place of a name says of it; raises `Failed`."""
        if self._is_ours(name):
            return self._in_own_zones(ask, name)
        place = self._place(name, ask.type)
        if place is None:
            raise Failed(((int(Ede.NO_REACHABLE_AUTHORITY), _NO_ROUTE[1]),))
        if isinstance(place, Part):
            return place

        def in_route(target: Name) -> bool:
            return not self._is_ours(target) and self._place(target, ask.type) is place

        rest = ask.question[-4:-2] + _CLASS_IN
        wanted = Wanted(name, rest, ask.do, ask.cd, place, in_route)
        return await self._lookup.part(wanted)

    def _place(self, name: Name, type_: int) -> Part | Pool | None:
        """Who answers for a name outside our zones: we (the answer), servers, or nobody."""
        pinned = self.hosts.answer(name, type_)
        if pinned is not None:
            return pinned
        found = self.routes.find(name)
        zone = self._never.zone_of(name, type_)
        if zone is not None and not (found and outranks(found[0], zone)):
            return self._never.answer(name, type_, zone)
        if found is None:
            return None
        suffix, pool = found
        return pool if pool.servers else self._never.answer(name, type_, suffix)

    def _in_own_zones(self, ask: Forward, name: Name) -> Part:
        """What our own zones say of a name that an upstream's CNAME led to."""
        question = name + ask.question[-4:-2] + _CLASS_IN
        reply = self._engine.answer(query(b"\x00\x00", question), ask.client, self._whole)
        if isinstance(reply, Forward):
            if not reply.chained:
                raise Failed(())
            return Part(Rcode.NOERROR, own_chain(reply), leads_to=reply.name)
        try:
            read = read_reply(reply if isinstance(reply, bytes) else b"")
        except Malformed:
            raise Failed(()) from None
        if read.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            raise Failed(read.errors)
        return Part(read.rcode, read.answer, read.authority, errors=read.errors)

    # -- besides ---------------------------------------------------------------------------

    def where(self, name: Name, type_: int) -> Where:
        """Where a name (lower case) that is not ours is answered. Asks nobody, counts nothing."""
        place = self._place(name, type_)
        if place is None:
            return Where("nobody")
        if isinstance(place, Part):
            return Where("here")
        found = self.routes.find(name)
        servers = tuple(str(one.spec) for one in place.servers)
        rest = type_.to_bytes(2, "big") + _CLASS_IN
        kept = [self._entries.get(key_of(name, rest, do, False)) for do in (False, True)]
        entry = next((one for one in kept if one is not None), None)
        suffix = found[0] if found else b""
        if entry is None:
            return Where("servers", servers, suffix)
        return Where("servers", servers, suffix, entry.expires - self._clock(), int(entry.rcode))

    def pin(self, hosts: Hosts) -> None:
        """Puts other pinned names in place; what was kept may contradict them and goes."""
        if hosts != self.hosts:
            self.hosts = hosts
            self.cache.flush()

    def counters(self) -> tuple[int, ...]:
        """Totals since the start, in the order of `COUNTER_NAMES`."""
        counts = self._lookup.counts
        return (
            counts.hits,
            counts.misses,
            counts.coalesced,
            counts.prefetches,
            counts.stale,
            counts.failures,
            counts.overloaded,
            self.loops.found,
            self.cache.evictions,
        )

    @property
    def active(self) -> int:
        """Questions of clients that wait."""
        return self._active

    def servers(self) -> list[Server]:
        """All servers of all rules, with their health."""
        return [server for pool in self.routes.rules.values() for server in pool.servers]

    async def close(self) -> None:
        """Ends what is in flight, probes and connections."""
        await self.loops.close()
        await self._lookup.close()
        for server in self.servers():
            await server.close()


def _routes(config: UpstreamConfig, loops: Loops, dice: random.Random) -> Routes[Pool]:
    """The pools of the configuration's rules; raises `BadUpstream`."""
    lists = {suffix: (servers, f"forward: {suffix}") for suffix, servers in config.forward.items()}
    if config.servers and tuple(config.servers) != ("none",):
        lists["."] = (config.servers, "upstream")
    tls = None
    rules = {}
    for text, (texts, where) in lists.items():
        suffix = ROOT if text == "." else parse_name(text, where)
        specs = parse_servers(texts, config.resolv_conf)
        if tls is None and any(spec.scheme == "tls" for spec in specs):
            tls = tls_context(config.tls_ca)
        servers = [Server(s, suffix, tls, config.random_case, loops.in_flight) for s in specs]
        rules[suffix] = Pool(
            suffix, servers, config.policy, config.timeout, config.attempt_timeout, dice
        )
    return Routes(rules)
