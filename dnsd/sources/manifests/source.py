"""The source that is a directory of Kubernetes manifests, followed live.

`Manifests` ties the rooms together: a `Folder` tells what changed on disk, a `Catalogue` what
that means, and this module when to look and how to say it.

* A watch (`watching.py`) names files that changed; whatever it cannot tell (a swapped link, a
  moved directory) is a look at everything, which compares stat and reads little.
* Every `rescan` seconds everything is compared all the same, the first time as soon as the
  watch stands: events get lost on network file systems, and for links that lead out of the
  directory. That goes on beside what the watch tells, and only if something is different
  everything is looked at: a change does not wait for 10,000 files that have none.
* A file that may be half written is looked at again soon; the others do not wait for it.
* A directory that disappears leaves the last good state in force, until it is there again.
* Looking blocks and happens in a thread, unless it is at a few small files, as after most
  changes; events are published from the loop, at most `BATCH` at once.
* A problem is logged when it appears or when its file changes and still has it; never again
  by merely looking.

`load` is the same without the watching, for `check`, `plan` and `zone`.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import structlog
from msgspec import Struct
from msgspec.structs import replace

from dnsd.cluster.objects import Key, Object
from dnsd.cluster.store import Packed, unpack_events
from dnsd.sources.manifests.directory import Folder, Limits, Look
from dnsd.sources.manifests.file import Problem
from dnsd.sources.manifests.filename import shown
from dnsd.sources.manifests.filewatch import EVERYTHING, NOTHING, Opener, Seen, open_watch
from dnsd.sources.manifests.problems import Ledger
from dnsd.sources.manifests.registry import Catalogue, networks_of
from dnsd.sources.source import Batch, SourceError, SourceStatus

SERVICE_CIDRS = ("10.96.0.0/12",)  # the default of kubeadm
MAX_FILE_BYTES = Limits().file_bytes
BATCH = 1000  # events; a batch is one step of the control loop
RESCAN = 10.0  # seconds between looks at everything
_TICK = 0.25  # seconds: reload and a replaced directory are noticed within
_SETTLE = 0.05  # seconds between two looks at a file that may be half written
_SETTLES = 100  # looks at such a file before it is left to the next rescan
_LOGGED = 20  # problems named one by one in the log; the rest is counted

log = structlog.get_logger(__name__)


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
    ledger = Ledger()
    ledger.apply(look.problems)
    objects = tuple(catalogue.objects())
    return Loaded(objects, tuple(ledger), look.files, look.documents, look.skipped)


class Manifests:
    """A `Source` (cluster/source.py): the manifests below `directory`.

    `service_cidrs`: networks that Services without a ClusterIP get theirs from; none: they
    get none. `rescan`: seconds. `watch`: how changes are noticed. Raises SourceError for bad
    `service_cidrs`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        service_cidrs: Sequence[str] = SERVICE_CIDRS,
        max_file_bytes: int = MAX_FILE_BYTES,
        rescan: float = RESCAN,
        watch: Opener = open_watch,
    ) -> None:
        self._root = Path(directory)
        self._directory = shown(str(self._root))
        self._catalogue = Catalogue(networks_of(service_cidrs))
        self._limits = Limits(file_bytes=max_file_bytes)
        self._folder = Folder(self._root, self._catalogue, self._limits)
        self._rescan, self._open_watch = rescan, watch
        self._reload = False
        self._problems = Ledger()
        self._gone = ""  # why the directory cannot be looked at
        self._look: Look | None = None
        self._status = SourceStatus("manifests", "starting", f"reading {self._directory}")

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
        return tuple(self._problems)

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
            look = await self._look_at(EVERYTHING, patient=False)
        except OSError as error:
            raise _no_directory(self._root, error) from error
        if look.files == 0:
            log.warning("no manifests yet", directory=self._directory, hint="*.yaml, *.yml, *.json")
        await _publish_in_batches(look.events, publish, first=True)
        try:
            while True:
                await self._follow(publish)
        finally:
            self._folder.stopping = True

    async def _follow(self, publish: Callable[[Batch], None]) -> None:
        """Follow the directory as long as it is the same one; then wait until one is there."""
        identity = _identity(self._root)
        try:
            watch = await asyncio.to_thread(self._open_watch, self._root, self._folder.has_below)
        except OSError:
            self._lose("is not there any more")
            await asyncio.sleep(_TICK)
            return
        rescan = _Rescan(self._folder, self._rescan)
        try:
            pause, unsettled = 0.0, 0
            while (seen := await watch.wait(pause)) and _identity(self._root) == identity:
                settled = await self._step(seen, rescan, publish, again=unsettled > 0)
                unsettled = 0 if settled else unsettled + 1
                if unsettled > _SETTLES:
                    unsettled = 0  # the next rescan will see
                pause = _SETTLE if unsettled or rescan.running else _TICK
        finally:
            await rescan.stop()
            await watch.close()
        await asyncio.sleep(_SETTLE)

    async def _step(
        self, seen: Seen, rescan: _Rescan, publish: Callable[[Batch], None], *, again: bool
    ) -> bool:
        """Look at what may have changed, and publish what did; whether no file was half written.

        `again`: one was, so look again even if nothing was seen.
        """
        force, self._reload = self._reload, False
        found = rescan.found() if not force and seen == NOTHING else None
        self._status.reconciles += force or rescan.begun()
        if force or found:
            seen = Seen(None, seen.whole)
        if seen == NOTHING and not again:
            return True
        try:
            look = await self._look_at(seen, force=force)
        except OSError as error:
            self._lose((error.strerror or str(error)).lower())
            return True
        await _publish_in_batches(look.events, publish)
        if found and not rescan.first:
            # What a rescan finds although nothing was reported, the watch has missed.
            self._status.corrections += len(look.events)
        return not look.unsettled

    async def _look_at(self, seen: Seen, *, patient: bool = True, force: bool = False) -> Look:
        """One look; its problems are logged. Raises OSError: the root is gone."""
        look_now = functools.partial(
            self._folder.look, seen.names, whole=seen.whole, patient=patient, force=force
        )
        brief = seen.names is not None and self._folder.is_brief(seen.names)
        look = look_now() if brief else await asyncio.to_thread(look_now)
        now = time.time()
        self._status.last_contact = now
        self._status.objects = look.objects
        if look.events:
            self._status.last_event = now
        if self._gone:
            log.info("the manifests are there again", directory=self._directory)
            self._gone = ""
        self._tell(look)
        self._look = replace(look, events=[], problems={})  # they are published, and not kept
        return look

    def _tell(self, look: Look) -> None:
        """Log the problems that are new, and those of files that changed and still have them."""
        touched = {problem.file for problem in look.problems}
        faulty = {file for file in touched if self._problems.of(file)}
        come = {
            problem
            for problem, times in look.problems.items()
            if times > 0 and problem not in self._problems
        }
        self._problems.apply(look.problems)
        again = (problem for file in look.reread for problem in self._problems.of(file))
        fresh = sorted({*come, *again})
        for problem in fresh[:_LOGGED]:
            log.warning("manifest refused", **_fields(problem))
        if len(fresh) > _LOGGED:
            log.warning("more manifests refused", count=len(fresh) - _LOGGED)
        mended = (file for file in sorted(faulty) if not self._problems.of(file))
        for file in islice(mended, _LOGGED):
            log.info("manifest is good again, or gone", file=file)

    def _lose(self, reason: str) -> None:
        if not self._gone:
            log.warning(
                "the manifests cannot be read; what they said last stays in force",
                directory=self._directory,
                problem=reason,
            )
        self._gone = f"{self._directory}: {reason}; what it said last stays in force"

    def _describe(self, look: Look) -> str:
        text = f"{self._directory}: {look.objects} objects in {look.files} files"
        if look.skipped:
            text += f", {sum(look.skipped.values())} of other kinds"
        if self._problems:
            text += f"; {len(self._problems)} problems, the first: {self._problems.first()}"
        return text


