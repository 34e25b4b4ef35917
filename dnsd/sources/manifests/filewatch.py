"""Being told that files below a directory changed.

A `Watch` says what may have changed since it was last asked: the names of files, or
"everything", and a look at the directory (`folder.py`) finds out what it means. It may say
too much, never too little. Three kinds:

* `Inotify`, where there is inotify (Linux): the kernel's own events, at once. A directory is
  watched first and listed then, so that nothing falls in between.
* `Polled`, everywhere else: `watchfiles`, which knows the ways of other systems.
* `Unwatched`, when the system refuses (the limit of watches, usually): everything, every
  second, for a minute; then it is over, and watching is tried again.

When a file is read, with inotify
* As soon as who wrote it has closed it, or renamed it to here: it is *whole*, and needs no
  second look to be believed, however large it is.
* One that is being written is left alone until then, or until nothing was written for
  `_QUIET` seconds: some programs keep their files open, and a hard link is never closed.
* What cannot be told from an event alone is "everything": a directory that was moved or
  removed, the swap of a ConfigMap volume's `..data`, and events that were lost because there
  were too many. All directories are gone through again then.

Directories whose names begin with one dot are not watched, as `Folder` does not read them.
A link to a file tells nothing when that file changes; the source's rescan finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from msgspec import Struct

from dnsd.sources.manifests.file import SUFFIXES

if TYPE_CHECKING:
    import asyncinotify

_QUIET = 0.1  # seconds after which a file that stays open is looked at
_EVENTS = 1000  # taken from the kernel's queue at once; the loop breathes in between
_DIRECTORIES = 20_000  # watched at most; the rescan sees the others
_OPEN = 10_000  # files being written at once; with more, everything may have changed
_EVERY, _TIMES = 1.0, 60  # an unwatched directory: seconds between looks, how many
_TICK = 250  # milliseconds in which watchfiles answers at the latest
_STEP = 10  # milliseconds watchfiles waits for events to stop coming
_DEBOUNCE = 200  # milliseconds after which it does not wait any longer

log = structlog.get_logger(__name__)


class Seen(Struct, frozen=True):
    """What may have changed: files by their names below the root, None: everything.

    `whole`: those of them that somebody finished writing.
    """

    names: frozenset[str] | None = frozenset()
    whole: frozenset[str] = frozenset()


NOTHING = Seen()
EVERYTHING = Seen(None)


class Watch(Protocol):
    """What is below a directory, watched since it was made."""

    async def wait(self, seconds: float) -> Seen | None:
        """What changed, after about `seconds` at the latest, or earlier even if nothing did.

        None: the watch is over, make another.
        """

    async def close(self) -> None:
        """Stop watching."""


# Of a name that is a directory's, with "/" at its end: whether files below it are known.
Known = Callable[[str], bool]
Opener = Callable[[Path, Known], Watch]


def open_watch(root: Path, known: Known) -> Watch:
    """Watch the directory `root` as well as this system can. Blocks.

    Raises OSError when the directory is not there.
    """
    real = root.resolve(strict=True)
    try:
        return Inotify(real) if sys.platform == "linux" else Polled(real, known)
    except OSError as error:
        root.resolve(strict=True)  # it may have gone meanwhile
        return Unwatched(root, error)


# ---------------------------------------------------------------------------------------
# inotify(7).


class Inotify:
    """A `Watch` by inotify. Making it blocks; raises OSError when the system refuses."""

    def __init__(self, root: Path) -> None:
        # Here, because it can be imported on Linux only, and runs a program to find libc.
        import asyncinotify

        self._bits = bits = asyncinotify.Mask
        self._asked = (
            (bits.CREATE | bits.MODIFY | bits.CLOSE_WRITE | bits.ATTRIB)
            | (bits.MOVED_FROM | bits.MOVED_TO | bits.DELETE)
            | (bits.DELETE_SELF | bits.MOVE_SELF | bits.ONLYDIR)
        )
        self._root = str(root)
        # A directory is known by the name it was reached by first: "", "sub/", "sub/dir/".
        self._places: dict[int, str] = {}  # by watch descriptor
        self._watches: dict[str, asyncinotify.Watch] = {}
        self._new: set[str] = set()  # directories to go through
        self._names: set[str] = set()
        self._whole: set[str] = set()
        self._open: dict[str, float] = {}  # being written; when to look all the same
        self._everything = self._more = self._over = False
        self._inotify = asyncinotify.Inotify(cache_size=100, sync_timeout=0)
        try:
            self._spread({""})
        except OSError:
            self._inotify.close()
            raise
        self._names.clear()

    async def close(self) -> None:
        """Stop watching."""
        self._inotify.close()

    async def wait(self, seconds: float) -> Seen | None:
        """See `Watch`."""
        end = time.monotonic() + seconds
        while True:
            if not self._more:
                await self._readable(min(self._open.values(), default=end), end)
            try:
                await self._note_all()
            except OSError as error:  # no more watches, probably; who makes another is told
                log.warning("watching ended", directory=self._root, problem=str(error))
                return None
            if self._over:
                return None
            seen = self._seen()
            # Most of what happens to a file that is replaced concerns its draft: wait on.
            if seen != NOTHING or time.monotonic() >= end:
                return seen

    async def _note_all(self) -> None:
        """Take in what the kernel has to say by now. Raises OSError."""
        events = list(islice(self._inotify, _EVENTS))
        self._more = len(events) == _EVENTS
        for event in events:
            self._note(event)
        if self._new:
            new, self._new = self._new, set()
            await asyncio.to_thread(self._spread, new)

    async def _readable(self, due: float, end: float) -> None:
        """Wait for events, until the earlier of two times at the latest."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        timer = loop.call_later(max(0.0, min(due, end) - time.monotonic()), wake)
        loop.add_reader(self._inotify.fd, wake)
        try:
            await ready
        finally:
            loop.remove_reader(self._inotify.fd)
            timer.cancel()

    def _seen(self) -> Seen:
        """What has been noted since this was asked last."""
        now = time.monotonic()
        for name in [name for name, due in self._open.items() if due <= now]:
            del self._open[name]
            self._names.add(name)
        if len(self._open) > _OPEN:
            self._open.clear()
            self._everything = True
        if not self._names and not self._everything:
            return NOTHING
        seen = Seen(None if self._everything else frozenset(self._names), frozenset(self._whole))
        self._names, self._whole, self._everything = set(), set(), False
        return seen

    # -- events ----------------------------------------------------------------------------

    def _note(self, event: asyncinotify.Event) -> None:
        """Take in one event."""
        mask, bits, watch = event.mask, self._bits, event.watch
        prefix = self._places.get(watch.wd) if watch else None
        if mask & bits.IGNORED:  # the watch is no more
            if watch and prefix is not None:
                del self._places[watch.wd], self._watches[prefix]
                self._over = self._over or not prefix
        elif prefix is None or mask & (bits.Q_OVERFLOW | bits.UNMOUNT):
            self._look_around()
        elif event.name is None:
            self._note_itself(prefix, mask)
        elif not _hidden(str(event.name)):
            self._note_entry(prefix + str(event.name), mask)

    def _look_around(self) -> None:
        """What happened cannot be told: everything may have changed, and be another directory."""
        self._everything = True
        self._new.add("")

    def _note_itself(self, prefix: str, mask: asyncinotify.Mask) -> None:
        """Something happened to a watched directory, which its parent's watch tells as well."""
        if prefix:
            return
        if mask & (self._bits.DELETE_SELF | self._bits.MOVE_SELF):
            self._over = True
        else:
            self._look_around()

    def _note_entry(self, path: str, mask: asyncinotify.Mask) -> None:
        """Something happened to what has or had this name."""
        bits = self._bits
        came, went = mask & (bits.CREATE | bits.MOVED_TO), mask & (bits.DELETE | bits.MOVED_FROM)
        if mask & bits.ISDIR or (came and os.path.isdir(self._full(path))):
            if mask & bits.CREATE and mask & bits.ISDIR:
                self._new.add(path + "/")  # what it holds is found when it is gone through
                self._everything = self._everything or _swaps(path)
            else:
                if went:
                    self._leave(path + "/")
                self._look_around()
        elif went and path + "/" in self._watches:  # a link to a directory
            self._leave(path + "/")
            self._look_around()
        elif _swaps(path):
            self._everything = self._everything or not mask & bits.MODIFY
        elif path.endswith(SUFFIXES):
            self._note_file(path, mask)

    def _note_file(self, name: str, mask: asyncinotify.Mask) -> None:
        bits = self._bits
        if mask & (bits.MODIFY | bits.CREATE) and not os.path.islink(self._full(name)):
            self._names.discard(name)
            self._whole.discard(name)
            self._open[name] = time.monotonic() + _QUIET
        elif not mask & bits.ATTRIB or name not in self._open:
            self._open.pop(name, None)
            self._names.add(name)
            if mask & (bits.CLOSE_WRITE | bits.MOVED_TO):
                self._whole.add(name)

    # -- which directories -----------------------------------------------------------------

    def _full(self, path: str) -> str:
        return os.path.join(self._root, path)

    def _spread(self, prefixes: Iterable[str]) -> None:
        """Watch these directories and those below; manifests in them may be new. Blocks.

        Raises OSError when the system allows no more watches, or the root is gone.
        """
        todo = list(prefixes)
        while todo and len(self._watches) < _DIRECTORIES:
            prefix = todo.pop()
            if not self._enter(prefix):
                continue
            try:
                with os.scandir(self._full(prefix)) as listing:
                    entries = list(listing)
            except OSError:
                continue  # gone already, or not for us to read: the look says so
            for entry in entries:
                if _hidden(entry.name):
                    continue
                if os.path.isdir(entry.path):
                    todo.append(prefix + entry.name + "/")
                elif entry.name.endswith(SUFFIXES):
                    self._names.add(prefix + entry.name)

    def _enter(self, prefix: str) -> bool:
        """Watch one directory; False if another name has led to it, or nothing is there."""
        try:
            watch = self._inotify.add_watch(self._full(prefix), self._asked)
        except OSError as error:
            if prefix and error.errno in _NOT_THERE:
                return False
            raise
        known = self._places.setdefault(watch.wd, prefix)
        if known == prefix:
            self._watches[prefix] = watch
        return known == prefix

    def _leave(self, prefix: str) -> None:
        """Give up a directory and those below it: its names do not lead there any more."""
        for one in [one for one in self._watches if one.startswith(prefix)]:
            watch = self._watches.pop(one)
            self._places.pop(watch.wd, None)
            with contextlib.suppress(OSError):  # it was removed
                self._inotify.rm_watch(watch)


