"""Stages: a batch is split by group, answered in parts, and put back in order."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.outcome import Outcome
from dnsd.answer.stages import answer_by_group
from dnsd.answer.transport import Transport
from dnsd.transport.registry import UDP

STRIDE = 24


class Echo:
    """A stage that answers each packet with its group, the packet, and its client."""

    needs_client = True

    def __init__(self, group: str) -> None:
        self.group = group
        self.batches: list[int] = []

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        raise AssertionError

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> list[Outcome]:
        assert transport is UDP
        assert clients is not None
        self.batches.append(len(lengths))
        return [
            self.group.encode() + blob[i * stride : i * stride + length] + clients[i]
            for i, length in enumerate(lengths)
        ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=STRIDE)), max_size=12))
def test_each_group_gets_one_batch_and_outcomes_keep_the_order(
    packets: list[tuple[str, bytes]],
) -> None:
    blob = b"".join(packet.ljust(STRIDE, b"\0") for _, packet in packets)
    groups, clients = [group for group, _ in packets], [bytes((i,)) for i in range(len(packets))]
    stages = {group: Echo(group) for group in "abc"}
    outcomes = answer_by_group(
        groups, stages, blob, [len(packet) for _, packet in packets], STRIDE, clients, UDP
    )
    assert outcomes == [
        group.encode() + packet + client
        for (group, packet), client in zip(packets, clients, strict=True)
    ]
    for group, stage in stages.items():
        count = groups.count(group)
        assert stage.batches == ([count] if count else [])
