"""A real server as upstream: Debian's NSD with a zone of awkward records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.query
import pytest

from dnsd.transport.registry import TCP
from tests.upstream.building import alias, forwarding, rcode, service, texts
from tests.upstream.nsd import nsd

ZONE = r"""
$ORIGIN nsd.example.
$TTL 300
@        SOA ns hostmaster 1 7200 1800 86400 60
@        NS ns
ns       A 192.0.2.53
www      A 192.0.2.1
www      AAAA 2001:db8::1
alias    CNAME www
chain    CNAME alias
home     CNAME web.default.svc.cluster.local.
mail     MX 10 www
mail     MX 20 ns
txt      TXT "one" "two words" "\200\000"
srv      SRV 0 5 80 www
naptr    NAPTR 1 2 "u" "E2U+sip" "!^.*$!sip:a@example!" www
caa      CAA 0 issue "ca.example"
https    HTTPS 1 . alpn="h2"
odd\.dot A 192.0.2.9
*.wild   A 192.0.2.77
sub      DNAME other.nsd.example.
x.other  A 192.0.2.88
empty.below A 192.0.2.99
""" + "\n".join(f"many A 198.51.100.{n}" for n in range(1, 201))

NAMES = (
    *(("www", "A"), ("www", "AAAA"), ("www", "MX"), ("WwW", "A"), ("alias", "A"), ("chain", "A")),
    *(("alias", "TXT"), ("mail", "MX"), ("txt", "TXT"), ("srv", "SRV"), ("naptr", "NAPTR")),
    *(("caa", "CAA"), ("https", "HTTPS"), (r"odd\.dot", "A"), ("a.b.wild", "A"), ("nope", "A")),
    *(("x.sub", "A"), ("below", "A"), ("many", "A"), ("@", "SOA"), ("@", "NS"), ("many", "TXT")),
)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nsd(tmp_path_factory.mktemp("nsd"), "nsd.example", ZONE) as port:
        yield port


def full(name: str) -> str:
    return "nsd.example." if name == "@" else f"{name}.nsd.example."


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_dnsd_gives_the_answers_of_nsd(port: int, scheme: str) -> None:
    loop = asyncio.get_running_loop()
    async with forwarding(servers=(f"{scheme}://127.0.0.1:{port}",)) as server:
        for name, type_ in NAMES:
            query = dns.message.make_query(full(name), type_, use_edns=0)
            said = await loop.run_in_executor(None, dns.query.tcp, query, "127.0.0.1", 5.0, port)
            for _ in range(2):  # forwarded, then cached
                reply = await server.query(full(name), type_, transport=TCP)
                assert rcode(reply) == rcode(said), (name, type_)
                said_of_chain = [rrset for rrset in said.answer if rrset.rdtype != 39]  # DNAME
                assert sorted(map(str, reply.answer)) == sorted(map(str, said_of_chain))
                assert not reply.flags & dns.flags.AA
                soa = [str(rrset) for rrset in said.authority if rrset.rdtype == 6]
                assert [str(rrset) for rrset in reply.authority] == soa


async def test_two_hundred_addresses_come_over_tcp(port: int) -> None:
    async with forwarding(servers=(f"udp://127.0.0.1:{port}",)) as server:
        udp = await server.query("many.nsd.example.")
        tcp = await server.query("many.nsd.example.", transport=TCP)
    assert udp.flags & dns.flags.TC
    assert len(texts(tcp)) == 200


async def test_an_external_name_ends_in_addresses(port: int) -> None:
    async with forwarding(
        alias("ext", "chain.nsd.example"), servers=(f"udp://127.0.0.1:{port}",)
    ) as server:
        reply = await server.query("ext.default.svc.cluster.local.")
    assert texts(reply) == [
        "ext.default.svc.cluster.local. CNAME chain.nsd.example.",
        "chain.nsd.example. CNAME alias.nsd.example.",
        "alias.nsd.example. CNAME www.nsd.example.",
        "www.nsd.example. A 192.0.2.1",
    ]


async def test_a_cname_of_nsd_into_the_local_zone_is_followed(port: int) -> None:
    async with forwarding(
        service("web", "10.96.0.9"), servers=(f"udp://127.0.0.1:{port}",)
    ) as server:
        reply = await server.query("home.nsd.example.")
    assert texts(reply)[-1] == "web.default.svc.cluster.local. A 10.96.0.9"


async def test_a_name_that_nsd_refuses_is_servfail(port: int) -> None:
    async with forwarding(servers=(f"udp://127.0.0.1:{port}",)) as server:
        assert rcode(await server.query("www.elsewhere.")) == "SERVFAIL"
