"""Outcomes and counters."""

from __future__ import annotations

from dnsd.answer.outcome import counter_names
from dnsd.transport.registry import TCP, TRANSPORTS, UDP
from tests.answer.building import engine_of, pipeline_of, reply_to
from tests.cases.cluster import objects

PIPELINE = pipeline_of(objects())


class TestCounters:
    def test_each_query_is_counted_once(self) -> None:
        engine = engine_of(PIPELINE)
        before = engine.counters()
        reply_to(engine, "web.prod.svc.cluster.local.")
        reply_to(engine, "web.prod.svc.cluster.local.", "AAAA", transport=TCP)
        reply_to(engine, "nope.prod.svc.cluster.local.", "TYPE1234")
        reply_to(engine, "example.com.")
        engine.answer(b"", b"", UDP)
        moved = {
            name: after - was
            for name, was, after in zip(
                counter_names(TRANSPORTS), before, engine.counters(), strict=True
            )
            if after != was
        }
        assert moved == {
            "queries.udp.A.answer": 1,
            "queries.tcp.AAAA.nodata": 1,
            "queries.udp.other.nxdomain": 1,
            "queries.udp.A.refused": 1,
            "dropped": 1,
        }
