"""`python -m bench.manifests`: how long manifests take to load, and a change to be published.

Lives in `bench/` (measurements). Change here: what is loaded, and which change is timed.

*Load*: Services with five endpoints each, once as one YAML file of many documents, once as a YAML
file for each Service, and once as one JSON list; from the first byte to the last object, in this
process. *Change*: a small manifest beside them is replaced by a rename, and the source publishes
the event. It takes the watch, the reading, and the thread; the zone and the workers come after it
(`bench/start.py` measures the whole way).
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
    """The three ways to write the same objects: title -> path."""
    documents = [names.documents(one) for one in names.services(Population(services))]
    objects = [each for one in documents for each in one]
    paths = {
        "JSON, one list": directory / "list.json",
        "YAML, one file": directory / "one.yaml",
        "YAML, a file for each Service": directory / "many",
    }
    (directory / "list.json").write_bytes(names.as_list(objects))
    (directory / "one.yaml").write_bytes(names.as_yaml(objects))
    (directory / "many").mkdir()
    for i, pair in enumerate(documents):
        (directory / "many" / f"{i:06}.yaml").write_bytes(names.as_yaml(pair))
    return paths


def load_seconds(path: Path) -> float:
    """The shortest of some loads."""
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
    await asyncio.sleep(1.0)  # until the watch stands and has been read once
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
        await asyncio.sleep(draw.uniform(0.01, 0.06))  # not in step with any timer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return sorted(found)


def main() -> int:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as name:
        paths = write(Path(name), SERVICES)
        rows = [(title, number(load_seconds(path))) for title, path in paths.items()]
        print(table((f"{SERVICES:,} Services", "s to load"), rows))
        changes = asyncio.run(change_seconds(paths["YAML, a file for each Service"], CHANGES))
    row = ["rename to event", *(number(percentile(changes, part) * 1e3) for part in (0.5, 0.99))]
    print()
    print(table(("change", "p50, ms", "p99, ms"), [row]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
