"""A small zone, and real worker processes that serve it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.message

from dnsd.answer.settings import EngineConfig
from dnsd.cluster.objects import Key
from dnsd.dns.addresses import Address
from dnsd.dns.names import name_from_text
from dnsd.dns.rrset import rrset
from dnsd.dns.types import Type
from dnsd.transport.limits import StreamLimits
from dnsd.transport.listener import bind_group
from dnsd.worker.messages import Setup
from dnsd.worker.process import Timeouts
from dnsd.worker.supervisor import Supervisor
from dnsd.zone.change import Cause
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.frame import FRESH, compile_state
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.zone import Zone

WEB = "web.default.svc.cluster.local."
HOST = "127.0.0.1"
PATIENCE = Timeouts()
SETUP = Setup(
    index=0,
    sockets=(),
    engine=EngineConfig(version_text="first"),
    limits=StreamLimits(),
)


class Plane:
    """A zone, and a supervisor that serves it on one address."""

    def __init__(
        self, workers: int = 1, setup: Setup = SETUP, timeouts: Timeouts = PATIENCE
    ) -> None:
        self.zone = Zone(SchemaConfig(zones=(name_from_text("cluster.local."),)), 1)
        self.put("10.0.0.1")
        slots = bind_group(Address(HOST, 0), workers=workers)
        self.port = slots[0][0].address.port
        self.supervisor = Supervisor(slots, setup, self.table, timeouts)

    def table(self) -> Iterator[bytes]:
        yield from compile_all(self.zone)
        yield compile_state(FRESH)

    def put(self, address: str, name: str = WEB) -> list[bytes]:
        """Give `name` one address. Returns the frames of the change."""
        contributor = Key("Service", "default", name)
        packed = bytes(map(int, address.split(".")))
        records = [rrset(name_from_text(name), Type.A, 5, [packed])]
        change = self.zone.replace(contributor, records, Cause(contributor))
        return [compile_change(change, self.zone)] if change else []

    def change(self, address: str, name: str = WEB) -> None:
        """The same, and send the frames to the workers."""
        self.supervisor.broadcast(self.put(address, name), asyncio.get_running_loop().time())

    async def ask(self, name: str = WEB, *, tcp: bool = False) -> list[str]:
        """The addresses in the answer."""
        query = dns.message.make_query(name, "A")
        ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        reply = await ask(query, HOST, port=self.port, timeout=20)
        return sorted(rdata.to_text() for one in reply.answer for rdata in one)

    async def answers(self, name: str, address: str) -> bool:
        """Whether `name` has only this address."""
        return await self.ask(name) == [address]

    async def version(self) -> str:
        """The reply to version.bind: which setup answers."""
        query = dns.message.make_query("version.bind", "TXT", "CH")
        reply = await dns.asyncquery.udp(query, HOST, port=self.port, timeout=20)
        return reply.answer[0][0].strings[0].decode()

    def pids(self) -> list[int]:
        return [status.pid for status in self.supervisor.status()]


@asynccontextmanager
async def answering(
    workers: int = 1, setup: Setup = SETUP, timeouts: Timeouts = PATIENCE
) -> AsyncIterator[Plane]:
    """A plane whose workers answer; they are ended at the end."""
    plane = Plane(workers, setup, timeouts)
    plane.supervisor.start()
    try:
        plane.supervisor.release()
        await plane.supervisor.opened()
        yield plane
    finally:
        await plane.supervisor.stop()
