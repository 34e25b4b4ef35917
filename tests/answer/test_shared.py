"""What engines share: the budget of remembered replies."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from dnsd.answer.shared import REMEMBERED_REPLIES
from dnsd.transport.registry import UDP
from dnsd.zone.frame import FRESH, NOT_READY, compile_state
from tests.answer.building import engine_of, feed, pipeline_of, query_with
from tests.cases.cluster import objects, service

PIPELINE = pipeline_of(objects())
COOKIE, PADDING = 10, 12


class TestRememberedReplies:
    """Remembered replies are never older than the table, and never more than the budget."""

    def test_a_frame_drops_remembered_replies(self) -> None:
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

    def test_names_that_clients_make_up_are_not_remembered(self) -> None:
        engine = engine_of(PIPELINE)
        for name in ("nope.prod", "WEB.prod", "db.prod"):
            packet = dns.message.make_query(f"{name}.svc.cluster.local.", "A").to_wire()
            engine.answer_batch(packet, [len(packet)], len(packet), None, UDP)
        assert engine.shared.budget == REMEMBERED_REPLIES

    def test_no_more_is_remembered_than_the_budget(self) -> None:
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
