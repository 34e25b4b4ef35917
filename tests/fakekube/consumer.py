"""A running `KubernetesSource`, and the objects that it has published."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from dnsd.cluster.objects import RESOURCES, Key, Object, from_plain
from dnsd.sources.kubernetes.client import Client
from dnsd.sources.kubernetes.settings import KubernetesConfig
from dnsd.sources.kubernetes.snapshot import Snapshot
from dnsd.sources.kubernetes.source import KubernetesSource
from dnsd.sources.source import Batch, SourceStatus
from tests.fakekube.server import FakeKube


class Consumer:
    """Applies every batch that the source publishes."""

    def __init__(self, source: KubernetesSource) -> None:
        self.source = source
        self.objects: dict[Key, Object] = {}
        self.batches: list[Batch] = []

    def publish(self, batch: Batch) -> None:
        self.batches.append(batch)
        for event in batch.events:
            if isinstance(event, Key):
                # Before the source is synced, an object may go that was not published yet.
                known = self.objects.pop(event, None)
                assert known or not batch.synced, f"{event} is withdrawn but was never published"
            else:
                self.objects[event.key] = event

    @property
    def events(self) -> int:
        return sum(len(batch.events) for batch in self.batches)

    def names(self, kind: str = "Service") -> set[str]:
        return {key.name for key in self.objects if key.kind == kind}

    def status(self, scope: str) -> SourceStatus:
        (one,) = [one for one in self.source.status() if one.name == f"kubernetes/{scope}"]
        return one


def contents(kube: FakeKube) -> dict[Key, Object]:
    """The objects of the fake server, stripped, as a consumer of everything must have them."""
    out = {}
    for resource in RESOURCES.values():
        for stored in kube.store.objects.get(resource.plural, {}).values():
            (one,) = from_plain(stored.plain)
            out[one.key] = one
    return out


@asynccontextmanager
async def consuming(
    client: Client,
    config: KubernetesConfig | None = None,
    snapshot: Snapshot | None = None,
    **clocks: Callable[[], float],
) -> AsyncIterator[Consumer]:
    """Run the source until the end of the block. `clocks`: its `now` and `clock`."""
    source = KubernetesSource(client, config, snapshot=snapshot, rng=random.Random(1), **clocks)
    one = Consumer(source)
    task = asyncio.create_task(source.run(one.publish))
    try:
        yield one
    finally:
        if task.done():
            task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
