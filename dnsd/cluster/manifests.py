"""The source that is a directory of Kubernetes manifests, followed live.

`Manifests` ties the rooms together: a `Folder` tells what changed on disk, a `Catalogue` what
that means, and this module when to look and how to say it.

* The watch is set up first and everything is looked at after it stands, so that nothing falls
  between. The system's events name files that changed; whatever they cannot tell (a swapped
  link, a new directory) is a look at everything, which compares stat and reads little.
* Every `rescan` seconds everything is looked at all the same: events get lost on network file
  systems, for links that lead out of the directory, and when a queue overflows.
* A directory that disappears leaves the last good state in force, until it is there again.
* Looking blocks and happens in a thread; events are published from the loop, at most
  `BATCH` at once.
* A problem is logged when it appears or when its file changes and still has it; never again
  by merely looking.

`load` is the same without the watching, for `check`, `plan` and `zone`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

import structlog
from msgspec import Struct
from watchfiles import awatch

from dnsd.cluster.catalogue import Catalogue, networks_of
from dnsd.cluster.folder import Folder, Limits, Look, touched
from dnsd.cluster.manifestfile import Problem
from dnsd.cluster.objects import Event, Object
from dnsd.cluster.source import Batch, SourceError, SourceStatus

SERVICE_CIDRS = ("10.96.0.0/12",)  # the default of kubeadm
MAX_FILE_BYTES = Limits().file_bytes
BATCH = 1000  # events; a batch is one step of the control loop
RESCAN = 10.0  # seconds between looks at everything
_TICK = 250  # milliseconds: reload and a replaced directory are noticed within
_STEP = 10  # milliseconds watchfiles waits for events to stop coming
_DEBOUNCE = 200  # milliseconds after which it does not wait any longer
_SETTLE = 0.05  # seconds between two looks at a file that may be half written
_SETTLES = 100  # looks at such a file before it is left to the next rescan
_LOGGED = 20  # problems named one by one in the log; the rest is counted

log = structlog.get_logger(__name__)

# What a watch reports: names of files, None for "look at everything".
_Names = set[str] | None


class Loaded(Struct, frozen=True):
    """What a directory (or one file) of manifests says."""

    objects: tuple[Object, ...]
    problems: tuple[Problem, ...]
    files: int
    documents: int
    skipped: dict[str, int]  # kinds that dnsd does not read, counted


def load(
    path: str | Path,
    *,
    service_cidrs: Sequence[str] = SERVICE_CIDRS,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> Loaded:
    """Everything the manifests at `path`, a directory or one file, say now. Blocks.

    Raises SourceError when `path` is not there or cannot be listed, or for bad `service_cidrs`.
    """
    catalogue = Catalogue(networks_of(service_cidrs))
    root = Path(path)
    folder = Folder(root, catalogue, Limits(file_bytes=max_file_bytes))
    try:
        look = folder.look(patient=False)
    except OSError as error:
        raise _no_directory(root, error) from error
    objects = tuple(catalogue.objects())
    return Loaded(objects, look.problems, look.files, look.documents, look.skipped)


class Manifests:
    """A `Source` (cluster/source.py): the manifests below `directory`.

    `service_cidrs`: networks that Services without a ClusterIP get theirs from; none: they
    get none. `rescan`: seconds. Raises SourceError for bad `service_cidrs`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        service_cidrs: Sequence[str] = SERVICE_CIDRS,
        max_file_bytes: int = MAX_FILE_BYTES,
        rescan: float = RESCAN,
    ) -> None:
        self._root = Path(directory)
        self._catalogue = Catalogue(networks_of(service_cidrs))
        self._limits = Limits(file_bytes=max_file_bytes)
        self._folder = Folder(self._root, self._catalogue, self._limits)
        self._rescan = rescan
        self._reload = False
        self._problems: tuple[Problem, ...] = ()
        self._gone = ""  # why the directory cannot be looked at
        self._look: Look | None = None
        self._status = SourceStatus("manifests", "starting", f"reading {self._root}")

    def status(self) -> list[SourceStatus]:
        """One status: the directory, what it holds, the first problem."""
        status = self._status
        status.errors = len(self._problems) + bool(self._gone)
        if self._gone:
            status.state, status.detail = "failing", self._gone
        elif self._look:
            status.state, status.detail = "synced", self._describe(self._look)
        return [status]

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now, sorted by file and line."""
        return self._problems

    def reload(self) -> None:
        """Read every file again soon, whatever stat says."""
        self._reload = True

    async def run(self, publish: Callable[[Batch], None]) -> None:
        """Publish what the manifests say, then every change, until cancelled.

        Raises SourceError when the directory is not there at the start.
        """
        self._folder.stopping = False
        try:
            _must_be_directory(self._root)
            look = await self._look_at(None, patient=False)
        except OSError as error:
            raise _no_directory(self._root, error) from error
        if look.files == 0:
            log.warning("no manifests yet", directory=str(self._root), hint="*.yaml, *.yml, *.json")
        await _publish_in_batches(look.events, publish, first=True)
        try:
            while True:
                await self._follow(publish)
        finally:
            self._folder.stopping = True

    async def _follow(self, publish: Callable[[Batch], None]) -> None:
        """Follow the directory as long as it is the same one; then wait until one is there."""
        identity = _identity(self._root)
        if identity is None:
            self._lose("is not there any more")
            await asyncio.sleep(_TICK / 1000)
            return
        due = 0.0  # the first thing to do when the watch stands is to look at everything
        async with aclosing(self._ticks()) as ticks:
            async for names in ticks:
                if _identity(self._root) != identity:
                    await asyncio.sleep(_SETTLE)
                    return
                force, self._reload = self._reload, False
                rescan = time.monotonic() >= due
                if names == set() and not force and not rescan:
                    continue
                if force or rescan:
                    self._status.reconciles += 1
                found = await self._take(None if force or rescan else names, publish, force=force)
                if rescan:
                    # What a rescan finds although nothing was reported, the watch has missed.
                    missed = found if due and names == set() and not force else 0
                    self._status.corrections += missed
                    due = time.monotonic() + self._rescan

    async def _take(
        self, names: _Names, publish: Callable[[Batch], None], *, force: bool = False
    ) -> int:
        """Look, publish what changed, and look again while a file may be half written.

        Returns how many events that made.
        """
        events = 0
        for _ in range(_SETTLES):
            try:
                look = await self._look_at(names, force=force)
            except OSError as error:
                self._lose((error.strerror or str(error)).lower())
                break
            events += len(look.events)
            await _publish_in_batches(look.events, publish)
            if not look.unsettled:
                break
            names, force = (None if names is None else set()), False
            await asyncio.sleep(_SETTLE)
        return events

    async def _look_at(self, names: _Names, *, patient: bool = True, force: bool = False) -> Look:
        """One look, in a thread; its problems are logged. Raises OSError: the root is gone."""
        look = await asyncio.to_thread(self._folder.look, names, patient=patient, force=force)
        now = time.time()
        self._status.last_contact = now
        self._status.objects = look.objects
        if look.events:
            self._status.last_event = now
        if self._gone:
            log.info("the manifests are there again", directory=str(self._root))
            self._gone = ""
        self._tell(look)
        self._look = look
        return look

    def _tell(self, look: Look) -> None:
        """Log the problems that are new, and those of files that changed and still have them."""
        known = set(self._problems)
        fresh = [one for one in look.problems if one not in known or one.file in look.reread]
        for problem in fresh[:_LOGGED]:
            log.warning("manifest refused", **_fields(problem))
        if len(fresh) > _LOGGED:
            log.warning("more manifests refused", count=len(fresh) - _LOGGED)
        faulty = {problem.file for problem in look.problems}
        for file in sorted({problem.file for problem in self._problems} - faulty)[:_LOGGED]:
            log.info("manifest is good again, or gone", file=file)
        self._problems = look.problems

    def _lose(self, reason: str) -> None:
        if not self._gone:
            log.warning(
                "the manifests cannot be read; what they said last stays in force",
                directory=str(self._root),
                problem=reason,
            )
        self._gone = f"{self._root}: {reason}; what it said last stays in force"

    def _describe(self, look: Look) -> str:
        text = f"{self._root}: {look.objects} objects in {look.files} files"
        if look.skipped:
            text += f", {sum(look.skipped.values())} of other kinds"
        if self._problems:
            text += f"; {len(self._problems)} problems, the first: {self._problems[0]}"
        return text

    async def _ticks(self) -> AsyncGenerator[_Names, None]:
        """What may have changed: names, None for everything, the empty set for nothing known.

        Yields at least every `_TICK` milliseconds while the directory can be watched, every
        second when the system refuses to watch it.
        """
        real = str(self._root.resolve())
        try:
            changes = awatch(
                real,
                watch_filter=None,
                debounce=_DEBOUNCE,
                step=_STEP,
                rust_timeout=_TICK,
                yield_on_timeout=True,
                ignore_permission_denied=True,
            )
            async with aclosing(changes):
                async for found in changes:
                    paths = [path for _, path in found]
                    yield touched(real, paths, self._folder.has_below)
        except (OSError, RuntimeError) as error:
            if _identity(self._root) is None:
                return
            # The limit of inotify watches, usually. A look a second is dear, but right.
            log.warning(
                "the directory cannot be watched; looking every second",
                directory=str(self._root),
                problem=str(error),
                hint="raise fs.inotify.max_user_watches and max_user_instances",
            )
            for _ in range(60):  # then try to watch it again
                await asyncio.sleep(1)
                yield None


async def _publish_in_batches(
    events: Sequence[Event], publish: Callable[[Batch], None], *, first: bool = False
) -> None:
    """Publish `events` in batches of BATCH; all are synced but those before the `first` end."""
    if not events and not first:
        return
    for start in range(0, max(len(events), 1), BATCH):
        last = start + BATCH >= len(events)
        publish(Batch(tuple(events[start : start + BATCH]), synced=last or not first))
        if not last:
            await asyncio.sleep(0)  # let the loop breathe


def _identity(root: Path) -> tuple[int, int] | None:
    """Which directory this path leads to now; None when to none."""
    try:
        found = root.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _must_be_directory(root: Path) -> None:
    if not stat.S_ISDIR(root.stat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _no_directory(root: Path, error: OSError) -> SourceError:
    reason = {
        FileNotFoundError: "is not there; create it, or give the one that holds the manifests",
        NotADirectoryError: "is not a directory; give the one that holds the manifests",
        PermissionError: "may not be read; grant dnsd's user read and search permission",
    }.get(type(error), f"cannot be read: {(error.strerror or str(error)).lower()}")
    return SourceError(f"manifests directory {str(root)!r} {reason}")


def _fields(problem: Problem) -> dict[str, object]:
    """A problem as fields of a log line, the empty ones left out."""
    pairs: Iterable[tuple[str, object]] = (
        ("file", problem.file),
        ("line", problem.line),
        ("column", problem.column),
        ("document", problem.document),
        ("object", problem.object),
        ("field", problem.field),
        ("problem", problem.text),
    )
    return {key: value for key, value in pairs if value}
