"""Manifests that change while something else is measured."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import names, wire
from bench.peers import Server, Site
from bench.procs import BenchError

CHANGES = 50  # a second


class Writer:
    """Rewrites the changing Services' manifests in turn, at a pace, in a thread of its own.

    The thread is nice: on two cores whoever is measured would wait for it.

    `failed` holds what went wrong in the thread; `generation` goes on from writer to writer.
    """

    def __init__(self, site: Site, pace: int, generation: int) -> None:
        self.written = 0
        self.generation = generation
        self.failed: OSError | None = None
        self._site, self._pace = site, pace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer")

    def _run(self) -> None:
        population, start = self._site.population, time.monotonic()
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while not self._stop.wait(start + self.written / self._pace - time.monotonic()):
            i = self.written % population.changing
            self.generation += i == 0
            try:
                names.write_change(population, self._site.manifests, i, self.generation)
            except OSError as error:
                self.failed = error
                return
            self.written += 1

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def last(self) -> names.Question:
        """What the last change must be seen by."""
        one = names.changing(
            self._site.population,
            (self.written - 1) % self._site.population.changing,
            self.generation,
        )
        return names.Question(one.host, "A", "NOERROR", one.address)


@contextmanager
def changes(site: Site, server: Server, pace: int, generation: int) -> Iterator[Writer]:
    """Manifests that change for as long as the block takes.

    Raises `BenchError` when the last change is not answered ten seconds after: a server that
    does not follow its manifests has no latency worth a figure.
    """
    with Writer(site, pace, generation) as writer:
        yield writer
    if writer.failed is not None:
        raise BenchError(f"cannot write manifests: {writer.failed}")
    alive = server.process.poll
    if wire.wait_right(server.port, writer.last(), lambda: alive() is None, 10) is None:
        raise BenchError(f"{server.title} does not answer {writer.last().name} as it now is")
