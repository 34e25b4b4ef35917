"""The fake API server as a process: `python -m tests.fakekube --services 1000`.

Prints the path of a kubeconfig when it listens. Ends on SIGTERM. Reads one command from each line
of standard input, and answers with one line:

    service NAME ADDRESS    create or replace a Service in `default`; the answer is the time when
                            it was sent to a watch, in seconds of the monotonic clock
    delete NAME             delete it
    compact                 remove the log, so that every watch has to begin again
    hang-up                 end every stream
    relist                  both, and no watch can resume
    seen                    the number of lists and watches so far
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from tests.fakekube import plain
from tests.fakekube.server import FakeKube


def fill(kube: FakeKube, services: int, endpoints: int) -> None:
    """Add Services with one slice each, in a hundred namespaces."""
    spaces = min(100, max(1, services // 10))
    for number in range(spaces):
        kube.store.put("namespaces", plain.namespace(f"ns-{number}"))
    for number in range(services):
        space = f"ns-{number % spaces}"
        name, high, low = f"service-{number}", number >> 8, number & 255
        ports = (("http", 80), ("grpc", 9000))
        service = plain.service(name, f"10.{96 + (high >> 8)}.{high & 255}.{low}", namespace=space)
        kube.store.put("services", service)
        first = number * endpoints
        addresses = [
            f"10.{128 + (one >> 16)}.{one >> 8 & 255}.{one & 255}"
            for one in range(first, first + endpoints)
        ]
        item = plain.endpoint_slice(f"{name}-abcde", name, addresses, namespace=space, ports=ports)
        kube.store.put("endpointslices", item)
    kube.store.log.clear()  # as in a cluster that has been running for a while


async def execute(kube: FakeKube, words: list[str]) -> str:
    match words:
        case ["service", name, address]:
            kube.sent.clear()
            kube.store.put("services", plain.service(name, address))
            await kube.sent.wait()
            return str(kube.sent_at)
        case ["delete", name]:
            kube.store.delete("services", name, "default")
        case ["compact"]:
            kube.store.compact()
        case ["hang-up"]:
            kube.end_streams()
        case ["relist"]:
            kube.store.revision += 1
            kube.store.compact()
            kube.end_streams()
        case ["seen"]:
            return f"{kube.count('list')} lists {kube.count('watch')} watches"
        case _:
            return f"unknown command: {' '.join(words)}"
    return "done"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--endpoints", type=int, default=5)
    parser.add_argument("--watch-list", default="on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with FakeKube(watch_list=options.watch_list) as kube:
            fill(kube, options.services, options.endpoints)
            path = Path(folder) / "kubeconfig"
            path.write_text(kube.kubeconfig())
            print(path, flush=True)
            reader = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
            while line := await reader.readline():
                print(await execute(kube, line.decode().split()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
