"""The engine: the fast way against the complete way, states, EDNS options, rotation, chains."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.engine import Engine
from dnsd.answer.fast import Shapes, ShapeTable
from dnsd.answer.options import OPTIONS
from dnsd.answer.outcome import Forward, counter_names
from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import REMEMBERED_REPLIES, Shared
from dnsd.answer.transport import Transport
from dnsd.dns.names import name_from_text
from dnsd.transport.registry import TCP, TRANSPORTS, UDP
from dnsd.zone.compile import compile_all
from dnsd.zone.frame import FRESH, NOT_READY, STALE, compile_state
from dnsd.zone.settings import SchemaConfig
from tests.answer.building import SCHEMA, ZONE, ask, engine_of, feed, pipeline_of
from tests.cases.cluster import endpoint, endpoint_slice, external, objects, port, service

PIPELINE = pipeline_of(objects())
TYPES = ["A", "AAAA", "SRV", "PTR", "CNAME", "SOA", "MX", "NS", "TXT"]
NAMES = [dns.name.from_wire(name, 0)[0].to_text() for name in PIPELINE.zone.names()]


def ede_of(reply: dns.message.Message) -> list[int]:
    return [one.code for one in reply.options if one.otype == dns.edns.OptionType.EDE]


def complete_way(engine: Engine, *frames: bytes) -> Engine:
    """An engine with these frames that reads every query in full: it has no shapes."""

    class NoShapes(Shapes):
        def of(self, state: int) -> tuple[ShapeTable, ...]:
            return super().of(NOT_READY)

    config, transports = engine.shared.config, engine.shared.transports
    shared = Shared(config, transports)
    shared.shapes = NoShapes(config, transports)
    complete = Engine(config, transports, shared)
    for frame in frames:
        complete.apply(frame)
    return complete


def both_ways(config: EngineConfig, state: int) -> tuple[Engine, Engine]:
    """Two engines over the same zone; the second one has only the complete way."""
    engine = engine_of(PIPELINE, config, state)
    return engine, complete_way(engine, *compile_all(PIPELINE.zone), compile_state(state))


def agree(fast: Engine, complete: Engine, packet: bytes, transport: Transport) -> None:
    """Both engines answer the packet alike, alone and three times in batches.

    In the later batches the reply may be one that is remembered. Both engines get the same
    queries, so their rotation stays in step.
    """
    assert fast.answer(packet, b"", transport) == complete.answer(packet, b"", transport)
    for _ in range(3):
        batch = fast.answer_batch(packet, [len(packet)], len(packet), None, transport)
        assert batch == [complete.answer(packet, b"", transport)]


USUAL_NAMES = ("web.prod", "WEB.prod", "nope.prod", "_http._tcp.web.prod", "big.prod")
COOKIE, PADDING = 10, 12
CLIENT_COOKIE = (COOKIE, bytes(range(8)))


class TestFastWay:
    """The fast way and the complete way make the same reply, octet for octet."""

    @pytest.mark.parametrize("state", [FRESH, STALE, NOT_READY])
    def test_it_agrees_with_the_complete_way(self, state: int) -> None:
        fast, complete = both_ways(EngineConfig(), state)

        @settings(max_examples=400, deadline=None)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            name = data.draw(st.sampled_from(NAMES))
            name = data.draw(st.sampled_from(["", "nope.", "a.b.c.d.e.f.", "_x."])) + name
            if data.draw(st.booleans()):
                name = name.swapcase()
            type_ = data.draw(st.sampled_from(TYPES))
            query = dns.message.make_query(name, type_)
            query.flags = data.draw(st.sampled_from([0, 0x100, 0x120, 0x110, 0x130, 0x20]))
            if data.draw(st.booleans()):
                size = data.draw(st.sampled_from([0, 512, 1232, 1233, 4096, 65535]))
                query.use_edns(0, data.draw(st.sampled_from([0, 0x8000])), size)
            packet = bytearray(query.to_wire(max_size=65535))
            if data.draw(st.integers(0, 3)) == 0:
                at = data.draw(st.integers(0, len(packet) - 1))
                packet[at] = data.draw(st.integers(0, 255))
            agree(fast, complete, bytes(packet), data.draw(st.sampled_from(list(TRANSPORTS))))

        check()

    @pytest.mark.parametrize("state", [FRESH, STALE])
    def test_it_agrees_about_edns_options_of_all_lengths_and_orders(self, state: int) -> None:
        """Cookies, padding, other options, and packets that are damaged or cut."""
        fast, complete = both_ways(EngineConfig(nsid=b"node-7", tcp_keepalive=42), state)
        opt = b"\x00\x00\x29"  # the beginning of an OPT record, also where it does not belong
        codes = st.sampled_from([COOKIE, COOKIE, PADDING, PADDING, 3, 5, 8, 11, 15, 65001])
        octets = st.one_of(
            st.binary(max_size=45),
            st.integers(0, 200).map(bytes),
            st.just(opt + b"\x04\xd0" + bytes(6)),
            st.just(b"\0\1\x18\0\x0a\1\2"),  # a client subnet
        )

        @settings(max_examples=300, deadline=None)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            name = data.draw(st.sampled_from(NAMES))
            name = data.draw(st.sampled_from(["", "nope.", "a\\000\\000\\041b."])) + name
            query = dns.message.make_query(name, data.draw(st.sampled_from([*TYPES, "OPT"])))
            query.flags = data.draw(st.sampled_from([0, 0x100, 0x120]))
            options = data.draw(st.lists(st.tuples(codes, octets), min_size=1, max_size=6))
            generic = [dns.edns.GenericOption(code, value) for code, value in options]
            size = data.draw(st.sampled_from([512, 1232, 1233, 4096]))
            query.use_edns(0, data.draw(st.sampled_from([0, 0x8000])), size, options=generic)
            packet = bytearray(query.to_wire(max_size=65535))
            damage = data.draw(st.sampled_from(["", "", "octet", "cut", "longer", "length"]))
            if damage == "octet":
                packet[data.draw(st.integers(2, len(packet) - 1))] = data.draw(st.integers(0, 255))
            elif damage == "cut":
                del packet[data.draw(st.integers(12, len(packet) - 1)) :]
            elif damage == "longer":
                packet += data.draw(st.binary(min_size=1, max_size=12))
            elif damage == "length":
                at = packet.rindex(opt) + 9
                packet[at : at + 2] = data.draw(st.integers(0, 300)).to_bytes(2, "big")
            agree(fast, complete, bytes(packet), data.draw(st.sampled_from(list(TRANSPORTS))))

        check()

    @pytest.mark.parametrize("length", range(45))
    @pytest.mark.parametrize("code", [COOKIE, PADDING])
    def test_it_agrees_about_each_length_of_a_cookie_and_of_padding(
        self, code: int, length: int
    ) -> None:
        fast, complete = both_ways(EngineConfig(), FRESH)
        for options in ([(code, bytes(length))], [(code, b"x" * length), CLIENT_COOKIE]):
            for name in USUAL_NAMES:
                packet = query_with(name, options)
                agree(fast, complete, packet, UDP)
                agree(fast, complete, packet[:-1], UDP)

    def test_a_remembered_reply_is_used_only_if_a_cookie_is_all_that_differs(self) -> None:
        """The last eight octets may be another option behind what looks like a cookie's head."""
        config = EngineConfig(nsid=b"node-7")
        fast, complete = both_ways(config, FRESH)
        head = b"\0\x0c\0\x0a\0\x08"
        for last in ((65001, b"1234"), (3, b"1234"), (8, b"\0\1\0\0"), (65001, b"4321")):
            agree(fast, complete, query_with("web.prod", [(65001, b"??" + head), last]), UDP)
        for cookie in (b"12345678", b"\0\3\0\4abcd", b"\0\3\0\xffabcd"):
            agree(fast, complete, query_with("web.prod", [(COOKIE, cookie)]), UDP)
            agree(fast, complete, query_with("web.prod", [(PADDING, cookie)]), UDP)
            agree(fast, complete, query_with("web.prod", [(3, cookie)]), UDP)

    @pytest.mark.parametrize(
        "options",
        [
            None,
            [],
            [CLIENT_COOKIE],
            [(COOKIE, bytes(16))],
            [(COOKIE, bytes(40))],
            [(PADDING, bytes(100))],
            [CLIENT_COOKIE, (PADDING, bytes(64))],
            [(PADDING, b""), (COOKIE, bytes(24)), (65001, b"?")],
        ],
    )
    def test_a_usual_query_never_takes_the_complete_way(
        self, options: list[tuple[int, bytes]] | None
    ) -> None:
        engine = engine_of(PIPELINE)
        for name in USUAL_NAMES:
            for type_ in ("A", "SRV"):
                packet = query_with(name, options, type_)
                for transport in TRANSPORTS:
                    assert engine.answer(packet, b"", transport)
                assert engine.answer_batch(packet, [len(packet)], len(packet), None, UDP)
        assert engine.shared.counters.complete == 0

    @pytest.mark.parametrize("code", OPTIONS)
    def test_a_query_with_an_option_of_the_table_takes_the_complete_way(self, code: int) -> None:
        engine = engine_of(PIPELINE)
        engine.answer(query_with("web.prod", [CLIENT_COOKIE, (code, bytes(4))]), b"", UDP)
        assert engine.shared.counters.complete == 1


