"""EDNS options: the table, and the options of replies (RFC 5001, RFC 7828, RFC 8914)."""

from __future__ import annotations

from collections.abc import Iterator

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from dnsd.answer.options import OPTIONS, Handler, reply_options
from dnsd.answer.settings import EngineConfig
from dnsd.answer.transport import Transport
from dnsd.dns.message import Edns, Malformed, option
from dnsd.transport.registry import TCP, TRANSPORTS, UDP
from dnsd.zone.frame import FRESH, STALE
from tests.answer.building import engine_of, pipeline_of, query_with, reply_to
from tests.cases.cluster import objects

PIPELINE = pipeline_of(objects())


class TestEdnsOptions:
    """RFC 5001, RFC 7828: in the reply to a query that requests them, and in no other."""

    CONFIG = EngineConfig(nsid=b"pod-7", tcp_keepalive=42)

    def options(self, transport: Transport, *codes: int) -> dict[int, bytes]:
        generic = [dns.edns.GenericOption(code, b"") for code in codes]
        reply = reply_to(
            engine_of(PIPELINE, self.CONFIG),
            "web.prod.svc.cluster.local.",
            transport=transport,
            use_edns=0,
            options=generic,
        )
        return {int(one.otype): one.to_wire() for one in reply.options}

    def test_nsid_is_in_the_reply_to_a_query_that_requests_it(self) -> None:
        assert self.options(UDP, 3) == {3: b"pod-7"}
        assert self.options(UDP) == {}

    @pytest.mark.parametrize("octets", [200, 226, 227, 255, 480, 70_000])
    @pytest.mark.parametrize("name", ["web.prod.svc.cluster.local.", f"{'a.' * 114}cluster.local."])
    @pytest.mark.parametrize("transport", TRANSPORTS)
    @pytest.mark.parametrize("state", [FRESH, STALE])
    def test_nsid_is_left_out_if_it_does_not_fit(
        self, octets: int, name: str, transport: Transport, state: int
    ) -> None:
        """No reply is larger than its client can take, whatever the configured name."""
        assert len(dns.name.from_text(name).to_wire() or b"") in (28, 243)
        config = EngineConfig(nsid=b"n" * octets, version_text="v" * octets)
        engine = engine_of(PIPELINE, config, state)
        for queried, cls in ((name, "IN"), ("version.bind.", "CH")):
            options = [dns.edns.GenericOption(3, b"")]
            query = dns.message.make_query(
                queried, "TXT", cls, use_edns=0, payload=512, options=options
            )
            wire = engine.answer(query.to_wire(), b"", transport)
            assert isinstance(wire, bytes)
            assert len(wire) <= (512 if transport.datagram else 65535)
            reply = dns.message.from_wire(wire)
            assert reply.edns == 0
            sent = [one.to_wire() for one in reply.options if int(one.otype) == 3]
            assert sent in ([], [config.nsid])
            fits = 12 + len(query.question[0].name.to_wire() or b"") + 4 + 11 + 4 + octets + 6
            if fits <= (512 if transport.datagram else 65535):
                assert sent
            assert bool(reply.flags & dns.flags.TC) == (not reply.answer and not reply.authority)

    def test_keepalive_is_only_for_transports_with_connections(self) -> None:
        assert self.options(TCP, 11) == {11: b"\x00\x2a"}
        assert self.options(UDP, 11) == {}
        assert self.options(TCP) == {}

    def test_do_is_repeated_and_ad_is_not_set(self) -> None:
        reply = reply_to(engine_of(PIPELINE), "web.prod.svc.cluster.local.", want_dnssec=True)
        assert reply.ednsflags & dns.flags.DO
        assert not reply.flags & dns.flags.AD


LAST = 65534


def _echo_name(config: EngineConfig, transport: Transport) -> bytes:
    return transport.name.encode()


def _check(data: bytes) -> None:
    if len(data) != 2:
        raise Malformed("two octets")


@pytest.fixture
def declared() -> Iterator[None]:
    """A table with one more option."""
    OPTIONS[LAST] = Handler(check=_check, reply=_echo_name)
    yield
    del OPTIONS[LAST]


@pytest.mark.usefixtures("declared")
class TestTable:
    """An option is one entry of the table; nothing else has to change."""

    @pytest.mark.parametrize("transport", TRANSPORTS)
    def test_its_handler_makes_the_option_of_the_reply(self, transport: Transport) -> None:
        packet = query_with("web.prod", [(10, bytes(8)), (LAST, b"ok")])
        reply = engine_of(PIPELINE).answer(packet, b"", transport)
        assert isinstance(reply, bytes)
        (option,) = dns.message.from_wire(reply).options
        assert (int(option.otype), option.to_wire()) == (LAST, transport.name.encode())

    @pytest.mark.parametrize("data", [b"", b"123"])
    def test_its_handler_decides_what_is_malformed(self, data: bytes) -> None:
        engine = engine_of(PIPELINE)
        packet = query_with("web.prod", [(LAST, b"ok"), (LAST, data)])
        reply = engine.answer(packet, b"", UDP)
        assert isinstance(reply, bytes)
        assert reply[3] & 15 == dns.rcode.FORMERR
        assert engine.answer_batch(packet, [len(packet)], len(packet), None, UDP) == [reply]

    def test_the_options_of_a_reply_fit_or_are_left_out(self) -> None:
        edns = Edns(512, 0, False, ((LAST, b"ok"), (3, b"")))
        config = EngineConfig(nsid=b"node-7")
        assert reply_options(edns, config, UDP, b"", 10) == option(3, b"node-7")
        assert reply_options(edns, config, UDP, b"x" * 4, 10) == b"x" * 4
        both = option(LAST, b"udp") + option(3, b"node-7") + b"x" * 4
        assert reply_options(edns, config, UDP, b"x" * 4, 100) == both
