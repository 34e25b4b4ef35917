"""Thousands of random writes under random faults: at the end, the zone matches the cluster.

The tests use the real reflector and pipeline. At the end, objects and records must be those of a
pipeline that gets the contents of the fake server in one batch.

* The first soak tests the watches. No reconcile may correct them, and in the second half no fault
  causes a new list.
* The second soak tests the reconcile: no watch reports some writes, and only the reconcile lists.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from dnsd.dns.names import name_from_text
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.sources.kubernetes.settings import ALWAYS, KubernetesConfig
from dnsd.sources.kubernetes.source import KubernetesSource
from dnsd.sources.source import Batch
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import ExternalConfig, ExternalZone, SchemaConfig
from tests.fakekube import faults, plain
from tests.fakekube.connect import client_of
from tests.fakekube.consumer import contents
from tests.fakekube.server import FakeKube
from tests.helpers import eventually

WRITES = 1000  # of each half
OUT = "k8s.example.com"
SCHEMA = SchemaConfig(
    zones=(name_from_text("cluster.local."),),
    pods="verified",
    external=ExternalConfig(
        (ExternalZone(name_from_text(OUT), ttl=5),),
        ("nodes", "ingresses", "dnsendpoints"),
        node_pointers=True,
    ),
)
CONFIG = KubernetesConfig(
    kinds=(*ALWAYS, "Pod", "Node", "Ingress", "DNSEndpoint"), page_size=7, reconcile_every=0.0
)
PLURALS = (
    *("services", "endpointslices", "pods", "services", "endpointslices"),
    *("namespaces", "nodes", "ingresses", "dnsendpoints"),
)
NAMESPACES = ("default", "team-a", "team-b")
# Streams that end at once and without a word, as some faults have it, do not count as 410 here:
# whether that leads to lists is tested elsewhere.
TIMING = {"empty_ends": 10_000, "idle": 2.0, "grace": 0.1}


def records(pipeline: Pipeline) -> set[RRset]:
    """All served records except the SOA, whose serial counts the steps."""
    return {one for one in pipeline.zone.rrsets() if one.type != Type.SOA}


def wanted(kube: FakeKube) -> Pipeline:
    """The expected pipeline: the contents of the fake server, fed in one batch."""
    pipeline = Pipeline(SCHEMA, 1)
    pipeline.feed(Batch(tuple(contents(kube).values()), synced=True), 0.0)
    return pipeline


def equal(one: Pipeline, other: Pipeline) -> bool:
    """Whether two pipelines hold the same versions of all objects and serve the same records."""
    known, wanted = (
        {(thing.key, thing.version) for thing in p.state.objects()} for p in (one, other)
    )
    return known == wanted and records(one) == records(other)


class Writer:
    """Random writes; names are from small sets, so most writes are updates and deletes."""

    def __init__(self, kube: FakeKube, rng: random.Random) -> None:
        self.kube, self.rng = kube, rng

    def address(self) -> str:
        return f"10.{self.rng.randrange(4)}.{self.rng.randrange(8)}.{self.rng.randrange(1, 40)}"

    def write(self) -> None:
        plural = self.rng.choice(PLURALS)
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

    def some_nodes(self, namespace: str) -> plain.Plain:
        return plain.node(f"node-{self.rng.randrange(4)}", self.address())

    def some_ingresses(self, namespace: str) -> plain.Plain:
        number = self.rng.randrange(4)
        return {
            "kind": "Ingress",
            "apiVersion": "networking.k8s.io/v1",
            "metadata": {"name": f"i{number}", "namespace": namespace},
            "spec": {"rules": [{"host": f"{namespace}-{number}.{OUT}"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": self.address()}]}},
        }

    def some_dnsendpoints(self, namespace: str) -> plain.Plain:
        number = self.rng.randrange(4)
        record = {"dnsName": f"e{number}-{namespace}.{OUT}", "recordType": "A"}
        return {
            "kind": "DNSEndpoint",
            "apiVersion": "externaldns.k8s.io/v1alpha1",
            "metadata": {"name": f"e{number}", "namespace": namespace},
            "spec": {"endpoints": [record | {"targets": [self.address()]}]},
        }


def interrupt(kube: FakeKube, rng: random.Random) -> None:
    """A fault after which a watch resumes from its last resourceVersion."""
    plural = rng.choice([*PLURALS, ""])
    match rng.randrange(7):
        case 0:
            kube.end_streams()
        case 1:
            kube.faults.append(faults.cut(rng.randrange(1, 3000), plural=plural, verb="watch"))
        case 2:
            kube.faults.append(faults.close(plural=plural, times=rng.randrange(1, 5)))
        case 3:
            code = rng.choice([429, 500, 503])
            times = rng.randrange(1, 4)
            kube.faults.append(faults.status(code, plural=plural, verb="watch", times=times))
        case 4:
            kube.faults.append(faults.split(rng.randrange(1, 50), plural=plural, times=2))
        case 5:
            drip = faults.drip(rng.randrange(20, 200), 0.001, after=rng.randrange(300))
            kube.faults.append(msgspec.structs.replace(drip, plural=plural))
        case 6:
            kube.tokens = {"another"} if rng.random() < 0.5 else set()


async def disturb(kube: FakeKube, rng: random.Random) -> None:
    """A random fault of any kind."""
    plural = rng.choice(PLURALS)
    match rng.randrange(12):
        case 0:
            kube.store.compact()
        case 1:
            kube.faults.append(faults.error(rng.choice([410, 500]), plural=plural))
        case 2:
            code = rng.choice([410, 422, 500])
            kube.faults.append(faults.status(code, plural=plural, times=rng.randrange(1, 4)))
        case 3:
            kube.watch_list = rng.choice(["on", "error", "invalid", "bad"])
        case 4:
            kube.forbidden = set(rng.choices([("watch", plural), ("list", plural)], k=1))
        case 5:
            kube.forbidden = set()
        case 6:
            kube.faults.append(faults.silence(plural=plural))
        case 7:
            kube.not_installed = {"dnsendpoints"} if rng.random() < 0.5 else set()
            kube.end_streams()
        case 8:
            await kube.stop()
            kube.store.compact()
            await kube.start()
        case _:
            interrupt(kube, rng)


def calm(kube: FakeKube) -> None:
    """End all faults."""
    kube.faults.clear()
    kube.forbidden, kube.tokens, kube.not_installed = set(), set(), set()


@asynccontextmanager
async def soaking(
    kube: FakeKube, folder, config: KubernetesConfig, seed: int
) -> AsyncIterator[tuple[KubernetesSource, Pipeline]]:
    """A running source and the pipeline that it feeds."""
    pipeline = Pipeline(SCHEMA, 1)
    async with client_of(kube, folder, **TIMING) as client:
        source = KubernetesSource(client, config, rng=random.Random(seed))
        running = asyncio.create_task(source.run(lambda batch: pipeline.feed(batch, 0.0)))
        try:
            yield source, pipeline
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    assert not pipeline.failed


def total(source: KubernetesSource, count: str) -> int:
    return sum(getattr(status, count) for status in source.status())


async def in_step(kube: FakeKube, source: KubernetesSource, pipeline: Pipeline) -> None:
    """End all faults, and wait until the pipeline matches the fake server."""
    calm(kube)
    await eventually(lambda: source.synced and equal(pipeline, wanted(kube)))


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_all_faults_the_zone_matches_the_cluster(seed, tmp_path):
    rng = random.Random(seed)
    async with (
        FakeKube(bookmark_every=0.05, uid="one") as kube,
        soaking(kube, tmp_path, CONFIG, seed) as (source, pipeline),
    ):
        writer = Writer(kube, rng)
        for number in range(WRITES):
            if number % 100 == 0:
                await in_step(kube, source, pipeline)
            if number % 10 == 0:
                await disturb(kube, rng)
            writer.write()
            await asyncio.sleep(0)
        await in_step(kube, source, pipeline)
        assert total(source, "relists") > 10
        assert total(source, "errors") > 20
        # From here on every event must come by its watch: nothing is listed again.
        relists = total(source, "relists")
        for number in range(WRITES):
            if number % 100 == 0:
                await in_step(kube, source, pipeline)
            if number % 10 == 0:
                interrupt(kube, rng)
            writer.write()
            await asyncio.sleep(0)
        await in_step(kube, source, pipeline)
        assert total(source, "relists") == relists
        assert total(source, "corrections") == 0
        assert len(records(pipeline)) > 50


async def test_a_reconcile_finds_the_writes_that_no_watch_reported(tmp_path):
    rng = random.Random(3)
    config = msgspec.structs.replace(CONFIG, reconcile_every=0.2)
    async with (
        FakeKube(bookmark_every=0.05, uid="one") as kube,
        soaking(kube, tmp_path, config, 3) as (source, pipeline),
    ):
        writer = Writer(kube, rng)
        for number in range(WRITES):
            if number % 250 == 0:
                await in_step(kube, source, pipeline)
            if number % 25 == 0:
                kube.store.lose(rng.choice(PLURALS), rng.randrange(1, 4))
                interrupt(kube, rng)
            writer.write()
            await asyncio.sleep(0)
        await in_step(kube, source, pipeline)
        corrections = total(source, "corrections")
        assert corrections > 10
        for plural in ("services", "namespaces"):  # and when all is quiet
            kube.store.lose(plural, 1)
        kube.store.put("services", plain.service("late", "10.9.9.7"))
        kube.store.put("namespaces", plain.namespace("late"))
        await in_step(kube, source, pipeline)
        assert total(source, "corrections") >= corrections + 2
        assert total(source, "relists") == 0