def query_with(name: str, options: list[tuple[int, bytes]] | None, type_: str = "A") -> bytes:
    """A query for a name in svc.cluster.local.; `options` None: without an OPT record."""
    query = dns.message.make_query(f"{name}.svc.cluster.local.", type_)
    if options is not None:
        query.use_edns(
            payload=1232, options=[dns.edns.GenericOption(code, data) for code, data in options]
        )
    return query.to_wire()


class TestLeaves:
    """Names that exist by their records only are as good as any other."""

    def test_other_types_and_apexes_that_end_alike(self) -> None:
        """The SOA of a negative reply is that of the zone, found by octets or by labels."""
        inner = name_from_text("svc.cluster.local.")
        for zones in ((ZONE,), (ZONE, inner)):
            plains = [service("web", "10.96.0.1", ports=[port(80, "http")])]
            engine = engine_of(pipeline_of(plains, SchemaConfig(zones=zones)))
            assert bool(engine.table.apart) == (len(zones) == 1)
            for name in ("web.prod", "_http._tcp.web.prod", "_tcp.web.prod", "WEB.prod"):
                reply = ask(engine, f"{name}.svc.cluster.local.", "AAAA")
                assert (reply.rcode(), reply.answer) == (0, [])
                assert reply.authority[0].name == dns.name.from_wire(zones[-1], 0)[0]
            assert ask(engine, "x.web.prod.svc.cluster.local.", "AAAA").rcode() == 3
        reply = ask(engine, "1.0.96.10.in-addr.arpa.", "A")
        assert (reply.rcode(), reply.answer) == (0, [])


