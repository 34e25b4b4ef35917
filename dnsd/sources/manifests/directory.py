"""A directory of manifests as it is now: which files count, what changed since the last look.

Everything here blocks (stat, read, parse) and is called from a thread, one look at a time;
`differs` may run beside a look. Only a look that `is_brief` is not worth a thread.

Rules
* Files ending in .yaml, .yml or .json count, in all subdirectories. Names that begin with a
  dot do not: editors and version control live there, and so do the `..2026_…` directories
  and the `..data` link of a ConfigMap volume, whose files are seen through the visible links
  beside them. What two visible paths lead to is read through the first of them.
* A look compares stat first, content (by hash) second: touching a file changes nothing.
* Bytes, files and directory entries are bounded; what goes over is reported and not read.
* A file that is empty, or too large to have been written in one step, is believed when it
  has not changed between two looks: a program may be in the middle of writing it. A large
  one is believed at once when somebody saw that it was written to its end.
* What cannot be read goes on saying what it said. A directory that is not there says nothing
  new; only one that is there and lacks a file says that the file is gone.
* A file that makes reading fail in a way nobody thought of has a problem, and no other file
  is the worse for it. What was read in a look that failed as a whole has not been said, so
  the next look reads it again.
* A name is octets, and need not be UTF-8. Where it becomes text of an origin or a problem,
  what is not is escaped (`shown`); files are known, and opened, by the names they have.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import structlog
from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.cluster.store import Packed
from dnsd.sources.manifests import file
from dnsd.sources.manifests.file import SUFFIXES, ManifestFile, Problem
from dnsd.sources.manifests.filename import shown
from dnsd.sources.manifests.problems import Changes, note
from dnsd.sources.manifests.registry import Catalogue
from dnsd.sources.manifests.yaml import Unreadable

Signature = tuple[int, ...]
_ONE_STEP = 64 * 1024  # bytes; what editors and shells write with one call
# What is read and parsed in a millisecond or two, YAML too.
_BRIEF_FILES, _BRIEF_BYTES = 4, 8 * 1024

# file.parse: path and bytes, and what the file said before.
Parser = Callable[[str, bytes, ManifestFile | None], ManifestFile]

log = structlog.get_logger(__name__)


class Limits(Struct, frozen=True):
    """What a directory may hold. All are guesses far above what is sane; they bound memory."""

    file_bytes: int = 32 * 1024 * 1024
    total_bytes: int = 256 * 1024 * 1024
    files: int = 20_000
    entries: int = 200_000  # directory entries looked at in one scan


class Look(Struct, frozen=True):
    """What one look found. `unsettled`: some file may be half written, look again soon.

    The objects of the events are packed: a first look may find 100,000 of them.
    """

    events: list[Packed | Key]
    problems: Changes  # which came and which went
    reread: frozenset[str]  # files whose content changed, as `shown`
    unsettled: bool
    files: int
    objects: int
    documents: int
    skipped: dict[str, int]


class _File(Struct):
    """A file as last seen."""

    signature: Signature
    digest: bytes
    size: int
    content: ManifestFile


class Folder:
    """The manifests below `root` (a directory, or one file), and what they say together."""

    def __init__(
        self,
        root: Path,
        catalogue: Catalogue,
        limits: Limits | None = None,
        parse: Parser = file.parse,
    ) -> None:
        self._root = root
        self._parse = parse
        self._catalogue = catalogue
        self._limits = limits or Limits()
        self._files: dict[str, _File] = {}
        self._links: set[str] = set()  # names that are reached through a symbolic link
        self._pending: dict[str, Signature] = {}  # seen once like this, not believed yet
        self._unsaid: dict[str, _File | None] = {}  # what this look replaced
        self._scan_problems: list[Problem] = []
        # Sums over self._files, kept up so that a look costs what it finds.
        self._bytes = 0
        self._documents = 0
        self._skipped: dict[str, int] = {}
        self._changes: Changes = {}  # problems that came or went, not reported yet
        self.stopping = False  # set from another thread: end the look as soon as may be

    def look(
        self,
        names: Iterable[str] | None = None,
        *,
        whole: Collection[str] = (),
        patient: bool = True,
        force: bool = False,
    ) -> Look:
        """Look at these files (paths relative to the root), or at everything.

        `patient`: do not believe a file that may be half written; those in `whole` are not.
        `force`: read files even if stat says they are as they were. Raises OSError when the
        root cannot be listed.
        """
        try:
            changed = self._changed(names, whole, patient=patient, force=force)
            events = self._catalogue.update(
                {name: file.entries if file else () for name, file in changed.items()}
            )
        except BaseException:
            self._take_back()
            raise
        self._unsaid.clear()
        return self._report(events, frozenset(file.path for file in changed.values() if file))

    def _changed(
        self, names: Iterable[str] | None, whole: Collection[str], *, patient: bool, force: bool
    ) -> dict[str, ManifestFile | None]:
        """What the files say that may differ from what they said; None: it is gone."""
        changed: dict[str, ManifestFile | None] = {}
        wanted = None if names is None else self._known(names, changed)
        if wanted is None:
            wanted = self._scan(changed)
            self._pending = {n: s for n, s in self._pending.items() if n in wanted}
        for name in sorted(wanted):
            if self.stopping:
                break
            doubt = (self._limits.file_bytes if name in whole else _ONE_STEP) if patient else None
            file = self._examine(name, doubt, force=force)
            if file is not None:
                changed[name] = file
        return changed

    def _take_back(self) -> None:
        """Know of each file what was known before this look, and look at it in the next."""
        unsaid, self._unsaid = self._unsaid, {}
        for name, before in unsaid.items():
            self._keep(name, before)
            self._pending[name] = ()
        self._unsaid.clear()

    def is_brief(self, names: Collection[str]) -> bool:
        """Whether a look at these files takes about as long as handing it to a thread would.

        Asks stat alone; so it is for a few files that are known to be small, and no links.
        """
        if self._links or len(names) + len(self._pending) > _BRIEF_FILES:
            return False
        size = 0
        for name in (*names, *self._pending):
            try:
                found = os.lstat(self._path(name))
            except OSError:
                continue  # gone, which is soon said
            if not stat.S_ISREG(found.st_mode):
                return False
            size += found.st_size
        return size <= _BRIEF_BYTES

    def differs(self) -> bool:
        """Whether a look at everything would find anything, by stat alone.

        A look may change what is known meanwhile: then this may say so without need. Raises
        OSError when the root cannot be listed.
        """
        before = dict(self._files)
        scan = _Scan(self._root, self._limits)
        scan.run()
        if set(scan.found) != before.keys() or scan.problems != self._scan_problems:
            return True
        return any(
            self.stopping or _stat(self._path(name)) != file.signature
            for name, file in before.items()
        )

    def _path(self, name: str) -> str:
        # Not a Path: made 10,000 times, those take longer than what they are made for.
        return os.path.join(self._root, name) if name else str(self._root)

    def has_below(self, prefix: str) -> bool:
        """Whether a file is known whose path begins with `prefix`."""
        return any(name.startswith(prefix) for name in tuple(self._files))

    def _report(self, events: list[Packed | Key], reread: frozenset[str]) -> Look:
        changes, self._changes = self._changes, {}
        for problem, times in self._catalogue.changes().items():
            note(changes, (problem,), times)
        return Look(
            events,
            changes,
            reread,
            bool(self._pending),
            len(self._files),
            len(self._catalogue),
            self._documents,
            {kind: count for kind, count in sorted(self._skipped.items()) if count},
        )

    def _keep(self, name: str, file: _File | None) -> None:
        """Replace what is known of a file (None: nothing any more), and the sums."""
        before = self._files.pop(name, None)
        self._unsaid.setdefault(name, before)
        for one, sign in ((before, -1), (file, 1)):
            if one is None:
                continue
            self._bytes += sign * one.size
            self._documents += sign * one.content.documents
            for kind, count in one.content.skipped.items():
                self._skipped[kind] = self._skipped.get(kind, 0) + sign * count
            note(self._changes, one.content.problems, sign)
        if file:
            self._files[name] = file

    # -- which files ---------------------------------------------------------------------

    def _known(
        self, names: Iterable[str], changed: dict[str, ManifestFile | None]
    ) -> set[str] | None:
        """Those of `names` that are there; None when only a scan can tell what they mean."""
        wanted = set()
        for name in {*names, *self._pending}:
            try:
                mode = os.lstat(self._path(name)).st_mode
            except OSError:
                if self._links and (name in self._links or name not in self._files):
                    return None  # what was there may have been read by another name
                self._forget(name, changed)
                continue
            if not stat.S_ISREG(mode) or len(self._files) >= self._limits.files:
                return None
            if self._links and (name in self._links or name not in self._files):
                # It may be what a link leads to that is read already; or a link was replaced,
                # and what it led to is to be read by its own name now.
                return None
            wanted.add(name)
        return wanted

    def _forget(self, name: str, changed: dict[str, ManifestFile | None]) -> None:
        self._pending.pop(name, None)
        if name in self._files:
            self._keep(name, None)
            changed[name] = None

    def _scan(self, changed: dict[str, ManifestFile | None]) -> set[str]:
        """The names of all files that count; those known before and gone go into `changed`."""
        scan = _Scan(self._root, self._limits)
        scan.run()
        note(self._changes, self._scan_problems, -1)
        note(self._changes, scan.problems, 1)
        self._scan_problems = scan.problems
        self._links = scan.links
        found = set(scan.found)
        for name in list(self._files):
            if name in found:
                continue
            if any(name.startswith(prefix) for prefix in scan.unlisted):
                found.add(name)  # its directory could not be listed: ask the file itself
            else:
                self._forget(name, changed)
        return found

    # -- what they hold ------------------------------------------------------------------

    def _examine(self, name: str, doubt: int | None, *, force: bool) -> ManifestFile | None:
        """What the file says, if that may differ from what it said; None: nothing new.

        `doubt`: from how many bytes on it may be half written; None: it is not.
        """
        before = self._files.get(name)
        path = self._path(name)
        text = shown(name or self._root.name)
        signature = before.signature if before else ()
        try:
            signature, size = _signature(path)
            if before and not force and before.signature == signature:
                self._pending.pop(name, None)
                return None
            if doubt is not None and self._half_written(name, signature, size, doubt):
                return None
            self._check_room(size, before)
            data = _read(path, self._limits.file_bytes)
            if doubt is not None and _signature(path)[0] != signature:
                self._pending[name] = signature  # it was changed while we read it
                return None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            # Without a signature: an error that stat does not show is tried again.
            return self._fail(name, text, (), Unreadable(f"cannot be read: {reason}"))
        except Unreadable as error:
            return self._fail(name, text, signature, error)
        digest = blake2b(data, digest_size=16).digest()
        if before and before.digest == digest:
            before.signature = signature
            return None
        said = before.content if before else None
        try:
            content = self._parse(text, data, said)
        except Exception as error:  # a fault of ours, which must not cost the other files
            log.exception("a manifest made reading it fail", file=text)
            problem = f"cannot be read, by a fault of dnsd: {type(error).__name__}: {error}"
            content = file.failed(text, said, Unreadable(problem))
        self._keep(name, _File(signature, digest, len(data), content))
        return content

    def _fail(
        self, name: str, text: str, signature: Signature, error: Unreadable
    ) -> ManifestFile | None:
        """Keep what the file said; None when this error is known already."""
        before = self._files.get(name)
        digest = b"!" + error.problem.encode()
        if before and before.digest == digest:
            before.signature = signature
            return None
        content = file.failed(text, before.content if before else None, error)
        self._keep(name, _File(signature, digest, 0, content))
        return content

    def _half_written(self, name: str, signature: Signature, size: int, doubt: int) -> bool:
        if 0 < size <= doubt or size > self._limits.file_bytes:
            self._pending.pop(name, None)
            return False
        if self._pending.get(name) == signature:
            del self._pending[name]
            return False
        self._pending[name] = signature
        return True

    def _check_room(self, size: int, before: _File | None) -> None:
        limit = self._limits.file_bytes
        if size > limit:
            raise Unreadable(f"has {size} bytes, over the limit of {limit}; split it")
        held = self._bytes - (before.size if before else 0)
        if held + size > self._limits.total_bytes:
            limit = self._limits.total_bytes
            raise Unreadable(f"would make more than {limit} bytes of manifests in all")


# A directory entry: its name below the root, where it really is, whether a link leads there.
_Place = tuple[str, str, bool, os.DirEntry[str]]


class _Scan:
    """Walks a directory once, in the order of names."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root, self._limits = str(root), limits
        self.found: list[str] = []
        self.links: set[str] = set()
        self.unlisted: list[str] = []  # prefixes of directories that could not be listed
        self.problems: list[Problem] = []
        self._entries = 0
        self._real_files: set[str] = set()
        self._real_dirs: set[str] = set()

    def run(self) -> None:
        """Raises OSError when the root cannot be listed."""
        if not os.path.isdir(self._root):
            os.stat(self._root)
            self.found.append("")  # one file, given by its own name
            return
        self._walk()
        if self._entries > self._limits.entries or len(self.found) > self._limits.files:
            del self.found[self._limits.files :]
            text = f"has more than {self._limits.files} manifests; the others are not read"
            if self._entries > self._limits.entries:
                text = f"has more than {self._limits.entries} entries; the others are not read"
            self.problems.append(Problem(shown(os.path.basename(self._root)) or ".", text=text))

    def _walk(self) -> None:
        """Depth first, with a stack of its own: directories may be nested as deep as they like."""
        stack = [self._list("", os.path.realpath(self._root), False)]
        while stack:
            for name, real, linked, entry in stack[-1]:
                self._entries += 1
                if self._entries > self._limits.entries or len(self.found) > self._limits.files:
                    return
                below = self._visit(name, real, linked, entry)
                if below is not None:
                    stack.append(below)
                    break
            else:
                stack.pop()

    def _list(self, prefix: str, real: str, linked: bool) -> Iterator[_Place]:
        """The entries of a directory, in the order of names."""
        self._real_dirs.add(real)
        try:
            with os.scandir(os.path.join(self._root, prefix)) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except FileNotFoundError:
            if not prefix:
                raise
            entries = []  # it vanished while we walked
        except OSError as error:
            if not prefix:
                raise
            entries = []
            self.unlisted.append(prefix)
            text = f"cannot be listed: {(error.strerror or str(error)).lower()}"
            self.problems.append(Problem(shown(prefix), text=text))
        return ((prefix + one.name, os.path.join(real, one.name), linked, one) for one in entries)

    def _visit(
        self, name: str, real: str, linked: bool, entry: os.DirEntry[str]
    ) -> Iterator[_Place] | None:
        """Take in an entry; what is in it, if it is a directory that counts."""
        if entry.name.startswith("."):
            return None
        link = entry.is_symlink()
        if link:
            real = os.path.realpath(real)
        if entry.is_dir() if not link else os.path.isdir(real):
            return None if real in self._real_dirs else self._list(name + "/", real, linked or link)
        if name.endswith(SUFFIXES) and real not in self._real_files:
            self._real_files.add(real)
            self.found.append(name)
            if link or linked:
                self.links.add(name)
        return None


def _signature(path: str) -> tuple[Signature, int]:
    """What stat says that changes when the content may have, and the size."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("is not a regular file")
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    ), found.st_size


def _stat(path: str) -> Signature:
    """As `_signature`; empty when there is none, which no file has that could be read."""
    try:
        return _signature(path)[0]
    except (OSError, Unreadable):
        return ()


def _read(path: str, limit: int) -> bytes:
    """The file's bytes. Raises OSError, and Unreadable when there are more than `limit`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("is not a regular file")
        # Room for what is there, not for what might be: read() makes it before it reads.
        room = min(found.st_size, limit) + 1
        pieces, total = [], 0
        while piece := file.read(room):
            pieces.append(piece)
            total += len(piece)
            if total > limit:
                raise Unreadable(f"has more than {limit} bytes, the limit; split it")
            room = min(max(room - len(piece), _ONE_STEP), limit + 1 - total)
        return b"".join(pieces)
