"""`python -m bench.table_load`: the longest step of the control loop in its longest works.

In `bench/` (measurements). Change here: which steps of the control process are measured.

A control process gets 1 and then 4 workers. While they load the table, one Service changes
repeatedly. Then all Services change in one batch, and a reload rebuilds the zone with another TTL.
The bench takes the CPU time of the thread in each step of the event loop, so the workers, which
share the cores, do not count. The goal is 50 ms per step.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dnsd.cluster.objects import Endpoint, EndpointPort, EndpointSlice, Service, ServicePort
from dnsd.control.plane import ControlPlane
from dnsd.control.serial import SerialFile
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address
from dnsd.sources.source import Batch, SourceStatus
from dnsd.transport.listener import bind_group

GOAL = 0.050  # seconds


class SilentSource:
    """A source that publishes nothing; the bench publishes its batches."""

    async def run(self, publish: Callable[[Batch], None]) -> None: ...

    def status(self) -> list[SourceStatus]:
        return []

    def reload(self) -> None: ...


class Steps:
    """The longest step of the running event loop since `begin`."""

    def __init__(self) -> None:
        self.longest = self._last = 0.0

    def begin(self) -> None:
        self.longest, self._last = 0.0, time.thread_time()

    async def measure(self) -> None:
        """Measure until cancelled."""
        while True:
            now = time.thread_time()
            self.longest, self._last = max(self.longest, now - self._last), now
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds of the longest step of each work; of the load, also its duration and the changes."""

    load: float
    took: float
    changes: int
    batch: float
    reload: float


def objects(services: int, endpoints: int, port: int = 80) -> Iterator[Service | EndpointSlice]:
    """Services, each with an EndpointSlice of `endpoints` addresses."""
    for number in range(services):
        namespace, name = f"ns-{number % 100}", f"svc-{number}"
        address = (10 << 24 | 96 << 16) + number
        ports = (ServicePort("http", "TCP", port),)
        yield Service(namespace, name, cluster_ips=(address.to_bytes(4, "big"),), ports=ports)
        first = (10 << 24 | 128 << 16) + number * endpoints
        found = [Endpoint((at.to_bytes(4, "big"),)) for at in range(first, first + endpoints)]
        yield EndpointSlice(
            namespace,
            f"{name}-1",
            name,
            endpoints=tuple(found),
            ports=(EndpointPort("http", "TCP", 80),),
        )


async def measure(workers: int, services: int, endpoints: int) -> Result:
    """Load the table into `workers` workers, change all Services at once, and reload."""
    slots = bind_group(Address("127.0.0.1", 0), workers=workers)
    plane = ControlPlane(Settings(), slots, [SilentSource()], SerialFile(""))
    found = list(objects(services, endpoints))
    for first in range(0, len(found), 1000):
        plane.publish(Batch(tuple(found[first : first + 1000])))
    plane.publish(Batch(synced=True))
    await plane.synced.wait()
    plane.supervisor.start()
    steps = Steps()
    measuring = asyncio.create_task(steps.measure())
    try:
        gc.collect()
        gc.freeze()
        steps.begin()
        began = time.monotonic()
        plane.supervisor.release()
        opened = asyncio.create_task(plane.supervisor.opened())
        changes = 0
        while not opened.done():
            changes += 1
            address = (10 << 24 | 104 << 16 | changes % 65536).to_bytes(4, "big")
            plane.publish(Batch((Service("ns-0", "svc-0", cluster_ips=(address,)),), synced=True))
            await asyncio.wait((opened,), timeout=0.02)
        await opened
        load, took = steps.longest, time.monotonic() - began
        await plane.supervisor.caught_up()
        last = Service("ns-0", "last", cluster_ips=(bytes((10, 96, 255, 255)),))
        batch_of_all = Batch((*objects(services, endpoints, 81), last), synced=True)
        done = asyncio.Event()
        plane.pipeline.on_change.append(
            lambda change: done.set() if change.contributor == last.key else None
        )
        await asyncio.sleep(0)
        steps.begin()
        plane.publish(batch_of_all)
        await done.wait()
        await asyncio.sleep(0)  # the measuring task takes the last step
        batch = steps.longest
        steps.begin()
        await plane.reconfigure(plane.settings.updated(ttl=7))
        return Result(load, took, changes, batch, steps.longest)
    finally:
        measuring.cancel()
        await plane.supervisor.stop()
        gc.unfreeze()


def main() -> int:
    """Print the steps with 1 and with 4 workers; exit code 1 if one is longer than the goal."""
    parser = argparse.ArgumentParser(prog="python -m bench.table_load")
    parser.add_argument("--services", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument(
        "--endpoints", type=int, default=5, help="per Service; default: %(default)s"
    )
    chosen = parser.parse_args()
    missed = False
    for workers in (1, 4):
        result = asyncio.run(measure(workers, chosen.services, chosen.endpoints))
        longest = {
            f"load ({result.took:.1f} s, {result.changes} changes during it)": result.load,
            "batch of all Services": result.batch,
            "reload with another TTL": result.reload,
        }
        print(f"{workers} worker(s): longest step, CPU time")
        for work, seconds in longest.items():
            missed |= seconds > GOAL
            print(f"  {seconds * 1000:4.0f} ms  {work}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