class TestUnknown:
    """Below some names nobody knows what exists: what does is answered, the rest not denied."""

    UNKNOWN = name_from_text("prod.svc.cluster.local.")

    def reply(self, engine: Engine, name: str) -> tuple[int, list[int]]:
        reply = ask(engine, name, use_edns=0)
        return reply.rcode(), ede_of(reply)

    def test_servfail_instead_of_nxdomain_and_nothing_else(self) -> None:
        plains = [
            service("web", "10.96.0.1"),
            external("in", "x.prod.svc.cluster.local."),
        ]
        engine = engine_of(pipeline_of(plains))
        engine.apply(compile_state(FRESH, 0, (self.UNKNOWN,)))
        not_ready = (dns.rcode.SERVFAIL, [14])
        for name in ("nope.prod.svc", "NOPE.prod.svc", "a.b.c.d.e.f.g.prod.svc", "x.web.prod.svc"):
            assert self.reply(engine, f"{name}.cluster.local.") == not_ready
        assert self.reply(engine, "in.prod.svc.cluster.local.") == not_ready  # by its target
        assert self.reply(engine, "web.prod.svc.cluster.local.") == (0, [])
        assert self.reply(engine, "prod.svc.cluster.local.") == (0, [])
        for name in ("nope.other.svc", "nope.xprod.svc", "prod.pod"):
            assert self.reply(engine, f"{name}.cluster.local.") == (dns.rcode.NXDOMAIN, [])
        engine.apply(compile_state(FRESH))
        assert self.reply(engine, "nope.prod.svc.cluster.local.") == (dns.rcode.NXDOMAIN, [])


