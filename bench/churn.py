"""Manifests that change during a measurement.

In `bench/` (measurements). Change here: how changes are paced and verified.
"""

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

CHANGES = 50  # per second


class Writer:
    """Rewrites the manifests of the changing Services in turn, `pace` per second, in a thread.

    The thread has the lowest priority, because on two cores the measured server would wait for it.
    `failed` is the error that ended the thread. The next writer continues with `generation`.
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

    def last_question(self) -> names.Question:
        """The query and the answer that show the last change."""
        service = names.changing(
            self._site.population,
            (self.written - 1) % self._site.population.changing,
            self.generation,
        )
        return names.Question(service.host, "A", "NOERROR", service.address)


@contextmanager
def changes(site: Site, server: Server, pace: int, generation: int) -> Iterator[Writer]:
    """Change manifests during the block.

    Raises `BenchError` if the last change is not answered within 10 s: the latency of a server
    that does not follow its manifests has no meaning.
    """
    with Writer(site, pace, generation) as writer:
        yield writer
    if writer.failed is not None:
        raise BenchError(f"cannot write manifests: {writer.failed}")
    question = writer.last_question()
    if wire.wait_until_correct(server.port, question, server.is_alive, 10) is None:
        raise BenchError(f"{server.title} does not answer the last change of {question.name}")
