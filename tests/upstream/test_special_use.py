"""Special-use names (RFC 6761, RFC 6303): dnsd answers them, unless a forward rule has them."""

from __future__ import annotations

import dns.reversename
import pytest

from tests.upstream.building import alias, forwarding, rcode, texts
from tests.upstream.scripted import address, upstream


class TestSpecialUseNames:
    @pytest.mark.parametrize(
        ("name", "type_", "code"),
        [
            ("localhost.", "TXT", "NOERROR"),
            ("printer.", "A", "NXDOMAIN"),
            ("PRINTER.", "AAAA", "NXDOMAIN"),
            ("com.", "NS", "NXDOMAIN"),
            ("invalid.", "A", "NXDOMAIN"),
            ("a.b.invalid.", "A", "NXDOMAIN"),
            ("facebookwkhpilnemxj7asaniu7vnjjbiltxjqhye3mhbshg7kx5tfyd.onion.", "A", "NXDOMAIN"),
            ("printer.local.", "A", "NXDOMAIN"),
            ("home.arpa.", "SOA", "NOERROR"),
            ("nas.home.arpa.", "A", "NXDOMAIN"),
            ("1.2.3.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("10.in-addr.arpa.", "PTR", "NOERROR"),
            ("1.0.16.172.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.0.31.172.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.1.168.192.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.1.254.169.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.0.64.100.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.0.127.100.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.2.0.192.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("255.255.255.255.in-addr.arpa.", "PTR", "NOERROR"),
            (str(dns.reversename.from_address("fd00::1")), "PTR", "NXDOMAIN"),
            (str(dns.reversename.from_address("fe80::1")), "PTR", "NXDOMAIN"),
            (str(dns.reversename.from_address("febf::1")), "PTR", "NXDOMAIN"),
            (str(dns.reversename.from_address("2001:db8::1")), "PTR", "NXDOMAIN"),
            (str(dns.reversename.from_address("::")), "PTR", "NOERROR"),
            ("x.secret.example.", "A", "NXDOMAIN"),
        ],
    )
    async def test_a_special_use_name_is_answered_without_an_upstream(
        self, name: str, type_: str, code: str
    ) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(servers=(up.url,), never_leave=("secret.example",)) as server,
        ):
            reply = await server.query(name, type_)
        assert rcode(reply) == code
        assert reply.authority[0].rdtype == 6  # an SOA, so that clients can cache it
        assert not up.received

    @pytest.mark.parametrize(
        ("name", "type_", "record"),
        [
            ("localhost.", "A", "A 127.0.0.1"),
            ("www.localhost.", "AAAA", "AAAA ::1"),
            ("1.0.0.127.in-addr.arpa.", "PTR", "PTR localhost."),
            (str(dns.reversename.from_address("::1")), "PTR", "PTR localhost."),
        ],
    )
    async def test_the_loopback_addresses_have_names(
        self, name: str, type_: str, record: str
    ) -> None:
        async with forwarding(servers=("udp://127.0.0.1:1",)) as server:
            assert texts(await server.query(name, type_)) == [f"{name} {record}"]

    @pytest.mark.parametrize(
        ("name", "type_"),
        [
            ("com.", "DS"),
            ("com.", "DNSKEY"),
            (".", "NS"),
            ("locals.", "DS"),
            ("notlocal.example.", "A"),
            ("1.1.1.1.in-addr.arpa.", "PTR"),
            ("1.0.32.172.in-addr.arpa.", "PTR"),
            ("1.0.128.100.in-addr.arpa.", "PTR"),
            (str(dns.reversename.from_address("2606:4700::1")), "PTR"),
        ],
    )
    async def test_other_names_are_forwarded(self, name: str, type_: str) -> None:
        async with upstream(lambda q, _: address(q)) as up, forwarding(servers=(up.url,)) as server:
            await server.query(name, type_)
        assert up.names() == [name]

    async def test_a_forward_rule_has_precedence_and_the_default_rule_does_not(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(
                servers=("udp://127.0.0.1:1",),
                forward={
                    "home.arpa": (up.url,),
                    "corp.local": (up.url,),
                    "10.in-addr.arpa": (up.url,),
                    "printer": (up.url,),
                },
            ) as server,
        ):
            for name in ("nas.home.arpa.", "a.corp.local.", "1.0.0.10.in-addr.arpa.", "printer."):
                assert rcode(await server.query(name)) == "NOERROR"
            for name in ("a.local.", "1.0.168.192.in-addr.arpa.", "scanner."):
                assert rcode(await server.query(name)) == "NXDOMAIN"
        assert len(up.received) == 4

    async def test_the_target_of_a_cname_is_answered_the_same(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(alias("ext", "nas.local"), servers=(up.url,)) as server,
        ):
            reply = await server.query("ext.default.svc.cluster.local.")
        assert rcode(reply) == "NXDOMAIN"
        assert texts(reply) == ["ext.default.svc.cluster.local. CNAME nas.local."]
        assert not up.received
