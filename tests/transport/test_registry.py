"""Transports are data: one file adds a transport to everything that iterates over the registry."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest
from msgspec import Struct

from dnsd.answer.engine import Engine
from dnsd.answer.transport import Transport
from dnsd.control.serve import bind
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address, Endpoint
from dnsd.observe.metrics import exposition
from dnsd.settings.kinds import BadValue
from dnsd.transport.answering import Answering
from dnsd.transport.listener import close, endpoints
from dnsd.transport.registry import TCP, TRANSPORTS, UDP, UnknownTransport, name_of, named
from dnsd.transport.settings import ENDPOINTS
from dnsd.worker import counters
from tests.cases import tables
from tests.observe.test_metrics import facts
from tests.system.test_cases import build

THIRD = Transport(len(TRANSPORTS), "memory", datagram=False, framed=True, keepalive=True)


class MemoryCounters(Struct):
    received: int = 0
    sent: int = 0
    late: int = 0
    failures: int = 0


class Memory:
    """Answers framed messages that the test hands in. Its socket is bound, and never read."""

    socket_type: ClassVar[socket.SocketKind] = socket.SOCK_STREAM
    counters_type: ClassVar[type[Struct]] = MemoryCounters

    def __init__(self, sock: socket.socket, answering: Answering) -> None:
        self.answering = answering
        self._socket, self._totals = sock, MemoryCounters()

    def exchange(self, framed: bytes) -> bytes:
        assert int.from_bytes(framed[:2], "big") == len(framed) - 2
        self._totals.received += 1
        reply = self.answering.answer(framed[2:], b"")
        assert isinstance(reply, bytes)
        self._totals.sent += 1
        return len(reply).to_bytes(2, "big") + reply

    def start(self) -> None: ...

    def client(self, i: int) -> bytes:
        raise NotImplementedError

    def counters(self) -> MemoryCounters:
        return self._totals

    async def drain(self, quiet: float, limit: float, handover: bool) -> bool:
        return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def third() -> Iterator[Transport]:
    TRANSPORTS[THIRD] = lambda: Memory
    yield THIRD
    del TRANSPORTS[THIRD]


class TestAThirdTransportTakesOneFile:
    @pytest.fixture
    def engine(self, third: Transport) -> Engine:
        return build()

    @pytest.fixture
    def server(self, engine: Engine, third: Transport) -> Iterator[Memory]:
        settings = Settings.of(listen=(Endpoint(Address("127.0.0.1", 0), third.name),))
        ((listener,),) = bind(settings)
        assert [str(one) for one in endpoints([listener])] == [f"memory://{listener.address}"]
        server = TRANSPORTS[named(third.name)]()(listener.socket, Answering(third, engine))
        assert isinstance(server, Memory)
        yield server
        server.close()

    def test_the_query_tables_hold_over_it(self, server: Memory) -> None:
        cases = [case for case in tables() if case.runs_over(THIRD)]
        for case in cases:
            query = case.query()
            wire = query.to_wire()
            reply = server.exchange(len(wire).to_bytes(2, "big") + wire)
            case.check(query, reply[2:])
        assert len(cases) > 100

    def test_it_has_counters_and_a_metrics_label(self, server: Memory, engine: Engine) -> None:
        case = next(case for case in tables() if case.runs_over(THIRD))
        wire = case.query().to_wire()
        server.exchange(len(wire).to_bytes(2, "big") + wire)
        totals = counters.collect(engine, [server])
        found = dict(zip(counters.names(), totals, strict=True))
        moved = {name: count for name, count in found.items() if count}
        assert {name.split(".")[0] for name in moved} == {"queries", "memory"}
        assert moved["memory.received"] == moved["memory.sent"] == 1
        assert counters.queries(totals) == 1
        text = exposition(facts(counters=found)).decode()
        assert 'dnsd_received_messages_total{transport="memory"} 1.0' in text
        assert any(
            'transport="memory"' in line and line.endswith(" 1.0")
            for line in text.splitlines()
            if line.startswith("dnsd_queries_total")
        )


class TestNames:
    def test_the_index_of_a_transport_is_its_position(self) -> None:
        assert [transport.index for transport in TRANSPORTS] == list(range(len(TRANSPORTS)))
        assert [name_of(transport.index) for transport in TRANSPORTS] == ["udp", "tcp"]

    def test_an_index_out_of_range_is_shown_as_it_is(self) -> None:
        assert name_of(len(TRANSPORTS)) == str(len(TRANSPORTS))

    def test_a_scheme_is_the_name_of_a_transport(self) -> None:
        assert (named("udp"), named("tcp")) == (UDP, TCP)

    def test_the_error_of_an_unknown_name_lists_the_names(self) -> None:
        with pytest.raises(UnknownTransport, match=r"tls is not a transport; dnsd has udp and tcp"):
            named("tls")

    def test_the_setting_takes_the_schemes_that_are_registered(self, third: Transport) -> None:
        assert ENDPOINTS.parse("memory://127.0.0.1:0") == (
            Endpoint(Address("127.0.0.1", 0), third.name),
        )
        with pytest.raises(BadValue, match=r"not one of udp://, tcp://, memory://$"):
            ENDPOINTS.parse("tls://127.0.0.1:853")


def test_a_listener_of_one_transport_binds_that_one_only() -> None:
    slots = bind(Settings.of(listen=(Endpoint(Address("127.0.0.1", 0), "udp"),), workers=2))
    assert [[one.transport for one in slot] for slot in slots] == [[UDP], [UDP]]
    close(one for slot in slots for one in slot)