class TestRememberedReplies:
    """What is remembered is never older than the table, and never more than it may be."""

    def test_gone_with_the_next_frame(self) -> None:
        pipeline = pipeline_of(objects())
        engine = engine_of(pipeline)
        packet = dns.message.make_query("web.prod.svc.cluster.local.", "A").to_wire()
        size = len(packet)
        first = engine.answer_batch(packet * 2, [size] * 2, size, None, UDP)
        assert first[0] == first[1]
        for frame in feed(pipeline, [service("web", "10.96.0.77")]):
            engine.apply(frame)
        (second,) = engine.answer_batch(packet, [size], size, None, UDP)
        assert isinstance(second, bytes)
        assert second.endswith(b"\x0a\x60\x00\x4d")
        engine.apply(compile_state(NOT_READY))
        (third,) = engine.answer_batch(packet, [size], size, None, UDP)
        assert isinstance(third, bytes)
        assert third[3] & 15 == dns.rcode.SERVFAIL

    def test_made_up_names_and_cases_are_not_remembered(self) -> None:
        engine = engine_of(PIPELINE)
        for name in ("nope.prod", "WEB.prod", "db.prod"):
            packet = dns.message.make_query(f"{name}.svc.cluster.local.", "A").to_wire()
            engine.answer_batch(packet, [len(packet)], len(packet), None, UDP)
        assert engine.shared.budget == REMEMBERED_REPLIES

    def test_bounded(self) -> None:
        plains = [service(f"s{i}", f"10.97.{i // 250}.{i % 250}") for i in range(2100)]
        engine = engine_of(pipeline_of(plains))
        for flags in (0, 0x100, 0x110, 0x120, 0x130, 0x20, 0x10, 0x30):
            query = dns.message.make_query("s.prod.svc.cluster.local.", "A")
            query.flags = flags
            for i in range(2100):
                packet = query.to_wire().replace(
                    b"\x01s\x04", f"{chr(len(str(i)) + 1)}s{i}\4".encode()
                )
                assert engine.answer_batch(packet, [len(packet)], len(packet), None, UDP)[0]
        assert engine.shared.budget == 0
        engine.apply(compile_state(FRESH))
        packet = query_with("s1.prod", None)
        engine.answer_batch(packet, [len(packet)], len(packet), None, UDP)
        assert engine.shared.budget == REMEMBERED_REPLIES - 1

    def test_queries_with_a_cookie_or_padding_use_no_more_memory(self) -> None:
        engine = engine_of(PIPELINE)
        for i in range(100):
            for options in ([(COOKIE, i.to_bytes(8, "big"))], [(PADDING, bytes(i))]):
                packet = query_with("web.prod", options)
                engine.answer_batch(packet, [len(packet)], len(packet), None, UDP)
        assert engine.shared.budget >= REMEMBERED_REPLIES - 1


class TestBatchesOfClients:
    """A batch says what one packet at a time would have been told, whoever they are from."""

    def test_alike_mixed_and_new(self) -> None:
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


