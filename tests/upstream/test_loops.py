"""An upstream that leads back to us is noticed and refused, and never fatal."""

from __future__ import annotations

import asyncio

from dnsd.answer.outcome import Forward
from dnsd.transport.registry import UDP
from tests.helpers import eventually
from tests.upstream.building import ControlPlane, errors, plane, rcode, texts
from tests.upstream.scripted import address, upstream


def back_to(homes: list[ControlPlane], fold_case: bool = False):
    """A forwarder whose own upstream is the house: what it is asked, the house is asked."""

    async def script(query, over):
        if fold_case:
            for question in query.question:
                question.name = question.name.canonicalize()
        reply = await homes[0].send(query.to_wire())
        return [reply]

    return script


async def test_a_loop_is_found_directly_and_behind_a_forwarder() -> None:
    homes: list[ControlPlane] = []
    async with upstream(back_to(homes)) as up, plane(servers=(up.url,), timeout=5.0) as home:
        homes.append(home)
        reply = await home.ask("a-name-with-many-letters.example.")
        assert (rcode(reply), errors(reply)) == ("SERVFAIL", [22])
        assert home.resolver.loops.found == 1
        asked = len(up.asked)
        assert asked <= 3  # the question, the canary, nothing multiplied
        again = await home.ask("another-name-with-letters.example.")
        assert (rcode(again), errors(again)) == ("SERVFAIL", [22])
        assert "back to this server" in again.extended_errors()[0].text
        assert len(up.asked) == asked  # it is left alone


async def test_a_server_in_a_loop_is_replaced_by_the_next_one() -> None:
    homes: list[ControlPlane] = []
    async with (
        upstream(back_to(homes)) as loop,
        upstream(lambda q, _: address(q)) as good,
        plane(servers=(loop.url, good.url), timeout=5.0, attempt_timeout=5.0) as home,
    ):
        homes.append(home)
        for name in ("a-name-with-many-letters.example.", "b-name-with-many-letters.example."):
            assert texts(await home.ask(name)) == [f"{name} A 192.0.2.1"]
        assert home.resolver.loops.found == 1


async def test_two_servers_that_forward_to_each_other_end_in_servfail() -> None:
    """Here both sides are houses: each forwards to the other over real sockets."""
    one: list[ControlPlane] = []
    two: list[ControlPlane] = []
    async with (
        upstream(back_to(one)) as to_one,
        upstream(back_to(two)) as to_two,
        plane(servers=(to_two.url,), timeout=3.0) as first,
        plane(servers=(to_one.url,), timeout=3.0, random_case=False) as second,
    ):
        one.append(first)
        two.append(second)
        reply = await first.ask("a-name-with-many-letters.example.")
        assert rcode(reply) == "SERVFAIL"
        await eventually(lambda: first.resolver.loops.found + second.resolver.loops.found >= 1)
        assert len(to_one.asked) + len(to_two.asked) < 30


async def test_a_loop_through_a_forwarder_with_its_own_case_is_found_after_a_timeout() -> None:
    homes: list[ControlPlane] = []
    async with (
        upstream(back_to(homes, fold_case=True)) as up,
        plane(servers=(up.url,), timeout=0.3) as home,
    ):
        homes.append(home)
        reply = await home.ask("a-name-with-many-letters.example.")
        assert rcode(reply) == "SERVFAIL"
        await eventually(lambda: home.resolver.loops.found == 1)


async def test_a_client_query_with_the_same_random_case_is_answered() -> None:
    go = asyncio.Event()

    async def script(query, _):
        if "loop" not in str(query.question[0].name).lower():
            await go.wait()
        return address(query)

    async with upstream(script) as up, plane(servers=(up.url,)) as home:
        first = asyncio.create_task(home.ask("www.example."))
        await eventually(lambda: up.asked)
        same = await_outcome(home, up.asked[0][1])
        second = asyncio.create_task(home.resolver.resolve(same))
        assert home.resolver.cached(same) is None  # suspected, and still answered
        await eventually(lambda: len(up.asked) == 2)  # the canary
        go.set()
        assert texts(await first)
        assert await second
        assert home.resolver.loops.found == 0
        await eventually(lambda: not home.resolver.loops.canaries)


def await_outcome(home: ControlPlane, packet: bytes) -> Forward:
    outcome = home.engine.answer(packet, b"\x7f\0\0\1", UDP)
    assert isinstance(outcome, Forward)
    return outcome
