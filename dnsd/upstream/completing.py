"""The engine, with search-path completion: some of its NXDOMAINs become questions.

It stands in the engine's place in front of the transports, only where the feature is on. An
NXDOMAIN of our zones to a pod that is about to walk its search list becomes a `Completable`,
which carries the plain reply along: whatever comes of the walk, that one is never wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from dnsd.answer.engine import Engine, Forward
from dnsd.answer.transport import Transport
from dnsd.dns.message import AA, IN, RA, RD, Malformed, Rcode, parse, question_end
from dnsd.dns.names import Name, name_end
from dnsd.dns.types import Type
from dnsd.upstream.clients import Clients
from dnsd.upstream.search import Completion, completion

if TYPE_CHECKING:
    from dnsd.answer.views import Views

_POINTER = 0xC0


class Completable(Struct, frozen=True):
    """A question that may be completed, and the reply when it cannot be."""

    ask: Forward
    plain: bytes
    completion: Completion


Outcome = bytes | Forward | Completable | None


class Completing:
    """Answers like `engine`, whose clients are pods in `clients`.

    `zones`: the cluster's, `domains`: the nodes' search domains.
    """

    needs_client = True

    def __init__(
        self,
        engine: Engine | Views,
        clients: Clients,
        zones: tuple[Name, ...],
        domains: tuple[Name, ...],
    ) -> None:
        self._engine, self._clients = engine, clients
        self._zones, self._domains = zones, domains

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        """Like `Engine.answer`, with a fourth outcome."""
        return self._judge(
            packet, client, transport, self._engine.answer(packet, client, transport)
        )

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> list[Outcome]:
        """Like `Engine.answer_batch`, with a fourth outcome."""
        outcomes: list[Outcome] = []
        for i, length in enumerate(lengths):
            packet = blob[i * stride : i * stride + length]
            outcomes.append(self.answer(packet, clients[i] if clients else b"", transport))
        return outcomes

    def _judge(
        self,
        packet: bytes,
        client: bytes,
        transport: Transport,
        reply: bytes | Forward | None,
    ) -> Outcome:
        if not isinstance(reply, bytes) or reply[3] & 0x0F != Rcode.NXDOMAIN:
            return reply
        if not (reply[2] & AA and reply[2] & RD and reply[3] & RA):
            return reply
        pod = self._clients.find(client)
        if pod is None or reply[6:10] != b"\0\0\0\1":  # an alias of ours in front of it: no
            return reply
        try:
            query = parse(packet)
        except Malformed:
            return reply
        if query.cls != IN or query.type in (Type.SOA, Type.NS, Type.CNAME, Type.ANY, Type.PTR):
            return reply
        found = completion(query.name, pod, self._zones, self._domains)
        if found is None:
            return reply
        edns = query.edns
        ask = Forward(
            packet=packet,
            question=query.question,
            name=query.name,
            type=query.type,
            client=client,
            limit=self._engine.config.limit(transport, edns.size if edns else None),
            rd=query.rd,
            cd=query.cd,
            do=edns is not None and edns.do,
            edns=edns is not None,
            options=_options(reply) if edns else b"",
            ours=True,
        )
        return Completable(ask, reply, found)


def _options(reply: bytes) -> bytes:
    """The options of the OPT record that ends a negative reply of ours: one SOA before it."""
    position = question_end(reply)
    if reply[position] >= _POINTER:
        position += 2
    else:
        position = name_end(reply, position)
    behind = position + 10 + int.from_bytes(reply[position + 8 : position + 10], "big")
    return reply[behind + 11 :]
