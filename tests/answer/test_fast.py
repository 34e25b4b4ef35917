"""The fast path: which queries take it, and that it agrees with the complete path."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.engine import Engine
from dnsd.answer.options import OPTIONS
from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import Shared
from dnsd.answer.transport import Transport
from dnsd.dns.names import name_from_text
from dnsd.transport.registry import TRANSPORTS, UDP
from dnsd.zone.compile import compile_all
from dnsd.zone.frame import FRESH, NOT_READY, STALE, compile_state
from tests.answer.building import (
    agree_on_a_batch,
    engine_of,
    pipeline_of,
    queries,
    query_with,
    without_shapes,
)
from tests.cases.cluster import objects
from tests.helpers import counted

PIPELINE = pipeline_of(objects())
TYPES = ["A", "AAAA", "SRV", "PTR", "CNAME", "SOA", "MX", "NS", "TXT"]
NAMES = [dns.name.from_wire(name, 0)[0].to_text() for name in PIPELINE.zone.names()]
USUAL_NAMES = ("web.prod", "WEB.prod", "nope.prod", "_http._tcp.web.prod", "big.prod")
COOKIE, PADDING = 10, 12
CLIENT_COOKIE = (COOKIE, bytes(range(8)))


def both_paths(config: EngineConfig, state: int) -> tuple[Engine, Engine]:
    """Two engines over the same zone; the second one has only the complete path."""
    complete = Engine(Shared(config, TRANSPORTS))
    without_shapes(complete.shared)
    for frame in (*compile_all(PIPELINE.zone), compile_state(state)):
        complete.apply(frame)
    return engine_of(PIPELINE, config, state), complete


def agree(fast: Engine, complete: Engine, packet: bytes, transport: Transport) -> None:
    """Both engines answer the packet alike, alone and three times in batches.

    In the later batches the reply may be one that is remembered. Both engines get the same
    queries, so their rotation stays in step.
    """
    assert fast.answer(packet, b"", transport) == complete.answer(packet, b"", transport)
    for _ in range(3):
        batch = fast.answer_batch(packet, [len(packet)], len(packet), None, transport)
        assert batch == [complete.answer(packet, b"", transport)]
    assert fast.counters() == complete.counters()


class TestCalls:
    """What a usual query costs, in calls of Python functions."""

    @pytest.mark.parametrize("options", [None, [], [CLIENT_COOKIE]])
    def test_a_remembered_query_costs_one_call(
        self, options: list[tuple[int, bytes]] | None
    ) -> None:
        engine = engine_of(PIPELINE)
        packet = query_with("web.prod", options)
        arguments = packet, [len(packet)], len(packet), None, UDP
        first = engine.answer_batch(*arguments)
        with counted() as calls:
            assert engine.answer_batch(*arguments) == first
        # The last two are those that end the count.
        assert list(calls) == [
            "Engine.answer_batch",
            "_GeneratorContextManager.__exit__",
            "counted",
        ]
        assert calls["Engine.answer_batch"] == 1


class TestFastPath:
    """The fast path and the complete path make the same reply, octet for octet."""

    @pytest.mark.parametrize("state", [FRESH, STALE, NOT_READY])
    def test_it_agrees_with_the_complete_path(self, state: int) -> None:
        fast, complete = both_paths(EngineConfig(), state)

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

    @pytest.mark.parametrize("state", [FRESH, STALE, NOT_READY])
    def test_it_agrees_about_edns_options_of_all_lengths_and_orders(self, state: int) -> None:
        """Cookies, padding, other options, and packets that are damaged or cut."""
        fast, complete = both_paths(EngineConfig(nsid=b"node-7", tcp_keepalive=42), state)
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
            name = data.draw(st.sampled_from(["", "nope.", "a\\000\\000\\041b.", ").("])) + name
            name = data.draw(st.sampled_from([name, name.swapcase()]))
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
        fast, complete = both_paths(EngineConfig(), FRESH)
        for options in ([(code, bytes(length))], [(code, b"x" * length), CLIENT_COOKIE]):
            for name in USUAL_NAMES:
                packet = query_with(name, options)
                agree(fast, complete, packet, UDP)
                agree(fast, complete, packet[:-1], UDP)

    @pytest.mark.parametrize("state", [FRESH, STALE, NOT_READY])
    def test_it_agrees_about_the_octets_behind_a_remembered_question(self, state: int) -> None:
        """The lengths, the codes, and the end of the options are right, or wrong by a little."""
        fast, complete = both_paths(EngineConfig(nsid=b"node-7"), state)
        option = st.builds(
            lambda code, data, by: (
                code.to_bytes(2, "big") + max(0, len(data) + by).to_bytes(2, "big") + data
            ),
            st.sampled_from([COOKIE, PADDING, 3, 8, 65001]),
            st.one_of(st.sampled_from([8, 24, 127, 128]).map(bytes), st.binary(max_size=40)),
            st.sampled_from([0, 0, 0, 0, -1, 1, 4]),
        )
        tails = st.builds(
            lambda options, by, more: (
                max(0, len(b"".join(options)) + by).to_bytes(2, "big") + b"".join(options) + more
            ),
            st.lists(option, max_size=5),
            st.sampled_from([0, 0, 0, 0, -4, -1, 1, 4]),
            st.sampled_from([b"", b"", b"", b"\0", b"\0\0\x29\x04\xd0\0\0\0\0\0\0"]),
        )

        @settings(max_examples=500, deadline=None)
        @given(
            st.sampled_from(["web.prod", "WEB.prod", "nope.prod"]),
            st.booleans(),
            st.one_of(tails, st.binary(max_size=16)),
            st.sampled_from(list(TRANSPORTS)),
        )
        def check(name: str, do: bool, tail: bytes, transport: Transport) -> None:
            question = bytearray(query_with(name, [CLIENT_COOKIE])[:-14])
            question[-2] |= 0x80 if do else 0
            agree(fast, complete, bytes(question) + tail, transport)

        for transport in TRANSPORTS:
            agree(fast, complete, query_with("web.prod", [CLIENT_COOKIE]), transport)
        check()

    @pytest.mark.parametrize("state", [FRESH, STALE, NOT_READY])
    def test_it_agrees_about_a_packet_that_only_resembles_a_usual_query(self, state: int) -> None:
        fast, complete = both_paths(EngineConfig(), state)
        plain = query_with("web.prod", None)
        cookie = query_with("web.prod", [CLIENT_COOKIE])
        opt = cookie[len(plain) :]
        two, three = b"\0\2", b"\0\3"
        resembling = [
            cookie[:10] + two + cookie[12:] + opt,  # two OPT records
            cookie[:10] + three + cookie[12:] + opt + opt,
            cookie + opt,  # not counted
            plain + opt,
            plain[:4] + two + plain[6:] + plain[12:],  # two questions
            plain[:12] + b"\3web\xc0\x0c" + plain[-4:],  # a pointer in the name
            cookie[:12] + b"\3web\xc0\x0c" + plain[-4:] + opt,
            cookie[:12] + plain[12:-4] + b"\0\x29\0\1" + opt,  # QTYPE OPT
            plain[:-2] + b"\0\3" + opt,
            cookie[: len(plain)] + b"\1x" + opt,  # the owner of the OPT record is not the root
        ]
        for packet in (plain, cookie, *resembling, plain, cookie):
            for transport in TRANSPORTS:
                agree(fast, complete, packet, transport)

    def test_remembered_replies_never_cross(self) -> None:
        """Not between transports, rights of clients, flags, sizes, claims, and generations."""
        config = EngineConfig(
            forwarding=True, allow_query=("10.0.0.0/8",), allow_recursion=("10.0.0.0/9",)
        )
        clients = [b"\x0a\0\0\1", b"\x0a\0\0\2", b"\x0a\x80\0\1", b"\x0b\0\0\1"]
        unknown = name_from_text("prod.svc.cluster.local.")
        steps = st.lists(
            st.one_of(
                st.sampled_from([compile_state(state) for state in (FRESH, STALE, NOT_READY)]),
                st.just(compile_state(FRESH, 0, (unknown,))),
                st.tuples(
                    st.sampled_from(list(TRANSPORTS)),
                    st.lists(st.tuples(queries, st.sampled_from(clients)), min_size=1, max_size=6),
                ),
            ),
            max_size=8,
        )

        @settings(max_examples=150, deadline=None)
        @given(steps)
        def check(steps: list[bytes | tuple[Transport, list[tuple[bytes, bytes]]]]) -> None:
            for step in steps:
                if isinstance(step, bytes):
                    fast.apply(step)
                    complete.apply(step)
                else:
                    agree_on_a_batch(fast, complete, step[1], step[0])

        fast, complete = both_paths(config, FRESH)
        check()

    def test_a_remembered_reply_is_used_only_if_a_cookie_is_all_that_differs(self) -> None:
        """The last eight octets may be another option behind what looks like a cookie's head."""
        config = EngineConfig(nsid=b"node-7")
        fast, complete = both_paths(config, FRESH)
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
    def test_a_usual_query_never_takes_the_complete_path(
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
    def test_a_query_with_an_option_of_the_table_takes_the_complete_path(self, code: int) -> None:
        engine = engine_of(PIPELINE)
        engine.answer(query_with("web.prod", [CLIENT_COOKIE, (code, bytes(4))]), b"", UDP)
        assert engine.shared.counters.complete == 1
