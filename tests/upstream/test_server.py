"""One server: probes, EDNS, and the case of names."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.name

from dnsd.upstream.health import SUSPECT
from tests.helpers import eventually
from tests.upstream.building import errors, forwarding, rcode, texts
from tests.upstream.scripted import Upstream, address, reply_to, upstream


def answers(query, _):
    return address(query, ttl=0)


class TestProbes:
    async def test_a_suspect_server_is_queried_last_until_a_probe_is_answered(self) -> None:
        mute = True

        def script(query, _):
            return [] if mute else address(query, ttl=0)

        async with (
            upstream(script) as first,
            upstream(answers) as second,
            forwarding(servers=(first.url, second.url), attempt_timeout=0.05) as server,
        ):
            upstream_server = server.resolver.servers()[0]
            for number in range(SUSPECT):
                assert texts(await server.query(f"n{number}.example."))
            await eventually(lambda: upstream_server.health.suspect)
            before = self._names_of_queries(first)
            for number in range(5):
                assert texts(await server.query(f"m{number}.example."))
            assert self._names_of_queries(first) == before
            mute = False
            await eventually(lambda: not upstream_server.health.suspect)  # a probe found out
            assert texts(await server.query("again.example."))
            assert "again.example." in first.names()

    @staticmethod
    def _names_of_queries(up: Upstream) -> int:
        return sum(name != "." for name in up.names())

    async def test_timeouts_for_some_names_do_not_take_a_server_down(self) -> None:
        def script(query, _):
            return [] if "bad" in str(query.question[0].name).lower() else address(query, ttl=0)

        async with upstream(script) as up, forwarding(servers=(up.url,), timeout=0.1) as server:
            for number in range(4):
                await server.query(f"bad{number}.example.")
            await eventually(lambda: not server.resolver.servers()[0].health.suspect)
            assert texts(await server.query("good.example."))

    async def test_with_all_servers_down_a_query_fails_at_once_and_is_not_cached(self) -> None:
        mute = True

        def script(query, _):
            return [] if mute else address(query, ttl=0)

        async with (
            upstream(script) as up,
            forwarding(servers=(up.url,), timeout=0.2, attempt_timeout=0.05) as server,
        ):
            upstream_server = server.resolver.servers()[0]
            upstream_server.health.failures = SUSPECT
            upstream_server.health.probe_failed()
            upstream_server.failed()
            reply = await server.query("www.example.")
            assert (rcode(reply), errors(reply)) == ("SERVFAIL", [22])
            assert "www.example." not in up.names()
            mute = False
            await eventually(lambda: not upstream_server.health.down)
            assert texts(await server.query("www.example."))


class TestDefects:
    async def test_a_server_that_rejects_edns_is_queried_without_it(self) -> None:
        def old(query, _):
            if query.edns >= 0:
                return [reply_to(query, rcode="FORMERR")]
            return address(query)

        async with upstream(old) as up, forwarding(servers=(up.url,)) as server:
            assert texts(await server.query("a.example."))
            assert texts(await server.query("b.example."))
        assert [query.edns for query in up.queries] == [0, -1, -1]

    async def test_a_server_that_does_not_keep_case_is_queried_over_tcp(self) -> None:
        def folding(query, _):
            lower = str(query.question[0].name).lower()
            reply = reply_to(query, f"{lower} 0 A 192.0.2.1")
            reply.question[0].name = dns.name.from_text(lower)
            return [reply]

        async with upstream(folding) as up, forwarding(servers=(up.url,)) as server:
            for _ in range(3):
                assert texts(await server.query("a-name-with-many-letters.example."))
        assert [over for over, _, _ in up.received] == ["udp", "tcp", "tcp", "tcp"]

    async def test_random_case_can_be_turned_off(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(servers=(up.url,), random_case=False) as server,
        ):
            await server.query("WWW.Example.")
        assert up.queries[0].question[0].name.to_text() == "www.example."
