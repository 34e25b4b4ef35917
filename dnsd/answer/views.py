"""Views: a stage that answers each client from the table of its view.

In `answer/` (pure: query bytes to reply bytes). Change here: which engine answers a client.

The table of a view has only the names that its clients may see (see `zone/views.py`), so nothing
is checked here: one lookup chooses the engine. A batch of clients with several views is split by
engine. Without views and policies, a worker does not use this stage.

Table 0 holds all names. Ordinary frames go to it, and every table has its claim: what dnsd
claims about its data does not depend on the view. A client whose table has not arrived yet is
not answered from another table: it gets SERVFAIL. Everything that does not depend on the view is
in `Shared`, one for all engines.
"""

from __future__ import annotations

from collections.abc import Sequence

from dnsd.answer.engine import Engine
from dnsd.answer.gate import Remembered
from dnsd.answer.outcome import Forward, Outcome
from dnsd.answer.shared import Shared
from dnsd.answer.stages import answer_by_group
from dnsd.answer.transport import Transport
from dnsd.dns.networks import NetworkMap
from dnsd.zone.views import is_view_frame, read_view_frame


class Views:
    """The engines of all views. A `Stage` that always needs the client."""

    needs_client = True

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._full = Engine(shared)
        self.table = self._full.table
        self._engines: dict[int, Engine] = {0: self._full}
        self._not_ready = Engine(shared)  # gets no frames
        self._networks: NetworkMap[int] = NetworkMap(())
        self._pods: dict[bytes, int] = {}
        self._of = Remembered(self._engine_of)

    def apply(self, frame: bytes) -> None:
        """Applies a frame of table 0, or a `ViewFrame`. Raises msgspec.DecodeError."""
        if is_view_frame(frame):
            self._apply_view_frame(frame)
            return
        claim = self.table.claim
        self.table.apply(frame)
        if self.table.claim != claim:
            for engine in self._engines.values():
                if engine is not self._full:
                    engine.table.adopt(self.table.claim)

    def _apply_view_frame(self, frame: bytes) -> None:
        step = read_view_frame(frame)
        if step.frame:
            engine = self._engines.get(step.number)
            if engine is None:
                engine = self._engines[step.number] = Engine(self.shared)
                engine.table.adopt(self.table.claim)
            engine.table.apply(step.frame)
        if step.reset:
            self._pods = {}
        if step.networks:
            self._networks = NetworkMap(step.networks)
        self._pods.update(step.clients)
        for address in step.forgotten:
            self._pods.pop(address, None)
        dropped = set(step.dropped)
        if step.reset:
            named = {0, *(number for _, number in step.networks), *self._pods.values()}
            dropped |= self._engines.keys() - named
        for number in dropped & self._engines.keys():
            self._engines.pop(number).forget()
        self._of.clear()

    def _engine_of(self, client: bytes) -> Engine:
        number = self._pods.get(client)
        if number is None:
            number = self._networks.get(client)
        not_ready = self._not_ready
        return not_ready if number is None else self._engines.get(number, not_ready)

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        """See `Stage`."""
        return self._of[client].answer(packet, client, transport)

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> list[Outcome]:
        """See `Stage`; `clients` is not None."""
        assert clients is not None  # noqa: S101 - `needs_client` is True
        engines = list(map(self._of.__getitem__, clients))
        distinct = {engine: engine for engine in engines}
        if len(distinct) == 1:
            return engines[0].answer_batch(blob, lengths, stride, clients, transport)
        return answer_by_group(engines, distinct, blob, lengths, stride, clients, transport)

    def forward_denied(self, packet: bytes, client: bytes, transport: Transport) -> Forward | None:
        """See `Engine.forward_denied`."""
        return self._of[client].forward_denied(packet, client, transport)

    def counters(self) -> tuple[int, ...]:
        """The counters, in the order of `counter_names`."""
        return self.shared.counters.totals()
