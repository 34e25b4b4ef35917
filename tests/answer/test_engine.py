"""The engine: batches of clients, rights of clients, changes, and what other parsers read."""

from __future__ import annotations

from collections import Counter

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from dnslib import DNSRecord

from dnsd.answer.settings import EngineConfig
from dnsd.dns.names import name_from_text
from dnsd.transport.registry import TCP, UDP
from dnsd.zone.settings import SchemaConfig
from tests.answer.building import SCHEMA, ZONE, ede_of, engine_of, feed, pipeline_of, reply_to
from tests.cases.cluster import endpoint, endpoint_slice, objects, port, service

PIPELINE = pipeline_of(objects())


class TestLeaves:
    """Names that exist by their records only (see `zones.py`)."""

    def test_nodata_has_the_soa_of_the_zone_also_if_apexes_end_alike(self) -> None:
        """The SOA of a negative reply is that of the zone, found by octets or by labels."""
        inner = name_from_text("svc.cluster.local.")
        for zones in ((ZONE,), (ZONE, inner)):
            plains = [service("web", "10.96.0.1", ports=[port(80, "http")])]
            engine = engine_of(pipeline_of(plains, SchemaConfig(zones=zones)))
            assert bool(engine.table.apart) == (len(zones) == 1)
            for name in ("web.prod", "_http._tcp.web.prod", "_tcp.web.prod", "WEB.prod"):
                reply = reply_to(engine, f"{name}.svc.cluster.local.", "AAAA")
                assert (reply.rcode(), reply.answer) == (0, [])
                assert reply.authority[0].name == dns.name.from_wire(zones[-1], 0)[0]
            assert reply_to(engine, "x.web.prod.svc.cluster.local.", "AAAA").rcode() == 3
        reply = reply_to(engine, "1.0.96.10.in-addr.arpa.", "A")
        assert (reply.rcode(), reply.answer) == (0, [])


