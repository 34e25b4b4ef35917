"""An engine that raises costs one packet; a late reply is sent once."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from dnsd.transport.answering import (
    Failures,
    LateReply,
    answer_safely,
    defer_safely,
)
from dnsd.transport.registry import UDP
from tests.transport.engines import Obedient, query, reply_to


class TestFailures:
    def test_the_outcome_of_the_engine_is_returned(self) -> None:
        failures = Failures("udp")
        packet = query()
        assert answer_safely(Obedient(), packet, b"", UDP, failures) == reply_to(packet)
        assert failures.count == 0

    def test_every_failure_is_counted_and_one_a_second_is_logged(self) -> None:
        structlog.reset_defaults()
        failures = Failures("udp")
        packet = query(b"raise", size=500)
        with capture_logs() as lines:
            for _ in range(50):
                assert answer_safely(Obedient(), packet, b"", UDP, failures) is None
        assert failures.count == 50
        (line,) = lines
        assert line["transport"] == "udp"
        assert line["length"] == 500
        assert line["packet"] == packet[:64].hex()
        assert isinstance(line["exc_info"], ValueError)

    def test_a_deferred_query_whose_handler_raises_gets_no_reply(self) -> None:
        sent: list[bytes | None] = []

        def refuse(deferred: object, reply: LateReply) -> None:
            raise RuntimeError("as ordered")

        failures = Failures("tcp")
        defer_safely(refuse, object(), LateReply(sent.append), failures)
        assert failures.count == 1
        assert sent == [None]


class TestLateReply:
    def test_only_the_first_call_sends(self) -> None:
        sent: list[bytes | None] = []
        reply = LateReply(sent.append)
        reply(b"first")
        reply(b"second")
        reply(None)
        assert sent == [b"first"]
