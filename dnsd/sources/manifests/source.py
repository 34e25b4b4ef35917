"""The source that follows a directory of Kubernetes manifests.

In `sources/manifests/` (control plane: objects from files). Change here: when dnsd reads, and logs.

`Manifests` connects a `Watch`, which names the files that changed, and a `Directory`, which reads
them. `load` reads a directory once, for `check`, `plan`, and `zone`.

Rules
* Every `rescan` seconds, the stat of all files is compared, because a watch misses events: on
  network file systems, and behind links that lead out of the directory. Comparisons run beside the
  watch, and everything is read only if they find a difference, so a change does not wait for 10,000
  unchanged files. If the watch missed the difference, the source also opens a new watch.
* A file that may be half written is read again soon. The others do not wait for it.
* If the directory disappears, its last objects stay in use until it is there again.
* Files are read in a thread. Events are published from the event loop, at most `BATCH` at once.
* A problem is logged when it appears, and when its file changes and still has it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import structlog
from msgspec import Struct
from msgspec.structs import asdict, replace

from dnsd.cluster.objects import Key, Object
from dnsd.cluster.store import Packed, unpack_events
from dnsd.sources.manifests.directory import Directory, Update, os_problem
from dnsd.sources.manifests.filewatch import Watch
from dnsd.sources.manifests.problems import Problem, Problems, printable
from dnsd.sources.manifests.registry import Registry
from dnsd.sources.manifests.settings import ManifestConfig
from dnsd.sources.source import Batch, SourceError, SourceStatus

SERVICE_CIDR = ManifestConfig().service_cidr
BATCH = 200  # events; as many as a step of the control loop takes
RESCAN = 10.0  # seconds between comparisons of all files
_TICK = 0.25  # seconds within which a reload and a replaced directory are noticed
_SETTLE = 0.05  # seconds between two updates of a file that may be half written
_LATE = 0.1  # seconds within which the watch reports a change, and the source publishes it
_SETTLES = 100  # updates of such a file before it is left to the next rescan
_LOGGED = 20  # problems that one update logs one by one; it counts the rest

log = structlog.get_logger(__name__)


class Loaded(Struct, frozen=True):
    """What a directory (or one file) of manifests declares."""

    objects: tuple[Object, ...]
    problems: tuple[Problem, ...]
    files: int
    documents: int
    skipped: dict[str, int]  # objects by kind that dnsd does not read


def load(path: str | Path, service_cidr: Iterable[str] = SERVICE_CIDR) -> Loaded:
    """What the manifests at `path`, a directory or one file, declare now. Blocks.

    Raises SourceError if `path` does not exist or cannot be listed.
    """
    registry = Registry(service_cidr)
    root = Path(path)
    try:
        update = Directory(root, registry).update(settle=False)
    except OSError as error:
        raise _no_directory(root, error) from error
    problems = Problems()
    problems.apply(update.problems)
    objects = tuple(registry.objects())
    return Loaded(objects, tuple(problems), update.files, update.documents, update.skipped)


class Manifests:
    """A `Source`: the manifests below `directory`.

    `service_cidr`: networks from which Services without a ClusterIP get one; without a network,
    they get none. `rescan`: seconds between comparisons of all files.
    """

    def __init__(
        self,
        directory: str | Path,
        service_cidr: Iterable[str] = SERVICE_CIDR,
        *,
        rescan: float = RESCAN,
    ) -> None:
        self._root = Path(directory)
        self._path = printable(str(self._root))
        self._directory = Directory(self._root, Registry(service_cidr))
        self._rescan = rescan
        self._reload = False
        self._problems = Problems()
        self._gone = ""  # why the directory cannot be read
        self._last: Update | None = None
        self._status = SourceStatus("manifests", "starting", f"reading {self._path}")

    def status(self) -> list[SourceStatus]:
        """One status: the directory, what it holds, the first problem."""
        status = self._status
        status.errors = len(self._problems) + bool(self._gone)
        if self._gone:
            status.state, status.detail = "failing", self._gone
        elif self._last:
            status.state, status.detail = "synced", self._describe(self._last)
        return [status]

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now, sorted by file and line."""
        return tuple(self._problems)

    def reload(self) -> None:
        """Read every file again soon, even if its stat is unchanged."""
        self._reload = True

    async def run(self, publish: Callable[[Batch], None]) -> None:
        """Publish what the manifests declare, then every change, until cancelled.

        Raises SourceError if the directory does not exist at the start.
        """
        self._directory.stopping = False
        try:
            if not stat.S_ISDIR(self._root.stat().st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            update = await self._update(None, settle=False)
        except OSError as error:
            raise _no_directory(self._root, error) from error
        if update.files == 0:
            log.warning("no manifests yet", directory=self._path, hint="*.yaml, *.yml, *.json")
        await _publish_in_batches(update.events, publish, first=True)
        try:
            while True:
                await self._follow(publish)
        finally:
            self._directory.stopping = True

    async def _follow(self, publish: Callable[[Batch], None]) -> None:
        """Follow the directory until it is replaced or gone, or the watch is over."""
        identity = _identity(self._root)
        if identity is None:
            self._lose("is not there any more")
            await asyncio.sleep(_TICK)
            return
        watch = Watch(self._root.resolve(), self._directory.has_below)
        missed, settles = asyncio.create_task(self._missed()), 0
        try:
            while _identity(self._root) == identity and not (watch.over or missed.done()):
                names = await watch.wait(_SETTLE if settles else _TICK)
                force, self._reload = self._reload, False
                self._status.reconciles += force
                if force or settles or names != set():
                    update = await self._apply(None if force else names, publish, force=force)
                    # A file that does not settle is left to the next rescan.
                    settles = settles + 1 if update.unsettled and settles < _SETTLES else 0
            if missed.done():
                missed.result()  # raises an unexpected error
                update = await self._apply(None, publish)
                self._status.corrections += len(update.events)
        except OSError as error:
            self._lose(os_problem(error))
            await asyncio.sleep(_TICK)
        finally:
            missed.cancel()
            await asyncio.wait({missed})
            await watch.close()

    async def _missed(self) -> None:
        """Compare the stat of all files from time to time. Return if the watch missed a change."""
        while True:
            await asyncio.sleep(self._rescan)
            self._status.reconciles += 1
            try:
                found = await asyncio.to_thread(self._directory.differences)
                if found:
                    await asyncio.sleep(_LATE)
                    found &= await asyncio.to_thread(self._directory.differences)
            except OSError:  # the root is gone, as the next update finds out
                return
            if found:
                return

    async def _apply(
        self, names: set[str] | None, publish: Callable[[Batch], None], *, force: bool = False
    ) -> Update:
        """Update the directory and publish the events. Raises OSError: the root is gone."""
        update = await self._update(names, force=force)
        await _publish_in_batches(update.events, publish)
        return update

    async def _update(
        self, names: set[str] | None, *, settle: bool = True, force: bool = False
    ) -> Update:
        """Update the directory, and log the problems. Raises OSError: the root is gone."""
        update = await asyncio.to_thread(self._directory.update, names, settle=settle, force=force)
        now = time.time()
        self._status.last_contact = now
        self._status.objects = update.objects
        if update.events:
            self._status.last_event = now
        if self._gone:
            log.info("the manifests are there again", directory=self._path)
            self._gone = ""
        self._log(update)
        self._last = replace(update, events=[], problems={})  # they are passed on, not kept
        return update

    def _log(self, update: Update) -> None:
        """Log new problems, and those of files that changed and still have them."""
        faulty = {file for file in {p.file for p in update.problems} if self._problems.of(file)}
        new = {
            problem
            for problem, times in update.problems.items()
            if times > 0 and problem not in self._problems
        }
        self._problems.apply(update.problems)
        new.update(problem for file in update.reread for problem in self._problems.of(file))
        for problem in sorted(new)[:_LOGGED]:
            fields = {("problem" if k == "text" else k): v for k, v in asdict(problem).items() if v}
            log.warning("manifest refused", **fields)
        if len(new) > _LOGGED:
            log.warning("more manifests refused", count=len(new) - _LOGGED)
        mended = (file for file in sorted(faulty) if not self._problems.of(file))
        for file in islice(mended, _LOGGED):
            log.info("manifest is good again, or gone", file=file)

    def _lose(self, reason: str) -> None:
        if not self._gone:
            log.warning(
                "the manifests cannot be read; their last objects stay in use",
                directory=self._path,
                problem=reason,
            )
        self._gone = f"{self._path}: {reason}; its last objects stay in use"

    def _describe(self, update: Update) -> str:
        text = f"{self._path}: {update.objects} objects in {update.files} files"
        if update.skipped:
            text += f", {sum(update.skipped.values())} of other kinds"
        if self._problems:
            text += f"; {len(self._problems)} problems, the first: {self._problems.first()}"
        return text


async def _publish_in_batches(
    events: Sequence[Packed | Key], publish: Callable[[Batch], None], *, first: bool = False
) -> None:
    """Publish at most BATCH events at once. `first`: the source is synced with the last of them."""
    if not events and not first:
        return
    for start in range(0, max(len(events), 1), BATCH):
        batch = tuple(unpack_events(events[start : start + BATCH]))
        last = start + BATCH >= len(events)
        publish(Batch(batch, synced=last or not first))
        if not last:
            await asyncio.sleep(0)  # other tasks of the loop run in between


def _identity(root: Path) -> tuple[int, int] | None:
    """The device and inode that the path leads to now; None if it leads nowhere."""
    try:
        found = root.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _no_directory(root: Path, error: OSError) -> SourceError:
    reason = {
        FileNotFoundError: "does not exist; create it, or give the one that holds the manifests",
        NotADirectoryError: "is not a directory; give the one that holds the manifests",
        PermissionError: "cannot be read; grant the user of dnsd read and search permission",
    }.get(type(error), f"cannot be read: {os_problem(error)}")
    return SourceError(f"manifests directory {printable(str(root))!r} {reason}")
