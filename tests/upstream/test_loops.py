"""Forwarding loops: an upstream that forwards back to this server gets no more queries."""

from __future__ import annotations

import asyncio

from dnsd.answer.outcome import Forward
from dnsd.transport.registry import UDP
from tests.helpers import eventually
from tests.upstream.building import ForwardingServer, errors, forwarding, rcode, texts
from tests.upstream.scripted import address, upstream


def back_to(loop_servers: list[ForwardingServer], fold_case: bool = False):
    """A forwarder that sends each of its queries to the first of these servers."""

    async def script(query, over):
        if fold_case:
            for question in query.question:
                question.name = question.name.canonicalize()
        reply = await loop_servers[0].send(query.to_wire())
        return [reply]

    return script


async def test_a_loop_is_found_directly_and_behind_a_forwarder() -> None:
    loop_servers: list[ForwardingServer] = []
    async with (
        upstream(back_to(loop_servers)) as up,
        forwarding(servers=(up.url,), timeout=5.0) as server,
    ):
        loop_servers.append(server)
        reply = await server.query("a-name-with-many-letters.example.")
        assert (rcode(reply), errors(reply)) == ("SERVFAIL", [22])
        assert server.resolver.loops.found == 1
        received = len(up.received)
        assert received <= 3  # the question, the canary, no copies
        again = await server.query("another-name-with-letters.example.")
        assert (rcode(again), errors(again)) == ("SERVFAIL", [22])
        assert "back to this server" in again.extended_errors()[0].text
        assert len(up.received) == received  # it gets no more queries


async def test_a_server_in_a_loop_is_replaced_by_the_next_one() -> None:
    loop_servers: list[ForwardingServer] = []
    async with (
        upstream(back_to(loop_servers)) as loop,
        upstream(lambda q, _: address(q)) as good,
        forwarding(servers=(loop.url, good.url), timeout=5.0, attempt_timeout=5.0) as server,
    ):
        loop_servers.append(server)
        for name in ("a-name-with-many-letters.example.", "b-name-with-many-letters.example."):
            assert texts(await server.query(name)) == [f"{name} A 192.0.2.1"]
        assert server.resolver.loops.found == 1


async def test_two_servers_that_forward_to_each_other_end_in_servfail() -> None:
    """Each of the two servers forwards to the other over real sockets."""
    one: list[ForwardingServer] = []
    two: list[ForwardingServer] = []
    async with (
        upstream(back_to(one)) as to_one,
        upstream(back_to(two)) as to_two,
        forwarding(servers=(to_two.url,), timeout=3.0) as first,
        forwarding(servers=(to_one.url,), timeout=3.0, random_case=False) as second,
    ):
        one.append(first)
        two.append(second)
        reply = await first.query("a-name-with-many-letters.example.")
        assert rcode(reply) == "SERVFAIL"
        await eventually(lambda: first.resolver.loops.found + second.resolver.loops.found >= 1)
        assert len(to_one.received) + len(to_two.received) < 30


async def test_a_loop_through_a_forwarder_with_its_own_case_is_found_after_a_timeout() -> None:
    loop_servers: list[ForwardingServer] = []
    async with (
        upstream(back_to(loop_servers, fold_case=True)) as up,
        forwarding(servers=(up.url,), timeout=0.3) as server,
    ):
        loop_servers.append(server)
        reply = await server.query("a-name-with-many-letters.example.")
        assert rcode(reply) == "SERVFAIL"
        await eventually(lambda: server.resolver.loops.found == 1)


async def test_a_client_query_with_the_same_random_case_is_answered() -> None:
    go = asyncio.Event()

    async def script(query, _):
        if "loop" not in str(query.question[0].name).lower():
            await go.wait()
        return address(query)

    async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
        first = asyncio.create_task(server.query("www.example."))
        await eventually(lambda: up.received)
        same = await_outcome(server, up.received[0][1])
        second = asyncio.create_task(server.resolver.resolve(same))
        assert server.resolver.cached(same) is None  # suspected, and still answered
        await eventually(lambda: len(up.received) == 2)  # the canary
        go.set()
        assert texts(await first)
        assert await second
        assert server.resolver.loops.found == 0
        await eventually(lambda: not server.resolver.loops.canaries)


def await_outcome(server: ForwardingServer, packet: bytes) -> Forward:
    outcome = server.engine.answer(packet, b"\x7f\0\0\1", UDP)
    assert isinstance(outcome, Forward)
    return outcome
