"""The reject ladder, rung by rung (RFC 1035 4.1, RFC 6891, RFC 8906)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.engine import Engine
from dnsd.answer.gate import Refusal, admit, is_dropped
from dnsd.answer.transport import Transport
from dnsd.dns.message import Rcode
from dnsd.dns.networks import EVERYONE, Networks
from dnsd.transport.registry import TRANSPORTS, UDP
from tests.cases.raw import LARGEST, QUESTION, RAW, Raw, check, message
from tests.test_cases import build


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build()


@pytest.mark.parametrize("raw", [*RAW, *LARGEST], ids=lambda raw: raw.title)
@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.name)
def test_raw(engine: Engine, raw: Raw, transport: Transport) -> None:
    reply = engine.answer(raw.packet, b"", transport)
    assert reply is None or isinstance(reply, bytes)
    check(raw, reply)


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: raw.title)
def test_in_a_batch(engine: Engine, raw: Raw) -> None:
    """A batch gives each packet what it would get alone, whoever its neighbours are."""
    usual = message(QUESTION)
    packets = [usual, raw.packet, usual]
    stride = max(map(len, packets))
    blob = b"".join(packet.ljust(stride, b"\0") for packet in packets)
    replies = engine.answer_batch(blob, [len(packet) for packet in packets], stride, None, UDP)
    assert replies == [engine.answer(packet, b"", UDP) for packet in packets]


def test_a_client_that_may_not_ask() -> None:
    may_ask = Networks(["10.0.0.0/8"])
    assert admit(message(QUESTION), b"\x0a\x00\x00\x01", may_ask).type == 1
    with pytest.raises(Refusal) as refusal:
        admit(message(QUESTION), b"\x0b\x00\x00\x01", may_ask)
    assert refusal.value.rcode == Rcode.REFUSED
    assert refusal.value.extended == 18


@settings(max_examples=500, deadline=None)
@given(st.binary(min_size=12, max_size=300))
def test_any_octets_are_a_query_or_refused(packet: bytes) -> None:
    if is_dropped(packet):
        return
    with suppress(Refusal):
        assert packet[12:].startswith(admit(packet, b"", Networks(EVERYONE)).question)
