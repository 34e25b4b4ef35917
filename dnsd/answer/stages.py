"""Stages: the engine, and the layers around it that a query passes.

In `answer/` (pure: query bytes to reply bytes). Change here: the protocol of stages.

A transport calls one stage, and each stage calls the next; the last one is an engine. Views, the
query tap, and search completion are stages. Each of them answers a batch with `answer_batch` of
the next stage, so that a query keeps the fast path through all stages.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol, TypeVar

from dnsd.answer.outcome import Outcome
from dnsd.answer.transport import Transport

G = TypeVar("G", bound=Hashable)


class Stage(Protocol):
    """Answers queries. A stage never raises, whatever the bytes, and keeps no reference to them."""

    @property
    def needs_client(self) -> bool:
        """False: `client` may be b"" and `clients` None."""

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        """The outcome of one packet. `client`: the packed address of the peer."""

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> Sequence[Outcome]:
        """The outcomes of packets that lie `stride` octets apart in `blob`, in their order.

        Packet i is blob[i * stride : i * stride + lengths[i]].
        """


def answer_by_group(
    groups: Sequence[G],
    stages: Mapping[G, Stage],
    blob: bytes,
    lengths: Sequence[int],
    stride: int,
    clients: Sequence[bytes],
    transport: Transport,
) -> list[Outcome]:
    """Splits a batch by `groups`, the group of each packet, and restores the order of outcomes.

    The stage of a group answers the packets of the group as one batch.
    """
    members: dict[G, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    outcomes: list[Outcome] = [None] * len(lengths)
    for group, indexes in members.items():
        part = b"".join([blob[i * stride : (i + 1) * stride] for i in indexes])
        sizes, peers = [lengths[i] for i in indexes], [clients[i] for i in indexes]
        replies = stages[group].answer_batch(part, sizes, stride, peers, transport)
        for i, outcome in zip(indexes, replies, strict=True):
            outcomes[i] = outcome
    return outcomes
