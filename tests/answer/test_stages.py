"""Stages: a batch is split by group, answered in parts, and put back in order."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.outcome import Outcome
from dnsd.answer.stages import AnswerBatch, answer_by_group
from dnsd.answer.transport import Transport
from dnsd.transport.registry import UDP

STRIDE = 24


class Echo:
    """Answers each packet with its group, itself, and its client; records the batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int]] = []

    def of(self, group: str) -> AnswerBatch:
        def answer_batch(
            blob: bytes,
            lengths: Sequence[int],
            stride: int,
            clients: Sequence[bytes],
            transport: Transport,
        ) -> list[Outcome]:
            assert transport is UDP
            self.batches.append((group, len(lengths)))
            return [
                group.encode() + blob[i * stride : i * stride + length] + clients[i]
                for i, length in enumerate(lengths)
            ]

        return answer_batch


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=STRIDE)), max_size=12))
def test_each_group_gets_one_batch_and_outcomes_keep_the_order(
    packets: list[tuple[str, bytes]],
) -> None:
    blob = b"".join(packet.ljust(STRIDE, b"\0") for _, packet in packets)
    groups, clients = [group for group, _ in packets], [bytes((i,)) for i in range(len(packets))]
    echo = Echo()
    outcomes = answer_by_group(
        groups, echo.of, blob, [len(packet) for _, packet in packets], STRIDE, clients, UDP
    )
    assert outcomes == [
        group.encode() + packet + client
        for (group, packet), client in zip(packets, clients, strict=True)
    ]
    assert sorted(echo.batches) == sorted((one, groups.count(one)) for one in set(groups))
