"""The query tables and the raw messages over every transport, from every source.

One gate stands before all transports, and all sources publish the same objects. This test fails if
a transport bypasses the gate, or if a source reads an object differently.
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
from dnsd.answer.shared import Shared
from dnsd.answer.transport import Transport
from dnsd.cluster.objects import RESOURCES
from dnsd.dns.addresses import Address
from dnsd.sources.kubernetes.client import connect
from dnsd.sources.kubernetes.credentials import Access
from dnsd.sources.kubernetes.settings import KubernetesConfig
from dnsd.sources.kubernetes.source import KubernetesSource
from dnsd.sources.manifests.source import Manifests
from dnsd.sources.source import Batch, Source
from dnsd.transport.answering import Answering
from dnsd.transport.listener import bind_group
from dnsd.transport.registry import TRANSPORTS, UDP
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.frame import FRESH, compile_state
from dnsd.zone.pipeline import Pipeline
from tests.cases import tables
from tests.cases.cluster import objects
from tests.cases.raw import LARGEST, RAW, check
from tests.exchange import over_tcp, over_udp
from tests.fakekube.server import FakeKube
from tests.helpers import DEADLINE
from tests.system.test_cases import ENGINE, SCHEMA

Query = Callable[[int, bytes], Awaitable[bytes | None]]


def write(folder: Path) -> None:
    """The cluster as manifests, one object per file."""
    for i, plain in enumerate(objects()):
        (folder / f"{i}.json").write_bytes(msgspec.json.encode(plain))


@contextlib.asynccontextmanager
async def manifests(folder: Path) -> AsyncIterator[Source]:
    write(folder)
    yield Manifests(folder)


@contextlib.asynccontextmanager
async def kubernetes(folder: Path) -> AsyncIterator[Source]:
    async with FakeKube() as kube:
        kube.not_installed = set()
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
async def serving(source: Source, **options: Any) -> AsyncIterator[int]:
    """The port of each transport that serves the data of `source`, when it is synced.

    `options` are those of UDP servers.
    """
    pipeline, engine = Pipeline(SCHEMA, 1), Engine(Shared(ENGINE, TRANSPORTS))
    synced = asyncio.Event()
    for frame in compile_all(pipeline.zone):
        engine.apply(frame)
    pipeline.on_change.append(lambda change: engine.apply(compile_change(change, pipeline.zone)))

    def publish(batch: Batch) -> None:
        pipeline.feed(batch, 0.0)
        if batch.synced:
            synced.set()

    task = asyncio.create_task(source.run(publish))
    (listeners,) = bind_group(Address("127.0.0.1", 0), tuple(TRANSPORTS))
    servers = [
        TRANSPORTS[transport]()(
            listener.socket,
            Answering(transport, engine),
            **(options if transport == UDP else {}),
        )
        for listener in listeners
        for transport in (listener.transport,)
    ]
    for server in servers:
        server.start()
    try:
        async with asyncio.timeout(DEADLINE):
            await synced.wait()
        engine.apply(compile_state(FRESH))
        yield listeners[0].address.port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for server in servers:
            server.close()


WAYS = [
    *(pytest.param(transport, {}, id=transport.name) for transport in TRANSPORTS),
    pytest.param(UDP, {"batched": False}, id="udp-one-by-one"),
]


def query_over(transport: Transport) -> Query:
    """How a test sends one message over a transport."""
    return over_udp if transport.datagram else over_tcp


@pytest.mark.parametrize(("transport", "options"), WAYS)
@pytest.mark.parametrize("of", [manifests, kubernetes])
async def test_the_tables_hold_over_every_transport_and_from_every_source(
    of: Any, transport: Transport, options: dict[str, Any], tmp_path: Path
) -> None:
    queries = 0
    async with of(tmp_path) as source, serving(source, **options) as port:
        for case in tables():
            if not case.runs_over(transport):
                continue
            query = case.query()
            reply = await query_over(transport)(port, query.to_wire())
            assert reply is not None, case.where
            case.check(query, reply)
            queries += 1
    assert queries > 100


@pytest.mark.parametrize(("transport", "options"), WAYS)
async def test_raw_messages_get_the_same_reply_over_every_transport(
    transport: Transport, options: dict[str, Any], tmp_path: Path
) -> None:
    send = query_over(transport)
    async with manifests(tmp_path) as source, serving(source, **options) as port:
        for raw in RAW:
            if raw.rcode is not None:
                check(raw, await send(port, raw.packet))
        if not transport.datagram:
            for raw in LARGEST:
                check(raw, await send(port, raw.packet))
            return
        # Those that get no reply: the first reply that arrives answers the query behind them.
        usual = next(raw.packet for raw in RAW if raw.data)
        for raw in RAW:
            if raw.rcode is None:
                assert await over_udp(port, raw.packet, wait=0.05) is None
        assert await over_udp(port, usual) is not None
