"""Two thousand random writes under random faults: at the end the zone is the cluster's.

Through the real reflector and the real pipeline: what is served at the end must be what
a pipeline makes that is fed the fake server's contents in one batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from dnsd.cluster.kubernetes import ALWAYS, KubernetesConfig, KubernetesSource
from dnsd.cluster.source import Batch
from dnsd.pipeline import Pipeline
from dnsd.zone.rrset import RRset, Type, name_from_text
from dnsd.zone.schema import SchemaConfig
from tests.fakekube import faults, plain
from tests.fakekube.connect import client_of
from tests.fakekube.following import contents
from tests.fakekube.server import FakeKube
from tests.helpers import eventually

WRITES = 2000
SCHEMA = SchemaConfig(zones=(name_from_text("cluster.local."),), pods="verified")
CONFIG = KubernetesConfig(kinds=(*ALWAYS, "Pod"), page_size=7, reconcile_every=0.2)
NAMESPACES = ("default", "team-a", "team-b")


def records(pipeline: Pipeline) -> set[RRset]:
    """All that is served, but the SOA, which counts the steps taken."""
    return {one for one in pipeline.zone.rrsets() if one.type != Type.SOA}


def wanted(kube: FakeKube) -> set[RRset]:
    """What is to be served: the records of the fake server's contents, fed in one batch."""
    pipeline = Pipeline(SCHEMA, 1)
    pipeline.feed(Batch(tuple(contents(kube).values()), synced=True), 0.0)
    return records(pipeline)


class Writer:
    """Makes random writes; names come from small sets, so that most are updates and deletes."""

    def __init__(self, kube: FakeKube, rng: random.Random) -> None:
        self.kube, self.rng = kube, rng

    def address(self) -> str:
        return f"10.{self.rng.randrange(4)}.{self.rng.randrange(8)}.{self.rng.randrange(1, 40)}"

    def write(self) -> None:
        plural = self.rng.choice(["services", "services", "endpointslices", "pods", "namespaces"])
        held = self.kube.store.objects.get(plural, {})
        if held and self.rng.random() < 0.3:
            namespace, name = self.rng.choice(sorted(held))
            if name != "kube-system":
                self.kube.store.delete(plural, name, namespace)
                return
        self.kube.store.put(plural, getattr(self, f"some_{plural}")(self.rng.choice(NAMESPACES)))

    def some_namespaces(self, namespace: str) -> plain.Plain:
        return plain.namespace(namespace, {"turn": str(self.rng.randrange(5))})

    def some_services(self, namespace: str) -> plain.Plain:
        name = f"s{self.rng.randrange(12)}"
        kind = self.rng.randrange(4)
        if kind == 0:
            return plain.external(name, f"x{self.rng.randrange(3)}.example", namespace=namespace)
        ports = tuple((f"p{one}", 80 + one) for one in range(self.rng.randrange(1, 4)))
        ip = "None" if kind == 1 else self.address()
        return plain.service(name, ip, namespace=namespace, ports=ports)

    def some_endpointslices(self, namespace: str) -> plain.Plain:
        service = f"s{self.rng.randrange(12)}"
        return plain.endpoint_slice(
            f"{service}-{self.rng.randrange(2)}",
            service,
            [self.address() for _ in range(self.rng.randrange(4))],
            namespace=namespace,
            ports=(("p0", 80),),
            ready=self.rng.random() < 0.8,
        )

    def some_pods(self, namespace: str) -> plain.Plain:
        phase = self.rng.choice(["Running", "Running", "Succeeded"])
        name = f"pod-{self.rng.randrange(10)}"
        return plain.pod(name, self.address(), namespace=namespace, phase=phase)


async def disturb(kube: FakeKube, rng: random.Random) -> None:
    """One of everything that can go wrong."""
    plural = rng.choice(["services", "endpointslices", "namespaces", "pods", ""])
    match rng.randrange(11):
        case 0:
            kube.store.compact()
        case 1:
            kube.hang_up()
        case 2:
            kube.faults.append(faults.cut(rng.randrange(1, 3000), plural=plural))
        case 3:
            kube.faults.append(faults.close(plural=plural, times=rng.randrange(1, 5)))
        case 4:
            kube.faults.append(faults.error(rng.choice([410, 500]), plural=plural))
        case 5:
            code = rng.choice([410, 422, 429, 500, 503])
            kube.faults.append(faults.status(code, plural=plural, times=rng.randrange(1, 4)))
        case 6:
            kube.store.lose(plural or "services", rng.randrange(1, 3))
        case 7:
            kube.watch_list = rng.choice(["on", "error", "invalid", "bad"])
        case 8:
            kube.faults.append(faults.split(rng.randrange(1, 50), plural=plural, times=2))
        case 9:
            kube.forbidden = {("watch", plural)} if rng.random() < 0.5 else set()
        case 10:
            await kube.stop()
            kube.store.compact()
            await kube.start()


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_all_that_the_zone_is_the_clusters(seed, tmp_path):
    rng = random.Random(seed)
    async with FakeKube(bookmark_every=0.05) as kube, client_of(kube, tmp_path) as client:
        pipeline = Pipeline(SCHEMA, 1)
        source = KubernetesSource(client, CONFIG, rng=random.Random(seed))
        running = asyncio.create_task(source.run(lambda batch: pipeline.feed(batch, 0.0)))
        try:
            writer = Writer(kube, rng)
            for number in range(WRITES):
                writer.write()
                if number % 8 == 0:
                    await asyncio.sleep(0)
                if number % 25 == 0:
                    await disturb(kube, rng)
                    await asyncio.sleep(0.005)
            kube.faults.clear()
            kube.forbidden.clear()
            await eventually(lambda: source.synced and records(pipeline) == wanted(kube))
            assert len(wanted(kube)) > 50
            # Nothing disturbs it now but writes that no watch is told of.
            kube.store.lose("services", 3)
            for address in ("10.9.9.7", "10.9.9.8", "10.9.9.9"):
                kube.store.put("services", plain.service(f"late-{address[-1]}", address))
            await eventually(lambda: records(pipeline) == wanted(kube))
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        assert not pipeline.failed
        assert sum(status.relists for status in source.status()) > 0
        assert sum(status.errors for status in source.status()) > 0
        assert sum(status.corrections for status in source.status()) >= 3