_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG)


def _hidden(name: str) -> bool:
    return name.startswith(".") and not name.startswith("..")


def _swaps(path: str) -> bool:
    """Whether this is in the hidden half of a ConfigMap volume: `..data`, `..2026_…/`."""
    return path.startswith("..") or "/.." in path


# ---------------------------------------------------------------------------------------
# Elsewhere.


class Polled:
    """A `Watch` by watchfiles, begun by the first `wait`."""

    def __init__(self, root: Path, known: Known) -> None:
        from watchfiles import awatch

        self._root, self._known = root, known
        self._changes = awatch(
            str(root),
            watch_filter=None,
            debounce=_DEBOUNCE,
            step=_STEP,
            rust_timeout=_TICK,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        self._next: asyncio.Task[Any] | None = None
        self._instead: Unwatched | None = None

    async def close(self) -> None:
        """Stop watching."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})
        await self._changes.aclose()

    async def wait(self, seconds: float) -> Seen | None:
        """See `Watch`."""
        if self._instead is not None:
            return await self._instead.wait(seconds)
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._changes, None))
        await asyncio.wait({self._next}, timeout=seconds)
        if not self._next.done():
            return NOTHING
        done, self._next = self._next, None
        try:
            found = done.result()
        except (OSError, RuntimeError, ExceptionGroup) as error:
            # Limits of the system, or a name that is not UTF-8, which watchfiles cannot say.
            if not self._root.is_dir():
                return None
            self._instead = Unwatched(self._root, error)
            return EVERYTHING
        if found is None:  # told to stop
            return None
        root = str(self._root)
        names = touched(root, [path for _, path in found], self._known)
        return Seen(None if names is None else frozenset(names))


class Unwatched:
    """A `Watch` that watches nothing: a look at everything is dear, but right."""

    def __init__(self, root: Path, reason: Exception) -> None:
        self._left, self._next = _TIMES, time.monotonic() + _EVERY
        log.warning(
            "the directory cannot be watched; looking every second",
            directory=str(root),
            problem=str(reason),
            hint="raise fs.inotify.max_user_watches and max_user_instances",
        )

    async def close(self) -> None:
        """Nothing to stop."""

    async def wait(self, seconds: float) -> Seen | None:
        """See `Watch`."""
        await asyncio.sleep(max(0.0, min(seconds, self._next - time.monotonic())))
        if time.monotonic() < self._next:
            return NOTHING
        self._left -= 1
        self._next = time.monotonic() + _EVERY
        return EVERYTHING if self._left else None


def touched(root: str, paths: Iterable[str], known: Known) -> set[str] | None:
    """The names (relative to `root`) that changes at `paths` concern; None: look at everything.

    `known` tells what a directory that is gone cannot tell any more.
    """
    names = set()
    for path in paths:
        name = path.removeprefix(root).lstrip("/")
        parts = name.split("/")
        if any(part.startswith("..") for part in parts) or not name:
            return None  # a ConfigMap volume swaps its data, or the root itself changed
        if any(part.startswith(".") for part in parts):
            continue
        directory = os.path.isdir(path)
        if name.endswith(SUFFIXES) and not directory:
            names.add(name)
        elif directory or known(name + "/"):
            return None
    return names
