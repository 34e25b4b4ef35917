"""The complete path: states, external names, pod names by form, and chains of CNAMEs."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from dnsd.answer.engine import Engine
from dnsd.answer.outcome import Forward
from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import Shared
from dnsd.dns.names import name_from_text
from dnsd.transport.registry import TCP, TRANSPORTS, UDP
from dnsd.zone.frame import FRESH, NOT_READY, STALE, compile_state
from dnsd.zone.settings import SchemaConfig
from tests.answer.building import ZONE, ede_of, engine_of, pipeline_of, reply_to
from tests.cases.cluster import endpoint, endpoint_slice, external, objects, port, service

PIPELINE = pipeline_of(objects())


class TestUnknownNames:
    """Below unknown names, what exists is answered, and nothing is denied (RFC 8914)."""

    UNKNOWN = name_from_text("prod.svc.cluster.local.")

    def reply(self, engine: Engine, name: str) -> tuple[int, list[int]]:
        reply = reply_to(engine, name, use_edns=0)
        return reply.rcode(), ede_of(reply)

    def test_they_get_servfail_instead_of_nxdomain(self) -> None:
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


class TestStates:
    """RFC 8914: replies state what the data is worth; nothing is denied before it is known."""

    def test_before_the_data_is_ready_names_get_servfail(self) -> None:
        engine = engine_of(PIPELINE, state=NOT_READY)
        for name in (
            "web.prod.svc.cluster.local.",
            "nope.cluster.local.",
            "1.0.96.10.in-addr.arpa.",
        ):
            reply = reply_to(engine, name, use_edns=0)
            assert reply.rcode() == dns.rcode.SERVFAIL
            assert ede_of(reply) == [14]
            assert reply_to(engine, name).edns == -1

    def test_before_the_data_is_ready_external_names_are_refused(self) -> None:
        engine = engine_of(PIPELINE, state=NOT_READY)
        assert ede_of(reply_to(engine, "example.com.", use_edns=0)) == [20]

    def test_before_the_first_frame_every_name_gets_servfail(self) -> None:
        """Not even the zones of dnsd are known."""
        reply = reply_to(
            Engine(Shared(EngineConfig(), TRANSPORTS)), "web.prod.svc.cluster.local.", use_edns=0
        )
        assert (reply.rcode(), ede_of(reply)) == (dns.rcode.SERVFAIL, [14])

    def test_stale_data_has_an_extended_error(self) -> None:
        engine = engine_of(PIPELINE, state=STALE)
        assert ede_of(reply_to(engine, "web.prod.svc.cluster.local.", use_edns=0)) == [3]
        assert ede_of(reply_to(engine, "web.prod.svc.cluster.local.", "AAAA", use_edns=0)) == [3]
        nx = reply_to(engine, "nope.prod.svc.cluster.local.", use_edns=0)
        assert (nx.rcode(), ede_of(nx)) == (dns.rcode.NXDOMAIN, [19])
        assert ede_of(reply_to(engine, "google.prod.svc.cluster.local.", use_edns=0)) == [3]
        assert reply_to(engine, "web.prod.svc.cluster.local.").edns == -1

    def test_the_extended_error_goes_when_the_data_is_fresh(self) -> None:
        engine = engine_of(PIPELINE, state=STALE)
        reply_to(engine, "web.prod.svc.cluster.local.")
        engine.apply(compile_state(FRESH))
        assert ede_of(reply_to(engine, "web.prod.svc.cluster.local.", use_edns=0)) == []


class TestForward:
    """External names, for clients that dnsd resolves for."""

    CONFIG = EngineConfig(forwarding=True, allow_recursion=("10.0.0.0/8",))
    ALLOWED, OTHER = b"\x0a\0\0\1", b"\xc0\0\x02\x01"

    def outcome(self, name: str, client: bytes, flags: int = 0x100) -> bytes | Forward | None:
        query = dns.message.make_query(name, "A", use_edns=0)
        query.flags = flags
        return engine_of(PIPELINE, self.CONFIG).answer(query.to_wire(), client, UDP)

    def test_an_external_name_is_forwarded(self) -> None:
        asked = self.outcome("WWW.example.com.", self.ALLOWED)
        assert isinstance(asked, Forward)
        assert asked.name == b"\x03www\x07example\x03com\x00"
        assert asked.question.startswith(b"\x03WWW\x07example")
        assert not asked.local
        assert (asked.type, asked.limit, asked.edns, asked.rd) == (1, 1232, True, True)

    def test_a_chain_that_leaves_the_zones_is_forwarded(self) -> None:
        asked = self.outcome("google.prod.svc.cluster.local.", self.ALLOWED)
        assert isinstance(asked, Forward)
        assert asked.local
        assert asked.name == b"\x06google\x03com\x00"
        assert asked.chained == 1
        assert asked.chain.endswith(asked.name)

    def test_recursion_is_available_only_for_allowed_clients(self) -> None:
        allowed = self.outcome("web.prod.svc.cluster.local.", self.ALLOWED)
        other = self.outcome("web.prod.svc.cluster.local.", self.OTHER)
        assert isinstance(allowed, bytes)
        assert isinstance(other, bytes)
        assert (allowed[3] & 0x80, other[3] & 0x80) == (0x80, 0)
        refused = self.outcome("example.com.", self.OTHER)
        assert isinstance(refused, bytes)
        assert ede_of(dns.message.from_wire(refused)) == [18]
        plain = self.outcome("google.prod.svc.cluster.local.", self.OTHER)
        assert isinstance(plain, bytes)
        assert dns.message.from_wire(plain).rcode() == 0

    def test_without_rd_nothing_is_forwarded(self) -> None:
        refused = self.outcome("example.com.", self.ALLOWED, flags=0)
        assert isinstance(refused, bytes)
        assert ede_of(dns.message.from_wire(refused)) == [20]
        assert isinstance(self.outcome("google.prod.svc.cluster.local.", self.ALLOWED, 0), bytes)


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
    def test_a_label_that_contains_an_address_is_a_name(
        self, name: str, type_: str, rcode: int, answers: list[str]
    ) -> None:
        reply = reply_to(self.ENGINE, f"{name}.pod.cluster.local.", type_)
        assert reply.rcode() == rcode
        assert [r.to_text() for rrset in reply.answer for r in rrset] == answers
        assert bool(reply.authority) == (not answers)


class TestChains:
    def test_a_chain_of_long_records_is_a_correct_message(self) -> None:
        label = "x" * 60
        pipeline = pipeline_of(
            [
                service("None0", ns="prod") | {"metadata": {"name": "a", "namespace": "prod"}},
                external("long", f"{label}.{label}.{label}.example.com"),
            ]
        )
        reply = reply_to(engine_of(pipeline), "long.prod.svc.cluster.local.")
        (rrset,) = reply.answer
        assert rrset.rdtype == dns.rdatatype.CNAME
        assert rrset[0].target.to_text() == f"{label}.{label}.{label}.example.com."

    def test_a_chain_to_many_addresses_is_truncated_over_udp(self) -> None:
        many = [endpoint(f"10.1.{i // 250}.{i % 250}") for i in range(2000)]
        pipeline = pipeline_of(
            [
                service("all", "None", ports=[port(80)]),
                endpoint_slice("all", *many, ports=[port(80)]),
                external("to-all", "all.prod.svc.cluster.local"),
            ]
        )
        engine = engine_of(pipeline)
        assert reply_to(engine, "to-all.prod.svc.cluster.local.").flags & dns.flags.TC
        reply = reply_to(engine, "to-all.prod.svc.cluster.local.", transport=TCP)
        assert sum(len(rrset) for rrset in reply.answer) == 2001


class TestHuge:
    def test_an_rrset_is_cut_at_what_tcp_can_carry(self) -> None:
        """Half of the addresses are better than no address."""
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
