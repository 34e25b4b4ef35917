"""Search-path completion as a stage: some NXDOMAINs become a `Search`.

In `upstream/` (data plane: external names). Change here: which denied queries are completed.

The stage stands in front of the engine, only where the feature is on. It checks the replies of
the engine: an NXDOMAIN of the zones of dnsd becomes a `Search` if the client is a pod that would
next walk its search list. A `Search` carries the negative reply, which is always a correct answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, TypeGuard

from dnsd.answer.outcome import Deferred, Forward, Outcome
from dnsd.answer.transport import Transport
from dnsd.dns.message import AA, RA, RD, Rcode
from dnsd.dns.names import Name
from dnsd.dns.types import Type
from dnsd.upstream.clients import Clients
from dnsd.upstream.search import candidates

if TYPE_CHECKING:
    from dnsd.answer.engine import Engine
    from dnsd.answer.views import Views

_IN = b"\x00\x01"
_NOT_COMPLETED = frozenset((Type.SOA, Type.NS, Type.CNAME, Type.ANY, Type.PTR))
_ONE_SOA = b"\x00\x00\x00\x01"  # counts of answer and authority records: no alias in front


class Search(Deferred, frozen=True):
    """A query that a search list may complete. `denial`: the reply if no candidate exists."""

    kind: ClassVar[str] = "search"

    forward: Forward
    denial: bytes
    candidates: tuple[Name, ...]


class SearchStage:
    """A `Stage` in front of `engine` for clients that are pods in `clients`.

    `zones`: the zones of the cluster, `domains`: the search domains of the nodes.
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
        """See `Stage`."""
        outcome = self._engine.answer(packet, client, transport)
        if _is_denial(outcome):
            return self._complete(packet, client, transport, outcome)
        return outcome

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> Sequence[Outcome]:
        """See `Stage`; `clients` is not None."""
        assert clients is not None  # noqa: S101 - `needs_client` is True
        outcomes = self._engine.answer_batch(blob, lengths, stride, clients, transport)
        for i, outcome in enumerate(outcomes):
            if _is_denial(outcome):
                packet = blob[i * stride : i * stride + lengths[i]]
                outcomes[i] = self._complete(packet, clients[i], transport, outcome)
        return outcomes

    def _complete(
        self, packet: bytes, client: bytes, transport: Transport, denial: bytes
    ) -> bytes | Search:
        pod = self._clients.find(client)
        if pod is None:
            return denial
        forward = self._engine.forward_denied(packet, client, transport)
        if forward is None or forward.question[-2:] != _IN or forward.type in _NOT_COMPLETED:
            return denial
        names = candidates(forward.name, pod, self._zones, self._domains)
        return Search(forward, denial, names) if names else denial


def _is_denial(outcome: Outcome) -> TypeGuard[bytes]:
    """Whether this is an NXDOMAIN of the zones of dnsd, to a client that may use recursion."""
    return (
        isinstance(outcome, bytes)
        and outcome[3] & 0x0F == Rcode.NXDOMAIN
        and bool(outcome[2] & AA and outcome[2] & RD and outcome[3] & RA)
        and outcome[6:10] == _ONE_SOA
    )
