"""Failures of upstreams and their extended errors (RFC 8914 4)."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.name

from tests.upstream.building import errors, forwarding, rcode
from tests.upstream.scripted import reply_to, unused_port, upstream


class TestExtendedErrors:
    async def test_a_refused_connection_is_a_network_error(self) -> None:
        async with forwarding(servers=(f"udp://127.0.0.1:{unused_port()}",)) as server:
            reply = await server.query("www.example.")
        assert rcode(reply) == "SERVFAIL"
        assert errors(reply) == [23]

    async def test_the_extended_error_of_the_upstream_is_passed_on(self) -> None:
        def bogus(query, _):
            reply = reply_to(query, rcode="SERVFAIL")
            reply.use_edns(0, options=[dns.edns.EDEOption(6, "signature expired")])
            return [reply]

        async with upstream(bogus) as up, forwarding(servers=(up.url,)) as server:
            reply = await server.query("www.example.")
        assert errors(reply) == [22, 6]
