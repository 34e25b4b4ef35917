"""The search stage: which NXDOMAINs are completed, and what the client gets."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.edns
import dns.message
import pytest

from dnsd.answer.engine import Engine
from dnsd.answer.outcome import Forward
from dnsd.answer.settings import EngineConfig
from dnsd.cluster.objects import Pod
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text
from dnsd.transport.registry import UDP
from dnsd.upstream.clients import Clients, compile_clients
from dnsd.upstream.completing import Search, SearchStage
from tests.helpers import calls_of, eventually
from tests.upstream.building import (
    ForwardingServer,
    alias,
    errors,
    forwarding,
    rcode,
    service,
    texts,
)
from tests.upstream.scripted import SOA, address, reply_to, upstream
from tests.upstream.test_clients import keyed

ZONE = name_from_text("cluster.local.")
EC2 = name_from_text("ec2.internal.")
POD = pack_address("10.244.0.7")


def pod(name: str = "web-0", ip: str = "10.244.0.7", **fields: Any) -> Pod:
    return Pod("default", name, (pack_address(ip),), "Running", **fields)


class Pods:
    """The search stage before an engine, for clients that are these pods."""

    def __init__(self, server: ForwardingServer, *pods: Pod) -> None:
        self.server = server
        self.clients = Clients()
        self.clients.apply(compile_clients(keyed(*pods)))
        self.stage = SearchStage(server.engine, self.clients, (ZONE,), (EC2,))

    async def query(
        self, name: str, type_: str = "A", client: bytes = POD, **options: Any
    ) -> dns.message.Message:
        query = dns.message.make_query(name, type_, use_edns=0, **options)
        packet = query.to_wire()
        (outcome,) = self.stage.answer_batch(packet, [len(packet)], len(packet), [client], UDP)
        if isinstance(outcome, Search):
            wire = await self.server.resolver.complete(
                outcome.forward, outcome.denial, outcome.candidates
            )
        else:
            assert isinstance(outcome, bytes)
            wire = outcome
        reply = dns.message.from_wire(wire)
        assert query.is_response(reply)
        return reply


ASKED = "www.example.com.default.svc.cluster.local."
CONFIG = EngineConfig(forwarding=True, nsid=b"node-7")


def external(query: dns.message.Message, _: str) -> list[Any]:
    """www.example.com has an address, example.com exists, nothing else does."""
    name = str(query.question[0].name).lower()
    if name == "www.example.com." and query.question[0].rdtype == 1:
        return address(query)
    if name in ("www.example.com.", "example.com."):
        return [reply_to(query, authority=(SOA.replace("example.", "example.com.", 1),))]
    return [reply_to(query, rcode="NXDOMAIN", authority=(f". {SOA.split(maxsplit=1)[1]}",))]


class TestCompletion:
    async def test_five_round_trips_become_one(self) -> None:
        async with upstream(external) as up, forwarding(engine=CONFIG, servers=(up.url,)) as server:
            reply = await Pods(server, pod()).query(ASKED)
        assert rcode(reply) == "NOERROR"
        assert texts(reply) == [f"{ASKED} CNAME www.example.com.", "www.example.com. A 192.0.2.1"]
        assert up.names() == ["www.example.com.ec2.internal.", "www.example.com."]

    async def test_a_service_earlier_in_the_list_has_precedence(self) -> None:
        async with (
            upstream(external) as up,
            forwarding(service("web", "10.96.0.9"), engine=CONFIG, servers=(up.url,)) as server,
        ):
            reply = await Pods(server, Pod("other", "p", (POD,), "Running")).query(
                "web.default.other.svc.cluster.local."
            )
        assert texts(reply)[-1] == "web.default.svc.cluster.local. A 10.96.0.9"
        assert not up.received

    async def test_the_chain_of_an_external_name_is_followed(self) -> None:
        async with (
            upstream(external) as up,
            forwarding(alias("ext", "www.example.com"), engine=CONFIG, servers=(up.url,)) as server,
        ):
            reply = await Pods(server, Pod("other", "p", (POD,), "Running")).query(
                "ext.default.other.svc.cluster.local."
            )
        assert [line.split()[1] for line in texts(reply)] == ["CNAME", "CNAME", "A"]

    async def test_nodata_only_if_no_name_has_records(self) -> None:
        async with upstream(external) as up, forwarding(engine=CONFIG, servers=(up.url,)) as server:
            reply = await Pods(server, pod()).query(ASKED, "AAAA")
        assert (rcode(reply), texts(reply)) == ("NOERROR", [f"{ASKED} CNAME www.example.com."])
        assert str(reply.authority[0].name) == "example.com."

    async def test_the_plain_nxdomain_if_no_name_of_the_list_exists(self) -> None:
        async with upstream(external) as up, forwarding(engine=CONFIG, servers=(up.url,)) as server:
            name = "nope.example.org.default.svc.cluster.local."
            completed = await Pods(server, pod()).query(name)
            plain = await Pods(server).query(name)
        plain.id = completed.id
        assert completed.to_wire() == plain.to_wire()
        assert rcode(plain) == "NXDOMAIN"
        assert str(plain.authority[0].name) == "cluster.local."

    async def test_a_failed_lookup_in_the_list_leaves_the_plain_nxdomain(self) -> None:
        def script(query, over):
            if "ec2" in str(query.question[0].name).lower():
                return [reply_to(query, rcode="SERVFAIL")]
            return external(query, over)

        async with upstream(script) as up, forwarding(engine=CONFIG, servers=(up.url,)) as server:
            reply = await Pods(server, pod()).query(ASKED)
        assert (rcode(reply), texts(reply)) == ("NXDOMAIN", [])
        assert "www.example.com." not in up.names()

    @pytest.mark.parametrize(
        "fields", [{"host_network": True}, {"dns_policy": "Default"}, {"ip": "10.244.0.8"}]
    )
    async def test_other_clients_get_the_plain_nxdomain(self, fields: dict[str, Any]) -> None:
        async with upstream(external) as up, forwarding(engine=CONFIG, servers=(up.url,)) as server:
            reply = await Pods(server, pod(**fields)).query(ASKED)
        assert rcode(reply) == "NXDOMAIN"
        assert not up.received

    async def test_a_reassigned_address_has_the_search_list_of_its_new_pod(self) -> None:
        async with upstream(external) as up, forwarding(engine=CONFIG, servers=(up.url,)) as server:
            pods = Pods(server, pod("old"))
            pods.clients.apply(
                compile_clients(
                    {**keyed(Pod("other", "new", (POD,), "Running")), pod("old").key: None}
                )
            )
            assert rcode(await pods.query(ASKED)) == "NXDOMAIN"

    async def test_clients_without_recursion_are_not_completed(self) -> None:
        config = EngineConfig(forwarding=True, allow_recursion=("127.0.0.0/8",))
        async with upstream(external) as up, forwarding(engine=config, servers=(up.url,)) as server:
            assert rcode(await Pods(server, pod()).query(ASKED)) == "NXDOMAIN"
            assert rcode(await Pods(server, pod()).query(ASKED, flags=0)) == "NXDOMAIN"
        assert not up.received

    async def test_other_types_and_existing_names_are_not_completed(self) -> None:
        async with (
            upstream(external) as up,
            forwarding(service("web", "10.96.0.9"), engine=CONFIG, servers=(up.url,)) as server,
        ):
            pods = Pods(server, pod())
            assert texts(await pods.query("web.default.svc.cluster.local."))
            assert rcode(await pods.query("web.default.svc.cluster.local.", "TXT")) == "NOERROR"
            assert rcode(await pods.query(ASKED, "SOA")) == "NXDOMAIN"
            assert rcode(await pods.query("_x._tcp.nope.default.svc.cluster.local.")) == "NXDOMAIN"
        assert "www.example.com." not in up.names()

    async def test_the_reply_keeps_its_edns_options(self) -> None:
        async with upstream(external) as up, forwarding(engine=CONFIG, servers=(up.url,)) as server:
            query = dns.edns.GenericOption(3, b"")
            reply = await Pods(server, pod()).query(ASKED, options=[query])
        assert [option.otype for option in reply.options] == [3]
        assert errors(reply) == []

    async def test_overload_gives_the_plain_nxdomain(self) -> None:
        waiting = asyncio.Event()

        async def script(query, over):
            if "slow" in str(query.question[0].name).lower():
                await waiting.wait()
            return external(query, over)

        async with (
            upstream(script) as up,
            forwarding(engine=CONFIG, servers=(up.url,), max_in_flight=1) as server,
        ):
            slow = asyncio.create_task(server.query("slow.example."))
            await eventually(lambda: server.resolver.active == 1)
            assert rcode(await Pods(server, pod()).query(ASKED)) == "NXDOMAIN"
            waiting.set()
            await slow


class TestBatches:
    NAMES = (ASKED, "web.default.svc.cluster.local.", "nope.other.svc.cluster.local.", "example.")

    async def test_only_denied_queries_of_pods_are_examined_and_none_is_answered_alone(
        self,
    ) -> None:
        async with forwarding(service("web", "10.96.0.9"), engine=CONFIG, servers=()) as server:
            stage = Pods(server, pod()).stage
            packets = [dns.message.make_query(name, "A").to_wire() for name in self.NAMES] * 2
            stride = max(map(len, packets))
            blob = b"".join(packet.ljust(stride, b"\0") for packet in packets)
            clients = [POD] * len(self.NAMES) + [b"\x0a\0\0\1"] * len(self.NAMES)
            outcomes, calls = calls_of(
                (Engine.answer, Engine.answer_batch, Engine.forward_denied),
                lambda: stage.answer_batch(blob, [*map(len, packets)], stride, clients, UDP),
            )
            alone = [
                stage.answer(packet, client, UDP)
                for packet, client in zip(packets, clients, strict=True)
            ]
        assert outcomes == alone
        kinds = [type(one) for one in outcomes]
        assert kinds == [Search, bytes, bytes, Forward, bytes, bytes, bytes, Forward]
        assert calls == [0, 1, 2]  # the two denied names, of the pod only

    async def test_a_search_holds_the_reply_of_the_engine(self) -> None:
        async with forwarding(engine=CONFIG, servers=()) as server:
            packet = dns.message.make_query(ASKED, "A").to_wire()
            search = Pods(server, pod()).stage.answer(packet, POD, UDP)
            assert isinstance(search, Search)
            assert search.denial == server.engine.answer(packet, POD, UDP)
            assert search.forward.local