class TestStates:
    """RFC 8914: what the data is worth is said, and never NXDOMAIN before it is known."""

    def test_not_ready(self) -> None:
        engine = engine_of(PIPELINE, state=NOT_READY)
        for name in (
            "web.prod.svc.cluster.local.",
            "nope.cluster.local.",
            "1.0.96.10.in-addr.arpa.",
        ):
            reply = ask(engine, name, use_edns=0)
            assert reply.rcode() == dns.rcode.SERVFAIL
            assert ede_of(reply) == [14]
            assert ask(engine, name).edns == -1

    def test_not_ready_is_about_our_zones(self) -> None:
        engine = engine_of(PIPELINE, state=NOT_READY)
        assert ede_of(ask(engine, "example.com.", use_edns=0)) == [20]

    def test_before_any_frame(self) -> None:
        """Not even which zones are ours is known."""
        reply = ask(Engine(EngineConfig(), TRANSPORTS), "web.prod.svc.cluster.local.", use_edns=0)
        assert (reply.rcode(), ede_of(reply)) == (dns.rcode.SERVFAIL, [14])

    def test_stale(self) -> None:
        engine = engine_of(PIPELINE, state=STALE)
        assert ede_of(ask(engine, "web.prod.svc.cluster.local.", use_edns=0)) == [3]
        assert ede_of(ask(engine, "web.prod.svc.cluster.local.", "AAAA", use_edns=0)) == [3]
        nx = ask(engine, "nope.prod.svc.cluster.local.", use_edns=0)
        assert (nx.rcode(), ede_of(nx)) == (dns.rcode.NXDOMAIN, [19])
        assert ede_of(ask(engine, "google.prod.svc.cluster.local.", use_edns=0)) == [3]
        assert ask(engine, "web.prod.svc.cluster.local.").edns == -1

    def test_comes_and_goes(self) -> None:
        engine = engine_of(PIPELINE, state=STALE)
        ask(engine, "web.prod.svc.cluster.local.")
        engine.apply(compile_state(FRESH))
        assert ede_of(ask(engine, "web.prod.svc.cluster.local.", use_edns=0)) == []


class TestEdnsOptions:
    """RFC 5001, RFC 7828: answered where asked for, and nowhere else."""

    CONFIG = EngineConfig(nsid=b"pod-7", tcp_keepalive=42)

    def options(self, transport: Transport, *codes: int) -> dict[int, bytes]:
        generic = [dns.edns.GenericOption(code, b"") for code in codes]
        reply = ask(
            engine_of(PIPELINE, self.CONFIG),
            "web.prod.svc.cluster.local.",
            transport=transport,
            use_edns=0,
            options=generic,
        )
        return {int(one.otype): one.to_wire() for one in reply.options}

    def test_nsid(self) -> None:
        assert self.options(UDP, 3) == {3: b"pod-7"}
        assert self.options(UDP) == {}

    @pytest.mark.parametrize("octets", [200, 226, 227, 255, 480, 70_000])
    @pytest.mark.parametrize("name", ["web.prod.svc.cluster.local.", f"{'a.' * 114}cluster.local."])
    @pytest.mark.parametrize("transport", TRANSPORTS)
    @pytest.mark.parametrize("state", [FRESH, STALE])
    def test_nsid_is_left_out_rather_than_too_much(
        self, octets: int, name: str, transport: Transport, state: int
    ) -> None:
        """Whatever is configured, no reply is larger than its client can take."""
        assert len(dns.name.from_text(name).to_wire() or b"") in (28, 243)
        config = EngineConfig(nsid=b"n" * octets, version_text="v" * octets)
        engine = engine_of(PIPELINE, config, state)
        for asked, cls in ((name, "IN"), ("version.bind.", "CH")):
            options = [dns.edns.GenericOption(3, b"")]
            query = dns.message.make_query(
                asked, "TXT", cls, use_edns=0, payload=512, options=options
            )
            wire = engine.answer(query.to_wire(), b"", transport)
            assert isinstance(wire, bytes)
            assert len(wire) <= (512 if transport.datagram else 65535)
            reply = dns.message.from_wire(wire)
            assert reply.edns == 0
            told = [one.to_wire() for one in reply.options if int(one.otype) == 3]
            assert told in ([], [config.nsid])
            fits = 12 + len(query.question[0].name.to_wire() or b"") + 4 + 11 + 4 + octets + 6
            if fits <= (512 if transport.datagram else 65535):
                assert told
            assert bool(reply.flags & dns.flags.TC) == (not reply.answer and not reply.authority)

    def test_keepalive(self) -> None:
        assert self.options(TCP, 11) == {11: b"\x00\x2a"}
        assert self.options(UDP, 11) == {}
        assert self.options(TCP) == {}

    def test_do_comes_back(self) -> None:
        reply = ask(engine_of(PIPELINE), "web.prod.svc.cluster.local.", want_dnssec=True)
        assert reply.ednsflags & dns.flags.DO
        assert not reply.flags & dns.flags.AD


