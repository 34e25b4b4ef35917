"""Counters add up over workers. Totals of another length count as zero."""

from __future__ import annotations

from dnsd.answer.outcome import counter_names
from dnsd.transport.registry import TRANSPORTS
from dnsd.worker import counters


def test_names_are_distinct_and_begin_with_the_engine_s() -> None:
    assert len(set(counters.names())) == len(counters.names())
    engine = counter_names(TRANSPORTS)
    assert counters.names()[: len(engine)] == engine
    assert {"udp.received", "tcp.accepted"} <= set(counters.names())


def test_totals_of_workers_add_up() -> None:
    ones = (1,) * len(counters.names())
    assert counters.summed([]) == counters.zero()
    assert counters.summed([ones, ones, counters.zero()]) == tuple(2 for _ in ones)
    assert counters.summed([ones, (5, 5)]) == ones
