"""A control plane with real workers, and a source that publishes only what a test hands in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.edns
import dns.message
import dns.rcode

from dnsd.cluster.objects import Event, Service
from dnsd.control.plane import ControlPlane
from dnsd.control.serial import SerialFile
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address, pack_address
from dnsd.sources.source import Batch, SourceStatus
from dnsd.transport.listener import bind_group

HOST, NAME = "127.0.0.1", "web.default.svc.cluster.local"


class Silent:
    """A source that never publishes anything by itself."""

    async def run(self, publish: Callable[[Batch], None]) -> None:
        raise AssertionError("it is not run")

    def status(self) -> list[SourceStatus]:
        return []

    def reload(self) -> None:
        return


def web(address: str, name: str = "web") -> Service:
    return Service("default", name, cluster_ips=(pack_address(address),))


@asynccontextmanager
async def plane(
    settings: Settings = Settings(),  # noqa: B008
    clusters: Sequence[str] = ("",),
    workers: int = 1,
) -> AsyncIterator[ControlPlane]:
    """A control plane whose workers answer; they are ended at the end."""
    slots = bind_group(Address(HOST, 0), workers=workers)
    sources = [Silent() for _ in clusters]
    built = ControlPlane(settings, slots, sources, SerialFile(""), clusters)
    built.supervisor.start()
    try:
        built.supervisor.release()
        await built.supervisor.opened()
        yield built
    finally:
        await built.supervisor.stop()


async def query(plane: ControlPlane, name: str = NAME) -> dns.message.Message:
    message = dns.message.make_query(name, "A", use_edns=0)
    port = plane.addresses[0].port
    return await dns.asyncquery.udp(message, HOST, port=port, timeout=20)


def summary(reply: dns.message.Message) -> tuple[str, list[str], list[int]]:
    """Rcode, addresses, and extended errors of a reply."""
    values = sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)
    errors = [int(error.code) for error in reply.extended_errors()]
    return dns.rcode.to_text(reply.rcode()), values, errors


def publish(plane: ControlPlane, *events: Event, synced: bool = False) -> None:
    plane.publish(Batch(tuple(events), synced=synced))