class TestRotation:
    """RFC 1794: the addresses of a set take turns at being first, however they are asked for."""

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
        "asked",
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
    def test_every_address_comes_first_equally_often(self, asked: list[tuple[str, str]]) -> None:
        queries = [
            dns.message.make_query(f"{name}.prod.svc.cluster.local.", type_).to_wire()
            for name, type_ in asked
        ]
        rounds = 400
        firsts = [Counter[bytes]() for _ in asked]
        for _ in range(rounds):
            for query, first in zip(queries, firsts, strict=True):
                reply = self.ENGINE.answer(query, b"", UDP)
                assert isinstance(reply, bytes)
                parsed = dns.message.from_wire(reply)
                first[parsed.answer[0][0].to_wire()] += 1
        for (name, _), first in zip(asked, firsts, strict=True):
            fair = rounds / (3 if name == "three" else 2)
            assert len(first) == (3 if name == "three" else 2)
            assert all(0.75 * fair < count < 1.25 * fair for count in first.values()), first


class TestClients:
    @pytest.mark.parametrize("client", [b"\x0a\0\0\1", bytes(15) + b"\1"])
    def test_an_empty_allow_query_matches_no_client(self, client: bytes) -> None:
        engine = engine_of(PIPELINE, EngineConfig(allow_query=()))
        assert engine.needs_client
        reply = ask(engine, "web.prod.svc.cluster.local.", client=client, use_edns=0)
        assert (reply.rcode(), ede_of(reply)) == (dns.rcode.REFUSED, [18])

    @pytest.mark.parametrize("client", [b"\x0a\0\0\1", bytes(15) + b"\1"])
    def test_an_empty_allow_recursion_matches_no_client(self, client: bytes) -> None:
        engine = engine_of(PIPELINE, EngineConfig(forwarding=True, allow_recursion=()))
        reply = ask(engine, "example.com.", client=client, use_edns=0)
        assert (reply.rcode(), ede_of(reply)) == (dns.rcode.REFUSED, [18])

    def test_allow_query(self) -> None:
        engine = engine_of(PIPELINE, EngineConfig(allow_query=("10.0.0.0/8",)))
        assert engine.needs_client
        name = "web.prod.svc.cluster.local."
        assert ask(engine, name, client=b"\x0a\0\0\1").rcode() == 0
        reply = ask(engine, name, client=b"\x0b\0\0\1", use_edns=0)
        assert (reply.rcode(), ede_of(reply)) == (dns.rcode.REFUSED, [18])
        packet = dns.message.make_query(name, "A").to_wire()
        replies = engine.answer_batch(
            packet * 2, [len(packet)] * 2, len(packet), [b"\x0a\0\0\1", b"\x0b\0\0\1"], UDP
        )
        assert [reply[3] & 15 for reply in replies if isinstance(reply, bytes)] == [0, 5]

    def test_memory_is_bounded(self) -> None:
        engine = engine_of(PIPELINE, EngineConfig(allow_query=("10.0.0.0/8",)))
        packet = dns.message.make_query("web.prod.svc.cluster.local.", "A").to_wire()
        for i in range(10_500):
            engine.answer(packet, b"\x0a" + i.to_bytes(3, "big"), UDP)
        assert 0 < len(engine.shared.access) <= 10_000


