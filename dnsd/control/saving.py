"""A source that also writes a snapshot of its objects, from which the next run starts.

In `control/` (control process). Change here: when the snapshot is written.

The snapshot is written every `snapshot_every` seconds if an object changed, and when dnsd stops.
The resourceVersions alone, which change with every bookmark of a quiet cluster, are written at a
tenth of that rate.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from dnsd.cluster.store import Packed
from dnsd.sources.kubernetes import snapshot
from dnsd.sources.kubernetes.source import KubernetesSource
from dnsd.sources.source import Batch, SourceStatus

log = structlog.get_logger(__name__)

_VERSIONS_EVERY = 10  # writes that are left out while only resourceVersions change


class SavingSource:
    """A `Source` that writes a snapshot to `path` (None: nowhere) every `every` seconds."""

    def __init__(self, source: KubernetesSource, path: Path | None, every: float) -> None:
        self.source = source
        self._path, self._every = path, every
        self._changes = 0
        self._saved: tuple[int, dict[str, str]] = (-1, {})
        self._problem = ""
        self._writing = threading.Lock()
        self._written = 0.0  # when the snapshot on disk was taken

    async def run(self, publish: Callable[[Batch], None]) -> None:
        """See `Source.run`. Writes the snapshot once more when cancelled."""

        def count_and_publish(batch: Batch) -> None:
            self._changes += len(batch.events)
            publish(batch)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.source.run(count_and_publish))
                if self._path:
                    group.create_task(self._save_regularly())
        except asyncio.CancelledError:  # after an error the source runs again, with the same client
            await self.source.client.close()
            raise
        finally:
            self._save_last()

    def status(self) -> list[SourceStatus]:
        """See `Source.status`."""
        return self.source.status()

    @property
    def ready(self) -> bool:
        """Whether dnsd is ready while the API server is unreachable (`/readyz`)."""
        return self.source.ready

    def reload(self) -> None:
        """See `Source.reload`."""
        self.source.reload()

    async def save(self) -> str:
        """Write the snapshot now. The path; "" without data, or without a directory.

        Raises OSError if the snapshot cannot be written.
        """
        saving = self.source.to_save()
        if self._path is None or saving is None:
            return ""
        changes = self._changes
        await asyncio.to_thread(self._write, self._path, *saving)
        self._saved = changes, saving[0].versions
        return str(self._path)

    async def _save_regularly(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(self._every)
            rounds += 1
            changed = self._changes != self._saved[0]
            if changed or (rounds % _VERSIONS_EVERY == 0 and self._unsaved()):
                with self._reporting():
                    await self.save()
                    self._problem = ""

    def _save_last(self) -> None:
        if self._path and (saving := self._unsaved()):
            with self._reporting():
                self._write(self._path, *saving)

    def _unsaved(self) -> tuple[snapshot.Header, list[Packed]] | None:
        """The contents of a snapshot, if they differ from those of the last one."""
        saving = self.source.to_save()
        return saving if saving and (self._changes, saving[0].versions) != self._saved else None

    def _write(self, path: Path, header: snapshot.Header, objects: list[Packed]) -> None:
        with self._writing:  # the last write may begin before another one ends
            if header.written >= self._written:
                size = snapshot.write(path, header, objects)
                self._written = header.written
                log.debug("the snapshot is written", bytes=size, objects=len(objects))

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Log an OSError, unless the last one was the same."""
        try:
            yield
        except OSError as error:
            problem = error.strerror or str(error)  # the text of the error names a temporary file
            if problem != self._problem:
                log.warning("the snapshot cannot be written", file=str(self._path), problem=problem)
            self._problem = problem
