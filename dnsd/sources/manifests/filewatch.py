"""Reports which files below a directory may have changed.

In `sources/manifests/` (control plane: objects from files). Change here: how changes are noticed.

`watchfiles` watches the directory on every system, in a thread of its own. A report names files or
means "everything". The directory (`directory.py`) is then read to learn what changed, so a report
may name too much, but never too little.

Rules
* Whatever one file name cannot describe is "everything": a directory that came or went, and the
  swap of `..data` in a ConfigMap volume.
* Directories whose names begin with one dot are ignored, because `directory.py` does not read them.
* A link to a directory is followed only if it is there when the watch begins. When such a link
  appears, the watch ends, and the source opens another.
* When the system refuses to watch (a limit of inotify or of open files), or a file gets a name that
  is not UTF-8, the watch reports "everything" each second. After a minute it ends, so that the
  source tries again.
* The periodic comparison of `source.py` finds the changes whose events the kernel drops, and those
  of a file behind a link that leads out of the directory.

Cost: `watchfiles` does not block until an event comes. It looks for events every `_STEP`, and
reports them at the second look or the third. 15 ms are a compromise: a change is reported after
15 to 30 ms (the goal is an answer within 50 ms), and an idle dnsd uses 0.2 % of a core for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import structlog

from dnsd.sources.manifests.file import SUFFIXES

_STEP = 15  # milliseconds
_POLL, _POLLS = 1.0, 60  # a directory that cannot be watched: seconds between reports, reports
_RAISE_LIMITS = (
    "raise fs.inotify.max_user_watches, fs.inotify.max_user_instances,"
    " or the limit of open files of dnsd (ulimit -n)"
)

# Takes the path of a directory below the root, ending in "/". Whether files below it are known.
Known = Callable[[str], bool]

log = structlog.get_logger(__name__)


class Watch:
    """The files below `root` that may have changed. Belongs to one event loop.

    The first report is "everything" and comes when the system watches the directory, because files
    may have changed before. `over`: the watch has ended.
    """

    def __init__(self, root: Path, known: Known) -> None:
        self._root, self._known = str(root), known
        self.over = False
        self._stands = False  # the system watches the directory
        self._names: set[str] | None = set()
        self._loop = asyncio.get_running_loop()
        self._reported = asyncio.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="manifests-watch", daemon=True)
        self._thread.start()

    async def wait(self, seconds: float) -> set[str] | None:
        """The names of changed files (None: everything), after at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._reported.wait()
        self._reported.clear()
        names, self._names = self._names, set()
        return names

    async def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    # -- in the thread ---------------------------------------------------------------------

    def is_set(self) -> bool:
        """Whether to stop. `watchfiles` calls it at each step, first when the watch stands."""
        if not self._stands:
            self._stands = True
            self._report(None)
        return self._stop.is_set()

    def _run(self) -> None:
        # Here, because `check` and `plan` read manifests without watching them.
        import watchfiles

        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it logs each change at INFO
        try:
            for changes in watchfiles.watch(
                self._root,
                watch_filter=None,
                debounce=_STEP,
                step=_STEP,
                stop_event=self,
                rust_timeout=0,
                force_polling=False,
                ignore_permission_denied=True,
            ):
                paths = [path for _, path in changes]
                self._report(names_of(self._root, paths, self._known))
                if any(os.path.islink(path) and os.path.isdir(path) for path in paths):
                    break
        except (OSError, RuntimeError) as error:
            if os.path.isdir(self._root):
                self._poll(str(error))
        self.over = True
        self._report(set())

    def _poll(self, problem: str) -> None:
        log.warning(
            "the directory cannot be watched; dnsd reads it every second instead",
            directory=self._root,
            problem=problem,
            hint="give this file a name in UTF-8" if "decode path" in problem else _RAISE_LIMITS,
        )
        for _ in range(_POLLS):
            self._report(None)
            if self._stop.wait(_POLL):
                return

    def _report(self, names: set[str] | None) -> None:
        self._loop.call_soon_threadsafe(self._note, names)

    def _note(self, names: set[str] | None) -> None:
        self._names = None if names is None or self._names is None else self._names | names
        self._reported.set()


def names_of(root: str, paths: Iterable[str], known: Known) -> set[str] | None:
    """The names (relative to `root`) of the files that changes at `paths` concern.

    None: everything may have changed. `known` is for paths that no longer exist.
    """
    names = set()
    for path in paths:
        name = path.removeprefix(root).lstrip("/")
        parts = name.split("/")
        if any(part.startswith("..") for part in parts) or not name:
            return None  # a ConfigMap volume swapped its data, or the root itself changed
        if any(part.startswith(".") for part in parts):
            continue
        directory = os.path.isdir(path)
        if name.endswith(SUFFIXES) and not directory:
            names.add(name)
        elif directory or known(name + "/"):
            return None
    return names
