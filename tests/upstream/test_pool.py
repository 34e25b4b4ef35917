"""The servers of one rule: their order by policy, and when the next one is queried."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from dnsd.dns.names import ROOT
from dnsd.upstream.pool import Pool
from dnsd.upstream.server import Server
from dnsd.upstream.settings import UpstreamConfig
from dnsd.upstream.spec import parse_server
from tests.upstream.building import forwarding, texts
from tests.upstream.clock import SteppedLoop, run_stepped
from tests.upstream.scripted import Script, address, reply_to, upstream


def answers(query, _):
    return address(query, ttl=0)


class TestPolicies:
    async def spread(self, policy: str, scripts: list[Script], count: int = 40) -> list[int]:
        async with AsyncExitStack() as stack:
            ups = [await stack.enter_async_context(upstream(script)) for script in scripts]
            urls = tuple(up.url for up in ups)
            server = await stack.enter_async_context(forwarding(servers=urls, policy=policy))
            for number in range(count):
                await server.query(f"n{number}.example.")
            return [len(up.received) for up in ups]

    async def test_sequential_is_the_first_server_as_long_as_it_replies(self) -> None:
        assert await self.spread("sequential", [answers] * 3) == [40, 0, 0]

    async def test_random_is_every_server(self) -> None:
        assert min(await self.spread("random", [answers] * 3)) >= 3

    def test_fastest_is_the_server_with_the_least_latency(self) -> None:
        async def test(loop: SteppedLoop) -> list[int]:
            def slow(query, _):
                loop.advance(0.03)
                return address(query, ttl=0)

            return await self.spread("fastest", [slow, answers, slow])

        spread = run_stepped(test)
        assert spread[1] > 30
        assert min(spread) >= 1  # every latency had to be measured

    def test_fastest_queries_the_others_now_and_then(self) -> None:
        fast, slow = (Server(parse_server(f"192.0.2.{n}"), ROOT, None, False, {}) for n in (1, 2))
        fast.health.answered(0.001)
        slow.health.answered(1.0)
        pool = Pool(ROOT, (slow, fast), UpstreamConfig(policy="fastest"), random.Random(1))
        first = Counter(pool.order(0.0)[0] for _ in range(1_000))
        assert 20 < first[slow] < 100


class TestRetry:
    async def test_the_next_server_is_queried_if_the_first_is_silent(self) -> None:
        async with (
            upstream(lambda q, _: []) as silent,
            upstream(lambda q, _: address(q)) as good,
            forwarding(servers=(silent.url, good.url), attempt_timeout=0.1) as server,
        ):
            reply = await server.query("www.example.")
        assert texts(reply)
        assert len(silent.received) == 1

    async def test_a_late_reply_of_the_first_server_still_counts(self) -> None:
        both_queried = asyncio.Event()

        async def late(query, _):
            await both_queried.wait()
            return address(query, "192.0.2.5")

        def silent(query, _):
            both_queried.set()
            return []

        async with (
            upstream(late) as slow,
            upstream(silent) as other,
            forwarding(servers=(slow.url, other.url), attempt_timeout=0.05) as server,
        ):
            reply = await server.query("www.example.")
        assert texts(reply) == ["www.example. A 192.0.2.5"]

    @pytest.mark.parametrize("code", ["REFUSED", "SERVFAIL", "NOTIMP"])
    async def test_the_next_server_is_queried_after_a_reply_of_no_use(self, code: str) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, rcode=code)]) as bad,
            upstream(lambda q, _: address(q)) as good,
            forwarding(servers=(bad.url, good.url)) as server,
        ):
            assert texts(await server.query("www.example."))
        assert bad.received

    async def test_a_referral_is_not_an_answer(self) -> None:
        def lame(query, _):
            return [reply_to(query, authority=("example. 60 NS ns.example.",))]

        async with (
            upstream(lame) as bad,
            upstream(lambda q, _: address(q)) as good,
            forwarding(servers=(bad.url, good.url)) as server,
        ):
            assert texts(await server.query("www.example."))
