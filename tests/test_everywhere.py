"""The query tables and the raw messages over every transport, from every source.

One gate stands in front of all transports, and two sources say the same things: this is the
test that would notice a transport with a way around, or a source with words of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dnsd.answer.engine import Engine
from dnsd.answer.transport import Transport
from dnsd.cluster.objects import RESOURCES
from dnsd.dns.addresses import Address
from dnsd.sources.kubernetes.client import connect
from dnsd.sources.kubernetes.credentials import Access
from dnsd.sources.kubernetes.source import KubernetesConfig, KubernetesSource
from dnsd.sources.manifests.source import Manifests
from dnsd.sources.source import Source
from dnsd.transport.listener import bind_group
from dnsd.transport.registry import TCP, TRANSPORTS, UDP
from dnsd.transport.tcp import Tcp
from dnsd.transport.udp import Udp
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.frame import FRESH, compile_state
from dnsd.zone.pipeline import Pipeline
from tests.asking import over_tcp, over_udp
from tests.cases import tables
from tests.cases.cluster import objects
from tests.cases.raw import LARGEST, RAW, check
from tests.fakekube.server import FakeKube
from tests.helpers import eventually
from tests.test_cases import ENGINE, SCHEMA

Forward = Callable[[int, bytes], Awaitable[bytes | None]]


def write(folder: Path) -> None:
    """The cluster as manifests, one object a file."""
    for i, plain in enumerate(objects()):
        (folder / f"{i}.json").write_bytes(msgspec.json.encode(plain))


@contextlib.asynccontextmanager
async def manifests(folder: Path) -> AsyncIterator[Source]:
    write(folder)
    yield Manifests(folder)


@contextlib.asynccontextmanager
async def kubernetes(folder: Path) -> AsyncIterator[Source]:
    async with FakeKube() as kube:
        kube.lacking = set()
        for plain in objects():
            kube.store.put(RESOURCES[plain["kind"]].plural, plain)
        config = folder / "kubeconfig"
        config.write_text(kube.kubeconfig())
        client = await connect(Access(str(config)))
        try:
            yield KubernetesSource(client, KubernetesConfig(kinds=tuple(RESOURCES)))
        finally:
            await client.close()


@contextlib.asynccontextmanager
async def serving(source: Source, batched: bool = True) -> AsyncIterator[int]:
    """The port on which what `source` says is answered, once it is in sync."""
    pipeline, engine = Pipeline(SCHEMA, 1), Engine(ENGINE, TRANSPORTS)
    for frame in compile_all(pipeline.zone):
        engine.table.apply(frame)
    pipeline.on_change.append(
        lambda change: engine.table.apply(compile_change(change, pipeline.zone))
    )
    task = asyncio.create_task(source.run(lambda batch: pipeline.feed(batch, 0.0) and None))
    ((udp_listener, tcp_listener),) = bind_group(Address("127.0.0.1", 0))
    udp = Udp(udp_listener.socket, UDP, engine, batched=batched)
    tcp = Tcp(tcp_listener.socket, TCP, engine)
    udp.start()
    tcp.start()
    try:
        await eventually(lambda: pipeline.synced, "the source is in sync")
        engine.table.apply(compile_state(FRESH))
        yield tcp_listener.address.port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        udp.close()
        tcp.close()


WAYS: dict[str, tuple[Transport, bool, Forward]] = {
    "udp": (UDP, True, over_udp),
    "udp-one-by-one": (UDP, False, over_udp),
    "tcp": (TCP, True, over_tcp),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("of", [manifests, kubernetes])
async def test_tables(of: Any, way: str, tmp_path: Path) -> None:
    kind, batched, ask = WAYS[way]
    asked = 0
    async with of(tmp_path) as source, serving(source, batched) as port:
        for case in tables():
            if not case.runs_over(kind):
                continue
            query = case.query()
            reply = await ask(port, query.to_wire())
            assert reply is not None, case.where
            case.check(query, reply)
            asked += 1
    assert asked > 100


@pytest.mark.parametrize("way", WAYS)
async def test_raw_messages(way: str, tmp_path: Path) -> None:
    _, batched, ask = WAYS[way]
    async with manifests(tmp_path) as source, serving(source, batched) as port:
        for raw in RAW:
            if raw.rcode is not None:
                check(raw, await ask(port, raw.packet))
        for raw in LARGEST if way == "tcp" else ():
            check(raw, await ask(port, raw.packet))
        # Those that get no reply: whatever comes back first answers the query behind them.
        if way != "tcp":
            usual = next(raw.packet for raw in RAW if raw.data)
            for raw in RAW:
                if raw.rcode is None:
                    assert await over_udp(port, raw.packet, wait=0.05) is None
            assert await over_udp(port, usual) is not None