class _Rescan:
    """Compares everything every so many seconds, in a thread, beside all else.

    `first`: what was last found was found by the first comparison.
    """

    def __init__(self, folder: Folder, every: float) -> None:
        self._folder, self._every = folder, every
        self._due = 0.0
        self._count = 0
        self._task: asyncio.Task[bool] | None = None

    @property
    def running(self) -> bool:
        return self._task is not None

    @property
    def first(self) -> bool:
        return self._count == 1

    def begun(self) -> bool:
        """Begin if it is time to; whether that was so."""
        if self._task is not None or time.monotonic() < self._due:
            return False
        self._count += 1
        self._task = asyncio.create_task(asyncio.to_thread(self._folder.differs))
        return True

    def found(self) -> bool:
        """Whether a comparison has ended and found a difference; says so once."""
        if self._task is None or not self._task.done():
            return False
        done, self._task = self._task, None
        self._due = time.monotonic() + self._every
        try:
            return done.result()
        except OSError:  # the root is gone; the look that follows says so
            return True

    async def stop(self) -> None:
        """Wait for the thread."""
        if self._task is not None:
            await asyncio.wait({self._task})


async def _publish_in_batches(
    events: Sequence[Packed | Key], publish: Callable[[Batch], None], *, first: bool = False
) -> None:
    """Publish `events` in batches of BATCH; all are synced but those before the `first` end."""
    if not events and not first:
        return
    for start in range(0, max(len(events), 1), BATCH):
        last = start + BATCH >= len(events)
        publish(
            Batch(tuple(unpack_events(events[start : start + BATCH])), synced=last or not first)
        )
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
    return SourceError(f"manifests directory {shown(str(root))!r} {reason}")


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