class TestAsk:
    """The third outcome: names that are not ours, for clients we resolve for."""

    CONFIG = EngineConfig(forwarding=True, allow_recursion=("10.0.0.0/8",))
    FRIEND, STRANGER = b"\x0a\0\0\1", b"\xc0\0\x02\x01"

    def outcome(self, name: str, client: bytes, flags: int = 0x100) -> bytes | Forward | None:
        query = dns.message.make_query(name, "A", use_edns=0)
        query.flags = flags
        return engine_of(PIPELINE, self.CONFIG).answer(query.to_wire(), client, UDP)

    def test_not_ours(self) -> None:
        asked = self.outcome("WWW.example.com.", self.FRIEND)
        assert isinstance(asked, Forward)
        assert asked.name == b"\x03www\x07example\x03com\x00"
        assert asked.question.startswith(b"\x03WWW\x07example")
        assert not asked.local
        assert (asked.type, asked.limit, asked.edns, asked.rd) == (1, 1232, True, True)

    def test_external_name(self) -> None:
        asked = self.outcome("google.prod.svc.cluster.local.", self.FRIEND)
        assert isinstance(asked, Forward)
        assert asked.local
        assert asked.name == b"\x06google\x03com\x00"
        assert asked.chained == 1
        assert asked.chain.endswith(asked.name)

    def test_recursion_available_only_for_those(self) -> None:
        ours = self.outcome("web.prod.svc.cluster.local.", self.FRIEND)
        theirs = self.outcome("web.prod.svc.cluster.local.", self.STRANGER)
        assert isinstance(ours, bytes)
        assert isinstance(theirs, bytes)
        assert (ours[3] & 0x80, theirs[3] & 0x80) == (0x80, 0)
        refused = self.outcome("example.com.", self.STRANGER)
        assert isinstance(refused, bytes)
        assert ede_of(dns.message.from_wire(refused)) == [18]
        plain = self.outcome("google.prod.svc.cluster.local.", self.STRANGER)
        assert isinstance(plain, bytes)
        assert dns.message.from_wire(plain).rcode() == 0

    def test_without_rd_nothing_is_asked(self) -> None:
        refused = self.outcome("example.com.", self.FRIEND, flags=0)
        assert isinstance(refused, bytes)
        assert ede_of(dns.message.from_wire(refused)) == [20]
        assert isinstance(self.outcome("google.prod.svc.cluster.local.", self.FRIEND, 0), bytes)


class TestPods:
    """Pod names in mode insecure: any address in a namespace that exists."""

    ENGINE = engine_of(
        pipeline_of(objects(), SchemaConfig(zones=(ZONE,), pods="insecure")), EngineConfig()
    )

    @pytest.mark.parametrize(
        ("name", "type_", "rcode", "answers"),
        [
            ("1-2-3-4.prod", "A", 0, ["1.2.3.4"]),
            ("1-2-3-4.PROD", "A", 0, ["1.2.3.4"]),
            ("1-2-3-4.prod", "AAAA", 0, []),
            ("fd00--1.prod", "AAAA", 0, ["fd00::1"]),
            ("fd00--1.prod", "A", 0, []),
            ("1-2-3-4.prod", "ANY", 0, ['"RFC8482" ""']),
            ("prod", "ANY", 0, []),
            ("1-2-3-4.nowhere", "A", 3, []),
            ("::1.prod", "AAAA", 3, []),
            ("fe80::1.prod", "AAAA", 3, []),
            ("fe80--1%eth0.prod", "AAAA", 3, []),
            ("--ffff-1\\.2\\.3\\.4.prod", "AAAA", 3, []),
            ("web.prod", "A", 3, []),
            ("x.1-2-3-4.prod", "A", 3, []),
            ("prod", "A", 0, []),
        ],
    )
    def test_by_form(self, name: str, type_: str, rcode: int, answers: list[str]) -> None:
        reply = ask(self.ENGINE, f"{name}.pod.cluster.local.", type_)
        assert reply.rcode() == rcode
        assert [r.to_text() for rrset in reply.answer for r in rrset] == answers
        assert bool(reply.authority) == (not answers)


class TestChains:
    def test_pointer_out_of_reach(self) -> None:
        """A chain whose records are long ends in a correct message all the same."""
        label = "x" * 60
        pipeline = pipeline_of(
            [
                service("None0", ns="prod") | {"metadata": {"name": "a", "namespace": "prod"}},
                external("long", f"{label}.{label}.{label}.example.com"),
            ]
        )
        reply = ask(engine_of(pipeline), "long.prod.svc.cluster.local.")
        (rrset,) = reply.answer
        assert rrset.rdtype == dns.rdatatype.CNAME
        assert rrset[0].target.to_text() == f"{label}.{label}.{label}.example.com."

    def test_to_many_addresses(self) -> None:
        many = [endpoint(f"10.1.{i // 250}.{i % 250}") for i in range(2000)]
        pipeline = pipeline_of(
            [
                service("all", "None", ports=[port(80)]),
                endpoint_slice("all", *many, ports=[port(80)]),
                external("to-all", "all.prod.svc.cluster.local"),
            ]
        )
        engine = engine_of(pipeline)
        assert ask(engine, "to-all.prod.svc.cluster.local.").flags & dns.flags.TC
        reply = ask(engine, "to-all.prod.svc.cluster.local.", transport=TCP)
        assert sum(len(rrset) for rrset in reply.answer) == 2001