class TestBatchesOfClients:
    """A batch gets the outcomes that its packets would get alone."""

    def test_the_rights_of_each_client_hold_in_a_batch(self) -> None:
        config = EngineConfig(forwarding=True, allow_recursion=("10.0.0.0/8",))
        inside, external = b"\x0a\0\0\1", b"\xc6\x33\x64\x01"
        names = ("web.prod", "nope.prod", "WEB.prod", "db.prod")
        packets = [dns.message.make_query(f"{n}.svc.cluster.local.", "A").to_wire() for n in names]
        packets.append(dns.message.make_query("www.example.", "A").to_wire())
        packets.append(b"\0" * 20)
        stride = max(map(len, packets))
        blob = b"".join(packet.ljust(stride, b"\0") for packet in packets)
        lengths = [len(packet) for packet in packets]
        engine, single = engine_of(PIPELINE, config), engine_of(PIPELINE, config)
        count = len(packets)
        for clients in (
            *([inside] * count, [external] * count) * 3,
            [inside, external] * (count // 2),
            [inside] * (count - 1) + [b"\x0a\0\0\2"],
        ):
            batch = engine.answer_batch(blob, lengths, stride, clients, UDP)
            for packet, client, outcome in zip(packets, clients, batch, strict=True):
                assert outcome == single.answer(packet, client, UDP)
        for client, ra in ((inside, 0x80), (external, 0), (inside, 0x80)):
            replies = engine.answer_batch(blob, lengths, stride, [client] * count, UDP)
            assert [one[3] & 0x80 for one in replies[:4] if isinstance(one, bytes)] == [ra] * 4


class TestRotation:
    """RFC 1794: each address of an RRset comes first equally often."""

    ENGINE = engine_of(
        pipeline_of(
            [
                *(service(name, "None", ports=[port(80)]) for name in ("two", "other", "three")),
                *(
                    endpoint_slice(name, *map(endpoint, addresses), ports=[port(80)], suffix=str(i))
                    for i, (name, addresses) in enumerate(
                        (
                            ("two", ("10.1.0.1", "10.1.0.2")),
                            ("two", ("fd00::1", "fd00::2")),
                            ("other", ("10.2.0.1", "10.2.0.2")),
                            ("three", ("10.3.0.1", "10.3.0.2", "10.3.0.3")),
                        )
                    )
                ),
            ]
        )
    )

    @pytest.mark.parametrize(
        "pairs",
        [
            [("two", "A")],
            [("three", "A")],
            [("two", "A"), ("two", "AAAA")],  # as the C library does
            [("two", "A"), ("other", "A")],
            [("two", "A"), ("two", "AAAA"), ("other", "A")],
            [("two", "A"), ("two", "AAAA"), ("three", "A"), ("other", "A")],
            [("two", "A")] * 7 + [("three", "A")] * 14,
        ],
    )
    def test_every_address_comes_first_equally_often(self, pairs: list[tuple[str, str]]) -> None:
        queries = [
            dns.message.make_query(f"{name}.prod.svc.cluster.local.", type_).to_wire()
            for name, type_ in pairs
        ]
        rounds = 400
        firsts = [Counter[bytes]() for _ in pairs]
        for _ in range(rounds):
            for query, first in zip(queries, firsts, strict=True):
                reply = self.ENGINE.answer(query, b"", UDP)
                assert isinstance(reply, bytes)
                parsed = dns.message.from_wire(reply)
                first[parsed.answer[0][0].to_wire()] += 1
        for (name, _), first in zip(pairs, firsts, strict=True):
            fair = rounds / (3 if name == "three" else 2)
            assert len(first) == (3 if name == "three" else 2)
            assert all(0.75 * fair < count < 1.25 * fair for count in first.values()), first


class TestClients:
    @pytest.mark.parametrize("client", [b"\x0a\0\0\1", bytes(15) + b"\1"])
    def test_an_empty_allow_query_matches_no_client(self, client: bytes) -> None:
        engine = engine_of(PIPELINE, EngineConfig(allow_query=()))
        assert engine.needs_client
        reply = reply_to(engine, "web.prod.svc.cluster.local.", client=client, use_edns=0)
        assert (reply.rcode(), ede_of(reply)) == (dns.rcode.REFUSED, [18])

    @pytest.mark.parametrize("client", [b"\x0a\0\0\1", bytes(15) + b"\1"])
    def test_an_empty_allow_recursion_matches_no_client(self, client: bytes) -> None:
        engine = engine_of(PIPELINE, EngineConfig(forwarding=True, allow_recursion=()))
        reply = reply_to(engine, "example.com.", client=client, use_edns=0)
        assert (reply.rcode(), ede_of(reply)) == (dns.rcode.REFUSED, [18])

    def test_clients_outside_allow_query_are_refused(self) -> None:
        engine = engine_of(PIPELINE, EngineConfig(allow_query=("10.0.0.0/8",)))
        assert engine.needs_client
        name = "web.prod.svc.cluster.local."
        assert reply_to(engine, name, client=b"\x0a\0\0\1").rcode() == 0
        reply = reply_to(engine, name, client=b"\x0b\0\0\1", use_edns=0)
        assert (reply.rcode(), ede_of(reply)) == (dns.rcode.REFUSED, [18])
        packet = dns.message.make_query(name, "A").to_wire()
        replies = engine.answer_batch(
            packet * 2, [len(packet)] * 2, len(packet), [b"\x0a\0\0\1", b"\x0b\0\0\1"], UDP
        )
        assert [reply[3] & 15 for reply in replies if isinstance(reply, bytes)] == [0, 5]

    def test_the_rights_of_a_bounded_number_of_clients_are_remembered(self) -> None:
        engine = engine_of(PIPELINE, EngineConfig(allow_query=("10.0.0.0/8",)))
        packet = dns.message.make_query("web.prod.svc.cluster.local.", "A").to_wire()
        for i in range(10_500):
            engine.answer(packet, b"\x0a" + i.to_bytes(3, "big"), UDP)
        assert 0 < len(engine.shared.access.remembered) <= 10_000


class TestOtherParsers:
    """Every compiled answer is the same records to dnspython and to dnslib (and to the zone)."""

    @pytest.mark.parametrize("schema", [SCHEMA, SchemaConfig(zones=(ZONE,), pods="insecure")])
    def test_every_answer_has_the_records_of_the_zone(self, schema: SchemaConfig) -> None:
        pipeline = pipeline_of(objects(), schema)
        engine = engine_of(pipeline)
        visible_rrsets = 0
        for rrset in pipeline.zone.rrsets():
            name = dns.name.from_wire(rrset.name, 0)[0]
            query = dns.message.make_query(name, dns.rdatatype.RdataType.make(rrset.type))
            wire = engine.answer(query.to_wire(), b"", TCP)
            assert isinstance(wire, bytes)
            one = dns.message.from_wire(wire)
            assert one.rcode() == 0 or one.answer == []
            if one.rcode():
                continue  # loops of CNAMEs
            other = DNSRecord.parse(wire)
            assert len(other.rr) == sum(len(found) for found in one.answer)
            (first, *_) = one.answer
            assert first.name == name
            assert first.ttl == rrset.ttl
            assert {record.to_wire() for record in first} == set(rrset.rdatas)
            assert {str(rr.rname).lower() for rr in other.rr} == {
                str(found.name).lower() for found in one.answer
            }
            visible_rrsets += 1
        assert visible_rrsets > 300


class TestChanges:
    """A frame of a Change takes the table where a build from scratch would."""

    def test_a_service_comes_changes_and_goes(self) -> None:
        pipeline = pipeline_of([])
        engine = engine_of(pipeline)
        name = "x.prod.svc.cluster.local."
        assert reply_to(engine, name).rcode() == 3
        for frame in feed(pipeline, [service("x", "10.96.1.1", ports=[port(80, "p")])]):
            engine.apply(frame)
        assert reply_to(engine, name).answer[0][0].to_text() == "10.96.1.1"
        srv = reply_to(engine, f"_p._tcp.{name}", "SRV")
        assert srv.additional[0][0].to_text() == "10.96.1.1"
        serial = reply_to(engine, "cluster.local.", "SOA").answer[0][0].serial
        for frame in feed(pipeline, [service("x", "10.96.1.2", ports=[port(80, "p")])]):
            engine.apply(frame)
        assert reply_to(engine, name).answer[0][0].to_text() == "10.96.1.2"
        # The SRV record is what it was, its additional record is not.
        srv = reply_to(engine, f"_p._tcp.{name}", "SRV")
        assert srv.additional[0][0].to_text() == "10.96.1.2"
        assert reply_to(engine, "1.1.96.10.in-addr.arpa.", "PTR").rcode() == 3
        assert reply_to(engine, "2.1.96.10.in-addr.arpa.", "PTR").answer
        negative = reply_to(engine, f"nope.{name}")
        assert negative.authority[0][0].serial == serial + 1
