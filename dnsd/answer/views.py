"""Several engines that answer as one: each client is answered from the table of its sight.

What a client must not see is not in its table (see `zone/sight.py`), so there is nothing to
check here: one lookup chooses the engine, and the engine is the usual one. Where there are
no views and no policies this module is not in use, and costs nothing.

Table 0 holds everything; it is the one that ordinary frames go to, and whose state all share.
A client whose table has not come yet is not answered from another's: it gets SERVFAIL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dnsd.answer.engine import Engine, EngineConfig, Forward
from dnsd.answer.transport import Transport
from dnsd.dns.networks import NetworkMap
from dnsd.zone.frame import compile_state
from dnsd.zone.views import is_view_frame, read_view_frame

_REMEMBERED = 10_000  # clients whose engine is remembered

Kept = Callable[[bytes, bytes, bytes, bool, int], bytes | None]


class Views:
    """The engines of all sights. Answers like `Engine`; always needs the client."""

    needs_client = True

    def __init__(self, config: EngineConfig, transports: Iterable[Transport]) -> None:
        self.config, self.transports = config, tuple(transports)
        self._full = Engine(config, self.transports)
        self.table = self._full.table
        self.tally = self._full.tally
        self._engines: dict[int, Engine] = {0: self._full}
        self._blind = self._engine()  # never told anything: not ready for ever
        self._state = self.table.state
        self._networks: NetworkMap[int] = NetworkMap(())
        self._pods: dict[bytes, int] = {}
        self._known: dict[bytes, Engine] = {}

    @property
    def kept(self) -> Kept | None:
        """As of `Engine`; names of others are the same for everybody."""
        return self._full.kept

    @kept.setter
    def kept(self, kept: Kept | None) -> None:
        for engine in (self._blind, *self._engines.values()):
            engine.kept = kept

    def _engine(self) -> Engine:
        engine = Engine(self.config, self.transports)
        engine.tally, engine.kept = self.tally, self._full.kept
        return engine

    @staticmethod
    def concerns(frame: bytes) -> bool:
        """Whether a frame is for `apply`, and not for the table of those who see everything."""
        return is_view_frame(frame)

    def apply(self, frame: bytes) -> None:
        """Takes in a frame that tells of sights. Raises msgspec.DecodeError."""
        step = read_view_frame(frame)
        if step.frame:
            engine = self._engines.get(step.number)
            if engine is None:
                engine = self._engines[step.number] = self._engine()
                engine.table.apply(compile_state(self.table.state))
            engine.table.apply(step.frame)
        if step.reset:
            self._pods = {}
        if step.networks:
            self._networks = NetworkMap(step.networks)
        self._pods.update(step.clients)
        for address in step.forgotten:
            self._pods.pop(address, None)
        for number in step.dropped:
            self._engines.pop(number, None)
        if step.reset:
            named = {0, *(number for _, number in step.networks), *self._pods.values()}
            self._engines = {i: one for i, one in self._engines.items() if i in named}
        self._known = {}

    def _for(self, client: bytes) -> Engine:
        """The engine that answers a client."""
        if self._state != self.table.state:
            self._share_state()
        engine = self._known.get(client)
        if engine is None:
            number = self._pods.get(client)
            if number is None:
                number = self._networks.get(client)
            engine = self._blind if number is None else self._engines.get(number, self._blind)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[client] = engine
        return engine

    def _share_state(self) -> None:
        self._state = self.table.state
        for engine in self._engines.values():
            if engine is not self._full:
                engine.table.apply(compile_state(self._state))

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> bytes | Forward | None:
        """See `Engine.answer`."""
        return self._for(client).answer(packet, client, transport)

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> list[bytes | Forward | None]:
        """See `Engine.answer_batch`; `clients` must be there."""
        assert clients is not None  # noqa: S101 - `needs_client` says so
        engines = [self._for(client) for client in clients]
        if len(set(map(id, engines))) == 1:
            return engines[0].answer_batch(blob, lengths, stride, clients, transport)
        return [
            engines[i].answer(blob[i * stride : i * stride + length], clients[i], transport)
            for i, length in enumerate(lengths)
        ]

    def counters(self) -> tuple[int, ...]:
        """Totals since the start, in the order of `counter_names`."""
        return self.tally.totals()
