"""`python -m bench.manifests`: the time to load manifests, and to publish a change.

In `bench/` (measurements). Change here: which manifests are loaded, and which change is timed.

*Load*: the time from the first byte to the last object, in this process, for Services with five
endpoints each: one JSON list, one YAML file with many documents, and one YAML file per Service.
*Change*: the bench replaces a small manifest by a rename, and waits until the source publishes the
event. The time contains the watch, the reading, and the thread. `bench/start.py` measures a change
up to the answer, with the zone and the workers.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from bench import names
from bench.names import Population
from bench.table import number, percentile, table
from dnsd.sources.manifests.source import Manifests, load
from dnsd.sources.source import Batch

SERVICES, CHANGES, ROUNDS = 10_000, 200, 3


def write(directory: Path, services: int) -> dict[str, Path]:
    """Write the same objects in three formats; title -> path."""
    documents = [names.documents(one) for one in names.services(Population(services))]
    objects = [each for one in documents for each in one]
    paths = {
        "JSON, one list": directory / "list.json",
        "YAML, one file": directory / "one.yaml",
        "YAML, one file per Service": directory / "many",
    }
    (directory / "list.json").write_bytes(names.as_list(objects))
    (directory / "one.yaml").write_bytes(names.as_yaml(objects))
    (directory / "many").mkdir()
    for i, pair in enumerate(documents):
        (directory / "many" / f"{i:06}.yaml").write_bytes(names.as_yaml(pair))
    return paths


def load_seconds(path: Path) -> float:
    """The shortest of ROUNDS loads."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        load(path)
        best = min(best, time.perf_counter() - begun)
    return best


async def change_seconds(directory: Path, count: int) -> list[float]:
    """Sorted seconds from the rename of a manifest to its event, one change after the other."""
    published = asyncio.Event()

    def publish(batch: Batch) -> None:
        if batch.synced:
            published.set()

    task = asyncio.create_task(Manifests(directory).run(publish))
    await published.wait()
    await asyncio.sleep(1.0)  # until the watch has started and has reported the directory
    draw, found = random.Random(1035), []
    for i in range(count):
        draft, path = directory / ".draft", directory / "changing.yaml"
        draft.write_text(
            f"kind: Service\nmetadata: {{name: changing}}\n"
            f"spec: {{clusterIP: 10.104.{i // 256}.{i % 256}}}\n"
        )
        published.clear()
        begun = time.perf_counter()
        draft.rename(path)
        await published.wait()
        found.append(time.perf_counter() - begun)
        await asyncio.sleep(draw.uniform(0.01, 0.06))  # so that changes do not follow a timer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return sorted(found)


def main() -> int:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as name:
        paths = write(Path(name), SERVICES)
        rows = [(title, number(load_seconds(path))) for title, path in paths.items()]
        print(table((f"{SERVICES:,} Services", "s to load"), rows))
        changes = asyncio.run(change_seconds(paths["YAML, one file per Service"], CHANGES))
    row = ["rename to event", *(number(percentile(changes, part) * 1e3) for part in (0.5, 0.99))]
    print()
    print(table(("change", "p50, ms", "p99, ms"), [row]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
