"""Who is asked first, and who is left alone: policies and health, over real sockets."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

from dnsd.upstream.health import SUSPECT, Health
from tests.helpers import eventually
from tests.upstream.building import errors, plane, rcode, texts
from tests.upstream.scripted import Script, Upstream, address, upstream


def answers(query, _):
    return address(query, ttl=0)


class TestPolicies:
    async def _spread(self, policy: str, scripts: list[Script], count: int = 40) -> list[int]:
        async with AsyncExitStack() as stack:
            ups = [await stack.enter_async_context(upstream(script)) for script in scripts]
            urls = tuple(up.url for up in ups)
            home = await stack.enter_async_context(plane(servers=urls, policy=policy))
            for number in range(count):
                await home.ask(f"n{number}.example.")
            return [len(up.asked) for up in ups]

    async def test_sequential_is_the_first_as_long_as_it_answers(self) -> None:
        assert await self._spread("sequential", [answers] * 3) == [40, 0, 0]

    async def test_random_is_all_of_them(self) -> None:
        assert min(await self._spread("random", [answers] * 3)) >= 3

    async def test_fastest_is_the_one_with_the_least_latency(self) -> None:
        async def slow(query, _):
            await asyncio.sleep(0.03)
            return address(query, ttl=0)

        spread = await self._spread("fastest", [slow, answers, slow])
        assert spread[1] > 30
        assert spread[0] >= 1  # its latency had to be found out
        assert spread[2] >= 1

    async def test_fastest_forgets_nobody(self) -> None:
        async with (
            upstream(answers) as one,
            upstream(answers) as two,
            plane(servers=(one.url, two.url), policy="fastest") as home,
        ):
            (pool,) = home.resolver.routes.rules.values()
            pool._dice = random.Random(1)
            pool.servers[0].health.answered(0.001)
            pool.servers[1].health.answered(1.0)
            first = Counter(pool.order(0.0)[0] for _ in range(1_000))
        assert 20 < first[pool.servers[1]] < 100


class TestHealth:
    def test_latency_is_smoothed(self) -> None:
        health = Health()
        for _ in range(50):
            health.answered(0.1)
        health.answered(0.9)
        assert 0.15 < health.latency < 0.25
        assert health.patience(5.0) > health.latency
        assert health.patience(0.1) == 0.1

    def test_a_matching_reply_ends_all_suspicion(self) -> None:
        health = Health()
        for _ in range(SUSPECT):
            assert not health.suspect
            health.failed()
        assert health.suspect
        assert health.probe_failed() == 0.5
        assert [health.probe_failed() for _ in range(5)] == [1, 2, 4, 5, 5]
        assert health.down
        health.answered(0.1)
        assert (health.down, health.suspect) == (False, False)
        assert health.probe_failed() == 0.5

    async def test_a_silent_server_is_passed_over_until_it_answers(self) -> None:
        mute = True

        def script(query, _):
            return [] if mute else address(query, ttl=0)

        async with (
            upstream(script) as first,
            upstream(answers) as second,
            plane(servers=(first.url, second.url), attempt_timeout=0.05) as home,
        ):
            server = home.resolver.servers()[0]
            for number in range(SUSPECT):
                assert texts(await home.ask(f"n{number}.example."))
            await eventually(lambda: server.health.suspect)
            before = self._asked_for_names(first)
            for number in range(5):
                assert texts(await home.ask(f"m{number}.example."))
            assert self._asked_for_names(first) == before
            mute = False
            await eventually(lambda: not server.health.suspect)  # a probe found out
            assert texts(await home.ask("again.example."))
            assert "again.example." in first.names()

    @staticmethod
    def _asked_for_names(up: Upstream) -> int:
        return sum(name != "." for name in up.names())

    async def test_silence_for_some_names_takes_no_server_down(self) -> None:
        def script(query, _):
            return [] if "bad" in str(query.question[0].name).lower() else address(query, ttl=0)

        async with upstream(script) as up, plane(servers=(up.url,), timeout=0.1) as home:
            for number in range(4):
                await home.ask(f"bad{number}.example.")
            await eventually(lambda: not home.resolver.servers()[0].health.suspect)
            assert texts(await home.ask("good.example."))

    async def test_all_down_fails_at_once_and_is_not_kept(self) -> None:
        mute = True

        def script(query, _):
            return [] if mute else address(query, ttl=0)

        async with (
            upstream(script) as up,
            plane(servers=(up.url,), timeout=0.2, attempt_timeout=0.05) as home,
        ):
            server = home.resolver.servers()[0]
            server.health.failures = SUSPECT
            server.health.probe_failed()
            server.failed()
            reply = await home.ask("www.example.")
            assert (rcode(reply), errors(reply)) == ("SERVFAIL", [22])
            assert "www.example." not in up.names()
            mute = False
            await eventually(lambda: not server.health.down)
            assert texts(await home.ask("www.example."))
