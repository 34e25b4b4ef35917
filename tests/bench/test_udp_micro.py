"""The engine that the bench of the UDP transport uses."""

from __future__ import annotations

import dns.flags
import dns.message

from bench import udp_micro, wire
from dnsd.transport.registry import UDP

STRIDE = 512


def test_the_engine_echoes_each_query_of_a_batch_with_qr_and_aa() -> None:
    packets = [wire.query_packet(f"n{'x' * i}.example", "A") for i in range(3)]
    blob = b"".join(packet.ljust(STRIDE, b"\0") for packet in packets)
    replies = udp_micro.Echo().answer_batch(blob, list(map(len, packets)), STRIDE, None, UDP)
    assert list(replies) == [udp_micro.Echo().answer(packet, b"", UDP) for packet in packets]
    for packet, reply in zip(packets, replies, strict=True):
        parsed = dns.message.from_wire(reply)
        assert parsed.flags & dns.flags.QR
        assert parsed.flags & dns.flags.AA
        assert parsed.question == dns.message.from_wire(packet).question
