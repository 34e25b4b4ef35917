"""The history of names: each change with its time, serial, and cause.

In `observe/` (control plane). Change here: when changes are recorded.

`History` observes the pipeline. `follow` takes a `Change` and returns at once. A thread of its own
writes the changes of a second in one transaction, and answers queries, so the event loop does not
wait for a disk. A transaction for each change would cost several times the change itself.

* **A start is not a change.** Building the zone creates a Change for each name. So nothing is
  recorded before `begin`, which compares the zone with the last recorded state. It records only the
  differences, which are the changes while dnsd did not run, with the cause `RESTART` or `RELOAD`.
* **Bounded** by age and size: the oldest changes are deleted first, and the file shrinks. At most
  `MAX_WAITING` changes wait in memory for the disk; more are counted in `lost`.
* **Durable**: with the WAL of SQLite, a crash loses at most the last seconds. Without a directory,
  the history is in memory and ends with the process.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from dnsd.cluster.objects import Key
from dnsd.dns.names import Name
from dnsd.dns.rrset import RRset
from dnsd.observe.facts import HistoryStatus
from dnsd.observe.history_store import Entry, Position, Store, rows_of
from dnsd.runtime.tasks import log_failure
from dnsd.zone.change import Cause, Change
from dnsd.zone.zone import Zone

__all__ = ["Entry", "History", "Position", "from_changes"]

log = structlog.get_logger(__name__)

FILE = "history.sqlite"
MAX_WAITING = 20_000  # changes in memory that are not written yet
MAX_FOUND = 1000  # entries in one answer
RESTART = Key("Restart", "", "dnsd")
RELOAD = Key("Reload", "", "dnsd")
_STEP = 2000  # names compared at the start before other tasks run
_BATCH = 2000  # changes in one transaction
_DELAY = 1.0  # seconds in which changes are collected for one transaction

T = TypeVar("T")


class History:
    """The changes of the last `max_age` seconds, in about `max_bytes` at most."""

    def __init__(self, directory: str, *, max_age: float, max_bytes: int) -> None:
        """Open or create the file in `directory` ("": in memory). Raises OSError, sqlite3.Error."""
        self.path = Path(directory, FILE) if directory else None
        self.lost = 0
        self._store = Store(self.path, max_age, max_bytes)
        self._thread = ThreadPoolExecutor(1, "history")
        self._waiting: deque[Change] = deque()
        self._touched: set[tuple[Name, int]] | None = None  # while `begin` compares
        self._begun = False
        self._timer: asyncio.TimerHandle | None = None  # until the next write
        self._closed = False

    # -- recording -------------------------------------------------------------------------

    def follow(self, change: Change) -> None:
        """Record a Change; before `begin`, do nothing. Call it in the event loop."""
        if not self._begun or self._closed:
            return
        if self._touched is not None:
            self._touched.update((one.name, one.type) for one in change.removed + change.added)
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting.append(change)
        if len(self._waiting) % _BATCH == 0:
            self._start_write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._start_write)

    def _start_write(self) -> None:
        self._timer = None
        if not self._closed:
            log_failure(self._thread.submit(self._write), "write the history")

    async def begin(self, zone: Zone, cause: Key = RESTART) -> int:
        """Record how `zone` differs from the recorded state, and record all changes from now on.

        Call it when the zone is complete (synced), and after each rebuild. Returns the number of
        names and types that differ.
        """
        self._begun, self._touched = True, set()
        changed: list[tuple[RRset | None, RRset | None]] = []
        for position, (name, type_, before) in enumerate(await self._run(self._latest)):
            now = zone.rrset(name, type_)
            if now != before and (name, type_) not in self._touched:
                changed.append((before, now))
            if position % _STEP == 0:
                await asyncio.sleep(0)
        self._touched = None
        if changed:
            # Not through `follow`, so that none is lost, however many there are.
            difference = Change(
                serial=zone.serial,
                contributor=cause,
                removed=tuple(old for old, _ in changed if old is not None),
                added=tuple(new for _, new in changed if new is not None),
                born=(),
                died=(),
                zones_born=(),
                zones_died=(),
                cause=Cause(cause, at=time.time()),
            )
            await self._run(lambda: self._store_all([difference]))
        return len(changed)

    # -- reading ---------------------------------------------------------------------------

    async def find(
        self,
        *,
        name: Name | None = None,
        contributor: Key | None = None,
        since: float = 0.0,
        behind: Entry | Position | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """The changes of a name or a contributor, newest first, at most `limit` (1000).

        `since`: seconds since the epoch; `behind`: only entries after this one (the next page).
        Raises sqlite3.Error if the file cannot be read.
        """
        limit = max(1, min(limit, MAX_FOUND))
        position = behind.position if isinstance(behind, Entry) else behind

        def query() -> list[Entry]:
            self._write()
            return self._store.find(name, contributor, since, position, limit)

        return await self._run(query)

    async def status(self) -> HistoryStatus:
        """The extent of the history, without changes that are not written yet."""
        (changes, oldest), size = await self._run(lambda: (self._store.count(), self._store.size()))
        return HistoryStatus(changes, size, oldest, self.lost, self.path is not None)

    async def flush(self) -> None:
        """Wait until all changes so far are written."""
        await self._run(self._write)

    async def close(self) -> None:
        """Write all changes, and close the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._run(self._write)
        await self._run(self._store.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # -- in the thread ---------------------------------------------------------------------

    def _write(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), _BATCH)
            self._store_all([self._waiting.popleft() for _ in range(count)])

    def _store_all(self, changes: list[Change]) -> None:
        try:
            self._store.add(changes)
        except sqlite3.Error as error:
            self.lost += len(changes)
            log.warning("changes are missing from the history", problem=str(error), lost=self.lost)

    def _latest(self) -> list[tuple[Name, int, RRset | None]]:
        self._write()
        self._store.trim()
        return self._store.latest()


def from_changes(changes: Iterable[Change], name: Name, limit: int) -> list[Entry]:
    """The entries of one name in Changes of a journal, which come newest first."""
    found: list[Entry] = []
    for change in changes:
        for owner, type_, before, after in rows_of(change):
            if owner == name:
                found.append(
                    Entry(
                        *(0, change.cause.at, change.serial, name, type_),
                        before=before,
                        after=after,
                        contributor=change.contributor,
                        cause=change.cause,
                    )
                )
        if len(found) >= limit:
            break
    return found[:limit]
