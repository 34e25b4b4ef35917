"""Reads the manifests of a directory, and only what changed since the previous update.

In `sources/manifests/` (control plane: objects from files). Change here: which files are read.

Everything here blocks (stat, read, parse) and is called from a thread, one update at a time.
`differences` may run beside an update.

Rules
* Files ending in .yaml, .yml, or .json count, in all subdirectories. Names that begin with a dot do
  not count: editors and version control use them, and so do the `..2026_…` directories and the
  `..data` link of a ConfigMap volume, whose files are reached through the visible links beside
  them. A file that two visible paths lead to is read through the first of them.
* An update compares stat first and content (by digest) second, so touching a file changes nothing.
* Octets, files, and directory entries are bounded. What exceeds a bound is reported and not read.
* A file that is empty, or larger than one write, may be half written. It is read once two updates
  have found it unchanged.
* A file that cannot be read keeps its last objects. If the directory is gone, nothing changes; a
  file is gone only if its directory can be listed and lacks it.
* A file that makes the parser fail unexpectedly has a problem and affects no other file. If an
  update as a whole fails, the next update reads the same files again.
* Where a file name becomes text (in an origin or a problem), it is made `printable`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import structlog
from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.cluster.store import Packed
from dnsd.sources.manifests import file
from dnsd.sources.manifests.file import SUFFIXES, ManifestFile
from dnsd.sources.manifests.problems import Changes, Problem, count, printable
from dnsd.sources.manifests.registry import Registry
from dnsd.sources.manifests.yaml import Unreadable

Signature = tuple[int, ...]  # of a file: what stat reports and a change of content changes
_SIZE = 2  # index of the size in octets
_ONE_WRITE = 64 * 1024  # octets that editors and shells write with one system call

# file.parse: takes a path, its octets, and what the file held before.
Parser = Callable[[str, bytes, ManifestFile | None], ManifestFile]

log = structlog.get_logger(__name__)


class Limits(Struct, frozen=True):
    """Bounds of a directory. They bound memory; all are guesses far above a sane directory."""

    file_bytes: int = 32 * 1024 * 1024
    total_bytes: int = 256 * 1024 * 1024
    files: int = 20_000
    entries: int = 200_000  # directory entries visited in one walk


class Update(Struct, frozen=True):
    """What one update found. `unsettled`: a file may be half written, so update again soon.

    The objects of the events are packed, because a first update may find 100,000 of them.
    """

    events: list[Packed | Key]
    problems: Changes
    reread: frozenset[str]  # printable names of the files whose content changed
    unsettled: bool
    files: int
    objects: int
    documents: int
    skipped: dict[str, int]  # objects by kind that dnsd does not read


class _File(Struct):
    """A file as last read."""

    signature: Signature
    digest: bytes
    size: int
    content: ManifestFile


class Directory:
    """The manifests below `root` (a directory, or one file), and what they declare together."""

    def __init__(
        self,
        root: Path,
        registry: Registry,
        limits: Limits | None = None,
        parse: Parser = file.parse,
    ) -> None:
        self._root = root
        self._parse = parse
        self._registry = registry
        self._limits = limits or Limits()
        self._files: dict[str, _File] = {}
        self._links: set[str] = set()  # names that are reached through a symbolic link
        self._pending: dict[str, Signature] = {}  # seen once with this signature, not read yet
        self._walk_problems: list[Problem] = []
        # Sums over self._files, so that an update costs what it finds.
        self._bytes = 0
        self._documents = 0
        self._skipped: dict[str, int] = {}
        self._changes: Changes = {}  # problems added or removed, not reported yet
        self.stopping = False  # set from another thread to end an update early

    def update(
        self, names: Iterable[str] | None = None, *, settle: bool = True, force: bool = False
    ) -> Update:
        """Read the files of these names (relative to the root), or all, that have changed.

        `settle`: do not read a file that may be half written. `force`: read files even if their
        stat is unchanged. Raises OSError when the root cannot be listed.
        """
        changed: dict[str, _File | None] = {}  # None: the file is gone
        try:
            self._read_changed(names, changed, settle=settle, force=force)
            events = self._registry.update(
                {name: new.content.manifests if new else () for name, new in changed.items()}
            )
        except BaseException:
            self._pending.update(dict.fromkeys(changed, ()))
            raise
        for name, new in changed.items():
            self._keep(name, new)
        changes, self._changes = self._changes, {}
        for problem, times in self._registry.changes().items():
            count(changes, (problem,), times)
        return Update(
            events,
            changes,
            frozenset(new.content.path for new in changed.values() if new),
            bool(self._pending),
            len(self._files),
            len(self._registry),
            self._documents,
            {kind: number for kind, number in sorted(self._skipped.items()) if number},
        )

    def differences(self) -> set[tuple[str, Signature]]:
        """The files that an update of everything would read, with their present signatures.

        Compares stat alone. Raises OSError when the root cannot be listed.
        """
        known = {name: file.signature for name, file in self._files.copy().items()}
        walk = _Walk(self._root, self._limits)
        found = {name: _signature_or_none(self._path(name)) for name in walk.found}
        gone: dict[str, Signature] = dict.fromkeys(known.keys() - found.keys(), ())
        if walk.problems != self._walk_problems:
            gone[""] = ()
        return set((found | gone).items()) - set(known.items())

    def has_below(self, prefix: str) -> bool:
        """Whether a file is known whose name begins with `prefix`. Callable from any thread."""
        return any(name.startswith(prefix) for name in tuple(self._files))

    def _path(self, name: str) -> str:
        # Not a Path: to make 10,000 of them takes longer than the calls they are made for.
        return os.path.join(self._root, name) if name else str(self._root)

    def _keep(self, name: str, new: _File | None) -> None:
        """Replace a file (None: it is gone), and update the sums."""
        for one, sign in ((self._files.pop(name, None), -1), (new, 1)):
            if one is None:
                continue
            self._bytes += sign * one.size
            self._documents += sign * one.content.documents
            for kind, number in one.content.skipped.items():
                self._skipped[kind] = self._skipped.get(kind, 0) + sign * number
            count(self._changes, one.content.problems, sign)
        if new:
            self._files[name] = new

    # -- which files ---------------------------------------------------------------------

    def _read_changed(
        self,
        names: Iterable[str] | None,
        changed: dict[str, _File | None],
        *,
        settle: bool,
        force: bool,
    ) -> None:
        """Read the files whose content may differ into `changed`."""
        present = None if names is None else self._present({*names, *self._pending}, changed)
        if present is None:
            present = self._walk(changed)
            self._pending = {n: s for n, s in self._pending.items() if n in present}
        octets_left = self._limits.total_bytes - self._bytes
        octets_left += sum(self._files[name].size for name in changed)  # so far, these are gone
        for name in sorted(present):
            if self.stopping:
                break
            before = self._files.get(name)
            octets_left += before.size if before else 0
            new = self._examine(name, before, octets_left, settle=settle, force=force)
            if new is not None:
                changed[name] = new
            octets_left -= new.size if new else before.size if before else 0

    def _present(self, names: set[str], changed: dict[str, _File | None]) -> set[str] | None:
        """Those of `names` that exist; None if only a walk can find what they mean."""
        present: set[str] = set()
        for name in names:
            # With links, a new file may be one that is read by another name already. If a link
            # was replaced, its target is to be read by its own name now.
            linked = self._links and (name in self._links or name not in self._files)
            try:
                mode = os.lstat(self._path(name)).st_mode
            except OSError:
                if linked:
                    return None
                self._forget(name, changed)
                continue
            if (
                linked
                or not stat.S_ISREG(mode)
                or len(self._files) + len(present) >= self._limits.files
            ):
                return None
            present.add(name)
        return present

    def _forget(self, name: str, changed: dict[str, _File | None]) -> None:
        self._pending.pop(name, None)
        if name in self._files:
            changed[name] = None

    def _walk(self, changed: dict[str, _File | None]) -> set[str]:
        """The names of all files that count. Files that are gone go into `changed`."""
        walk = _Walk(self._root, self._limits)
        count(self._changes, self._walk_problems, -1)
        count(self._changes, walk.problems, 1)
        self._walk_problems, self._links = walk.problems, walk.links
        found = set(walk.found)
        for name in self._files.keys() - found:
            if any(name.startswith(prefix) for prefix in walk.unlisted):
                found.add(name)  # its directory cannot be listed, but the file may be readable
            else:
                self._forget(name, changed)
        return found

    # -- what they hold ------------------------------------------------------------------

    def _examine(
        self, name: str, before: _File | None, octets_left: int, *, settle: bool, force: bool
    ) -> _File | None:
        """A file that may have changed, as it is now; None: nothing new.

        `octets_left`: the size that it may have within the limit of all files.
        """
        path = self._path(name)
        text = printable(name or self._root.name)
        signature: Signature = ()
        problem: Unreadable | None = None
        try:
            signature = _signature(path)
            if before and not force and before.signature == signature:
                self._pending.pop(name, None)
                return None
            if settle and self._half_written(name, signature):
                return None
            self._check_size(signature[_SIZE], octets_left)
            data = _read(path, self._limits.file_bytes)
            if settle and _signature(path) != signature:
                self._pending[name] = signature  # it changed while dnsd read it
                return None
            digest = blake2b(data, digest_size=16).digest()
        except (OSError, Unreadable) as error:
            # An OSError leaves no signature, because stat does not show when its cause is gone.
            if isinstance(error, OSError):
                signature, error = (), Unreadable(f"cannot be read: {os_problem(error)}")
            data, digest, problem = b"", b"!" + error.problem.encode(), error
        if before and before.digest == digest:
            before.signature = signature
            return None
        previous = before.content if before else None
        return _File(signature, digest, len(data), self._parsed(text, data, previous, problem))

    def _parsed(
        self, path: str, data: bytes, previous: ManifestFile | None, problem: Unreadable | None
    ) -> ManifestFile:
        if problem is None:
            try:
                return self._parse(path, data, previous)
            except Exception as error:  # a fault of dnsd, which must not cost the other files
                log.exception("dnsd failed to read a manifest", file=path)
                fault = f"{type(error).__name__}: {error}"
                problem = Unreadable(f"cannot be read because of a fault in dnsd: {fault}")
        return file.failed(path, previous, problem)

    def _half_written(self, name: str, signature: Signature) -> bool:
        size = signature[_SIZE]
        settled = 0 < size <= _ONE_WRITE or size > self._limits.file_bytes
        if settled or self._pending.get(name) == signature:
            self._pending.pop(name, None)
            return False
        self._pending[name] = signature
        return True

    def _check_size(self, size: int, octets_left: int) -> None:
        limit, total = self._limits.file_bytes, self._limits.total_bytes
        if size > limit:
            raise Unreadable(f"has {size} bytes, over the limit of {limit}; split it")
        if size > octets_left:
            raise Unreadable(f"would make more than {total} bytes of manifests in all; remove some")


# An entry of a directory: its name below the root, its real path, whether a link leads there.
_Visit = tuple[str, str, bool, os.DirEntry[str]]


class _Walk:
    """One walk through a directory, depth first and in the order of names.

    Raises OSError when the root cannot be listed.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root, self._limits = str(root), limits
        self.found: list[str] = []
        self.links: set[str] = set()
        self.unlisted: list[str] = []  # prefixes of directories that cannot be listed
        self.problems: list[Problem] = []
        self._entries = 0
        self._real: set[str] = set()  # real paths of the files and directories visited
        if os.path.isdir(self._root):
            self._walk()
        else:
            os.stat(self._root)
            self.found.append("")  # one file, given by its own name
        if self._over():
            del self.found[limits.files :]
            what = f"{limits.files} manifests"
            if self._entries > limits.entries:
                what = f"{limits.entries} entries"
            text = f"has more than {what}; the others are not read"
            self.problems.append(Problem(printable(os.path.basename(self._root)) or ".", text=text))

    def _over(self) -> bool:
        return self._entries > self._limits.entries or len(self.found) > self._limits.files

    def _walk(self) -> None:
        """With a stack instead of recursion, because directories may be nested without limit."""
        stack = [self._list("", os.path.realpath(self._root), False)]
        while stack:
            for visit in stack[-1]:
                self._entries += 1
                if self._over():
                    return
                below = self._visit(*visit)
                if below is not None:
                    stack.append(below)
                    break
            else:
                stack.pop()

    def _list(self, prefix: str, real: str, linked: bool) -> Iterator[_Visit]:
        """The entries of a directory, in the order of names."""
        self._real.add(real)
        entries: list[os.DirEntry[str]] = []
        try:
            with os.scandir(os.path.join(self._root, prefix)) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise
            if not isinstance(error, FileNotFoundError):  # it may have vanished during the walk
                self.unlisted.append(prefix)
                text = f"cannot be listed: {os_problem(error)}"
                self.problems.append(Problem(printable(prefix), text=text))
        return ((prefix + one.name, os.path.join(real, one.name), linked, one) for one in entries)

    def _visit(
        self, name: str, real: str, linked: bool, entry: os.DirEntry[str]
    ) -> Iterator[_Visit] | None:
        """Take in one entry. Returns its own entries, if it is a directory that counts."""
        if entry.name.startswith("."):
            return None
        if entry.is_symlink():
            real, linked = os.path.realpath(real), True
        if os.path.isdir(real) if linked else entry.is_dir():
            return None if real in self._real else self._list(name + "/", real, linked)
        if name.endswith(SUFFIXES) and real not in self._real:
            self._real.add(real)
            self.found.append(name)
            if linked:
                self.links.add(name)
        return None


def os_problem(error: OSError) -> str:
    """The text of an error of the system, without its number and path."""
    return (error.strerror or str(error)).lower()


def _signature(path: str) -> Signature:
    """The signature of a file. Raises OSError and Unreadable."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("is not a regular file")
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _signature_or_none(path: str) -> Signature:
    """The signature of a file; empty if the file does not exist or cannot be read."""
    try:
        return _signature(path)
    except (OSError, Unreadable):
        return ()


def _read(path: str, limit: int) -> bytes:
    """The content of a file. Raises OSError, and Unreadable for more than `limit` octets."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("is not a regular file")
        # Room for the present size and not for the limit, because read() allocates before it reads.
        data = opened.read(min(found.st_size, limit) + 1)
        if len(data) > found.st_size:  # it grew, or stat does not report its size
            data += opened.read(limit + 1 - len(data))
    if len(data) > limit:
        raise Unreadable(f"has more than {limit} bytes, the limit; split it")
    return data