class TestHuge:
    def test_more_than_a_message_holds(self) -> None:
        """Half of the addresses beat none: the set is cut at what TCP can carry."""
        many = [endpoint(f"10.{i // 65536}.{i // 256 % 256}.{i % 256}") for i in range(6000)]
        pipeline = pipeline_of(
            [
                service("all", "None", ports=[port(80, "p")]),
                endpoint_slice("all", *many, ports=[port(80, "p")]),
            ]
        )
        engine = engine_of(pipeline)
        for type_, name in (("A", "all"), ("SRV", "_p._tcp.all")):
            query = dns.message.make_query(f"{name}.prod.svc.cluster.local.", type_, use_edns=0)
            wire = engine.answer(query.to_wire(), b"", TCP)
            assert isinstance(wire, bytes)
            assert len(wire) <= 65535
            reply = dns.message.from_wire(wire)
            assert not reply.flags & dns.flags.TC
            assert len(reply.answer[0]) > 900


class TestSeenByOthers:
    """Every compiled answer is the same records to dnspython and to dnslib (and to the zone)."""

    @pytest.mark.parametrize("schema", [SCHEMA, SchemaConfig(zones=(ZONE,), pods="insecure")])
    def test_all_of_them(self, schema: SchemaConfig) -> None:
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


class TestCounters:
    def test_each_query_is_counted_once(self) -> None:
        engine = engine_of(PIPELINE)
        before = engine.counters()
        ask(engine, "web.prod.svc.cluster.local.")
        ask(engine, "web.prod.svc.cluster.local.", "AAAA", transport=TCP)
        ask(engine, "nope.prod.svc.cluster.local.", "TYPE1234")
        ask(engine, "example.com.")
        engine.answer(b"", b"", UDP)
        moved = {
            name: after - was
            for name, was, after in zip(
                counter_names(TRANSPORTS), before, engine.counters(), strict=True
            )
            if after != was
        }
        assert moved == {
            "queries.udp.A.answer": 1,
            "queries.tcp.AAAA.nodata": 1,
            "queries.udp.other.nxdomain": 1,
            "queries.udp.A.refused": 1,
            "dropped": 1,
        }


class TestChanges:
    """A frame of a Change takes the table where a build from scratch would."""

    def test_a_service_comes_changes_and_goes(self) -> None:
        pipeline = pipeline_of([])
        engine = engine_of(pipeline)
        name = "x.prod.svc.cluster.local."
        assert ask(engine, name).rcode() == 3
        for frame in feed(pipeline, [service("x", "10.96.1.1", ports=[port(80, "p")])]):
            engine.apply(frame)
        assert ask(engine, name).answer[0][0].to_text() == "10.96.1.1"
        srv = ask(engine, f"_p._tcp.{name}", "SRV")
        assert srv.additional[0][0].to_text() == "10.96.1.1"
        serial = ask(engine, "cluster.local.", "SOA").answer[0][0].serial
        for frame in feed(pipeline, [service("x", "10.96.1.2", ports=[port(80, "p")])]):
            engine.apply(frame)
        assert ask(engine, name).answer[0][0].to_text() == "10.96.1.2"
        # The SRV record is what it was, its additional record is not.
        srv = ask(engine, f"_p._tcp.{name}", "SRV")
        assert srv.additional[0][0].to_text() == "10.96.1.2"
        assert ask(engine, "1.1.96.10.in-addr.arpa.", "PTR").rcode() == 3
        assert ask(engine, "2.1.96.10.in-addr.arpa.", "PTR").answer
        negative = ask(engine, f"nope.{name}")
        assert negative.authority[0][0].serial == serial + 1
