"""Admission, check by check (RFC 1035 4.1, RFC 6891, RFC 8906)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.engine import Engine
from dnsd.answer.gate import REFUSED, RESOLVES, Access, Refusal, admit, is_dropped
from dnsd.answer.settings import EngineConfig
from dnsd.answer.transport import Transport
from dnsd.dns.message import Rcode
from dnsd.dns.networks import EVERYONE
from dnsd.transport.registry import TRANSPORTS, UDP
from tests.cases.raw import LARGEST, QUESTION, RAW, Raw, check, message
from tests.system.test_cases import build


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build()


@pytest.mark.parametrize("raw", [*RAW, *LARGEST], ids=lambda raw: raw.title)
@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.name)
def test_each_raw_packet_gets_its_response_code(
    engine: Engine, raw: Raw, transport: Transport
) -> None:
    reply = engine.answer(raw.packet, b"", transport)
    assert reply is None or isinstance(reply, bytes)
    check(raw, reply)


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: raw.title)
def test_a_packet_in_a_batch_gets_the_outcome_that_it_gets_alone(engine: Engine, raw: Raw) -> None:
    usual = message(QUESTION)
    packets = [usual, raw.packet, usual]
    stride = max(map(len, packets))
    blob = b"".join(packet.ljust(stride, b"\0") for packet in packets)
    replies = engine.answer_batch(blob, [len(packet) for packet in packets], stride, None, UDP)
    assert replies == [engine.answer(packet, b"", UDP) for packet in packets]


INSIDE, OUTSIDE = b"\x0a\x00\x00\x01", b"\x0b\x00\x00\x01"


def test_a_client_outside_allow_query_is_refused_with_extended_error_18() -> None:
    access = Access(EngineConfig(allow_query=("10.0.0.0/8",)))
    assert admit(message(QUESTION), access.of(INSIDE)).type == 1
    with pytest.raises(Refusal) as refusal:
        admit(message(QUESTION), access.of(OUTSIDE))
    assert refusal.value.rcode == Rcode.REFUSED
    assert refusal.value.extended == 18


class TestAccess:
    @pytest.mark.parametrize(
        ("config", "inside", "outside"),
        [
            (EngineConfig(), 0, 0),
            (EngineConfig(forwarding=True, allow_recursion=EVERYONE), RESOLVES, RESOLVES),
            (EngineConfig(allow_recursion=()), 0, 0),
            (EngineConfig(forwarding=True, allow_recursion=()), 0, 0),
            (EngineConfig(forwarding=True, allow_recursion=("10.0.0.0/8",)), RESOLVES, 0),
            (EngineConfig(allow_query=("10.0.0.0/8",)), 0, REFUSED),
            (EngineConfig(allow_query=()), REFUSED, REFUSED),
            (
                EngineConfig(
                    forwarding=True, allow_query=("11.0.0.0/8",), allow_recursion=("10.0.0.0/8",)
                ),
                REFUSED | RESOLVES,
                0,
            ),
        ],
    )
    def test_rights_follow_from_both_lists(
        self, config: EngineConfig, inside: int, outside: int
    ) -> None:
        access = Access(config)
        for _ in range(2):  # the second time from memory
            assert (access.of(INSIDE), access.of(OUTSIDE)) == (inside, outside)

    def test_the_client_is_needed_only_if_rights_depend_on_it(self) -> None:
        assert not Access(EngineConfig(forwarding=True, allow_recursion=EVERYONE)).needs_client
        assert not Access(EngineConfig(allow_recursion=())).needs_client
        assert Access(EngineConfig(forwarding=True, allow_recursion=())).needs_client
        assert Access(EngineConfig(allow_query=())).needs_client


@settings(max_examples=500, deadline=None)
@given(st.binary(min_size=12, max_size=300))
def test_any_octets_are_a_query_or_refused(packet: bytes) -> None:
    if is_dropped(packet):
        return
    with suppress(Refusal):
        assert packet[12:].startswith(admit(packet, 0).question)
