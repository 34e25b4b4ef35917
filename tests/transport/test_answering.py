"""An engine that raises costs one packet; a late reply is sent once."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from dnsd.transport.answering import Answering, LateReply
from dnsd.transport.registry import TCP, UDP
from tests.transport.engines import Obedient, Slow, Upstream, query, reply_to


class TestFailures:
    def test_the_outcome_of_the_engine_is_returned(self) -> None:
        answering = Answering(UDP, Obedient())
        packet = query()
        assert answering.answer(packet, b"") == reply_to(packet)
        assert answering.failures == 0

    def test_every_failure_is_counted_and_one_a_second_is_logged(self) -> None:
        structlog.reset_defaults()
        answering = Answering(UDP, Obedient())
        packet = query(b"raise", size=500)
        with capture_logs() as lines:
            for _ in range(50):
                assert answering.answer(packet, b"") is None
        assert answering.failures == 50
        (line,) = lines
        assert line["transport"] == "udp"
        assert line["length"] == 500
        assert line["packet"] == packet[:64].hex()
        assert isinstance(line["exc_info"], ValueError)

    def test_a_deferred_query_whose_handler_raises_gets_no_reply(self) -> None:
        sent: list[bytes | None] = []

        def refuse(deferred: object, reply: LateReply) -> None:
            raise RuntimeError("as ordered")

        answering = Answering(TCP, Obedient(), refuse)
        assert answering.defer(Slow(query(), b""), sent.append)
        assert answering.failures == 1
        assert sent == [None]


class TestDeferring:
    def test_the_handler_gets_the_query_and_sends_its_reply(self) -> None:
        sent: list[bytes | None] = []
        upstream = Upstream()
        assert Answering(UDP, Obedient(), upstream).defer(Slow(packet := query(), b""), sent.append)
        upstream.answer_all()
        assert sent == [reply_to(packet)]

    def test_without_a_handler_no_query_is_deferred(self) -> None:
        assert not Answering(UDP, Obedient()).defer(Slow(query(), b""), print)

    def test_only_a_deferred_outcome_is_handed_over(self) -> None:
        upstream = Upstream()
        assert not Answering(UDP, Obedient(), upstream).defer(None, print)
        assert upstream.held == []


class TestLateReply:
    def test_only_the_first_call_sends(self) -> None:
        sent: list[bytes | None] = []
        reply = LateReply(sent.append)
        reply(b"first")
        reply(b"second")
        reply(None)
        assert sent == [b"first"]
