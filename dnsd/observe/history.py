"""What was said before: every change of a name, with time, serial and cause, in SQLite.

A follower of the pipeline. `follow` takes a `Change` and returns at once: a thread of its
own writes what has gathered in a second, in one transaction, and answers questions; the event
loop never waits for a disk. A transaction for each change would cost several times what the
change itself does: 26 writes of a page each, and a thread that wakes up beside the loop.

* **A start is no change.** Building the zone from nothing makes a Change of every name, and
  none of them is news. So nothing is recorded before `begin`, which compares what the zone
  says now with what was recorded last, and records only what differs: that is what changed
  while dnsd was not looking, with `RESTART` (or `RELOAD`) as its cause.
* **Bounded** by age and by size: the oldest go first, and the file shrinks (incremental
  vacuum). In memory at most `MAX_WAITING` changes wait for the disk; what comes on top is
  counted in `lost`, never waited for.
* **Survives**: WAL, so a crash loses the last seconds at most. A file that is damaged
  or of another version is set aside (`….broken`) and a new one begun: history is worth
  having, not worth a start that fails.
* Without a directory it lives in memory and ends with the process.

The file has mode 0600: it names every Service of a cluster.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.dns.names import Name
from dnsd.dns.rrset import RRset
from dnsd.zone.change import Cause, Change
from dnsd.zone.zone import Zone

log = structlog.get_logger(__name__)

FILE = "history.sqlite"
MAX_WAITING = 20_000  # changes in memory that the disk has not taken yet
MAX_FOUND = 1000  # entries one question gets at most
RESTART = Key("Restart", "", "dnsd")
RELOAD = Key("Reload", "", "dnsd")
_VERSION = 1
_CHUNK = 2000  # names compared at the start before the event loop gets its turn
_WRITTEN_AT_ONCE = 2000  # changes in one transaction
_GATHER = 1.0  # seconds that a change waits for others to be written with
_TRIM_EVERY = 60.0  # seconds between two looks at the age of the oldest
_SHARE = 10  # over the size, a tenth of the changes goes

_SCHEMA = """
CREATE TABLE changes (
  id INTEGER PRIMARY KEY, at REAL NOT NULL, serial INTEGER NOT NULL,
  kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  cause BLOB NOT NULL
);
CREATE INDEX changes_by_owner ON changes (kind, namespace, name, id);
CREATE INDEX changes_by_time ON changes (at);
CREATE TABLE records (
  change INTEGER NOT NULL, name BLOB NOT NULL, type INTEGER NOT NULL,
  before BLOB, after BLOB,
  PRIMARY KEY (change, name, type)
) WITHOUT ROWID;
CREATE INDEX records_by_name ON records (name, change);
"""


Place = tuple[int, Name, int]  # a change's id, and a name and type of it


class Entry(Struct, frozen=True):
    """One change of one name and type. `before`, `after`: None when it had, has no records.

    `id` grows with time; `at` is in seconds since the epoch, `serial` the one after it.
    """

    id: int
    at: float
    serial: int
    name: Name
    type: int
    before: RRset | None
    after: RRset | None
    contributor: Key
    cause: Cause

    @property
    def place(self) -> Place:
        """Where it stands in the order of `History.find`."""
        return self.id, self.name, self.type


class HistoryStatus(Struct, frozen=True):
    """How much is kept. `lost`: changes that the disk was too slow or too full for."""

    changes: int
    bytes: int
    oldest: float  # seconds since the epoch, 0.0 when there is none
    lost: int
    on_disk: bool


class _Said(Struct, array_like=True, frozen=True):
    """What an RRset says, as it is kept."""

    ttl: int
    rdatas: tuple[bytes, ...]


_encode = msgspec.msgpack.Encoder().encode
_said = msgspec.msgpack.Decoder(_Said).decode
_cause = msgspec.msgpack.Decoder(Cause).decode


class History:
    """The changes of the last `max_age` seconds, in at most about `max_bytes`."""

    def __init__(self, directory: str, *, max_age: float, max_bytes: int) -> None:
        """Opens or makes the file in `directory` ("": in memory).

        Raises OSError, sqlite3.Error when that cannot be.
        """
        self.max_age, self.max_bytes = max_age, max_bytes
        self.path = Path(directory, FILE) if directory else None
        self.lost = 0
        self._thread = ThreadPoolExecutor(1, "history")
        self._waiting: deque[Change] = deque()
        self._touched: set[tuple[Name, int]] | None = None  # while `begin` compares
        self._begun = False
        self._due: asyncio.TimerHandle | None = None  # when what waits is written
        self._closed = False
        self._trimmed = 0.0
        self._database = self._open()

    # -- following -------------------------------------------------------------------------

    def follow(self, change: Change) -> None:
        """Takes a Change; before `begin` it is no news and is passed over.

        Within the event loop that awaits the rest.
        """
        if not self._begun or self._closed:
            return
        if self._touched is not None:
            self._touched.update((one.name, one.type) for one in change.removed + change.added)
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting.append(change)
        if len(self._waiting) % _WRITTEN_AT_ONCE == 0:
            self._thread.submit(self._write)
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(_GATHER, self._write_soon)

    def _write_soon(self) -> None:
        self._due = None
        if not self._closed:
            self._thread.submit(self._write)

    async def begin(self, zone: Zone, cause: Key = RESTART) -> int:
        """Records how `zone` differs from what was said last; from here on all is recorded.

        Call it when the zone is complete (synced), and again when it was built anew.
        Returns the number of names and types that differ.
        """
        loop = asyncio.get_running_loop()
        self._begun, self._touched = True, set()
        last = await loop.run_in_executor(self._thread, self._last_said)
        changed: list[tuple[RRset | None, RRset | None]] = []
        for position, (name, type_, said) in enumerate(last):
            now = zone.rrset(name, type_)
            before = _rrset(name, type_, said)
            if now != before and (name, type_) not in self._touched:
                changed.append((before, now))
            if position % _CHUNK == 0:
                await asyncio.sleep(0)
        self._touched = None
        if changed:
            # In order, but not through `follow`: however many there are, none is lost.
            made = _between(changed, zone.serial, cause)
            await loop.run_in_executor(self._thread, self._store, [made])
        return len(changed)

    # -- asking ----------------------------------------------------------------------------

    async def find(
        self,
        *,
        name: Name | None = None,
        contributor: Key | None = None,
        since: float = 0.0,
        behind: Entry | Place | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """What changed, newest first, at most `limit` (1000) entries.

        `name`: of this name; `contributor`: of the names of this object; `since` in seconds since
        the epoch; `behind`: only what comes after this entry, or place (the next page).
        Raises sqlite3.Error when the file cannot be read any more.
        """
        loop = asyncio.get_running_loop()
        limit = max(1, min(limit, MAX_FOUND))
        place = behind.place if isinstance(behind, Entry) else behind
        return await loop.run_in_executor(
            self._thread, self._find, name, contributor, since, place, limit
        )

    async def status(self) -> HistoryStatus:
        """How much is kept, without what still waits to be written."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._status)

    async def settled(self) -> None:
        """Wait until what was followed so far is written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write)

    async def close(self) -> None:
        """Write what waits, and close the file; once more does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._due is not None:
            self._due.cancel()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._finish)
        self._thread.shutdown()

    # -- in the thread ---------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            return _prepared(":memory:")
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            return _prepared(str(self.path))
        except sqlite3.DatabaseError as error:
            aside = self.path.with_suffix(".broken")
            log.warning(
                "the history cannot be read; beginning a new one",
                path=str(self.path),
                problem=str(error),
                kept_as=str(aside),
            )
            self.path.replace(aside)
            for leftover in ("-wal", "-shm"):
                Path(f"{self.path}{leftover}").unlink(missing_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            return _prepared(str(self.path))

    def _write(self) -> None:
        """Writes all that waits. Runs in the thread."""
        while self._waiting:
            some = [
                self._waiting.popleft() for _ in range(min(len(self._waiting), _WRITTEN_AT_ONCE))
            ]
            self._store(some)

    def _store(self, changes: list[Change]) -> None:
        try:
            with self._database:
                for change in changes:
                    self._insert(change)
            self._trim()
        except sqlite3.Error as error:
            self.lost += len(changes)
            log.warning("changes are missing from the history", problem=str(error), lost=self.lost)

    def _insert(self, change: Change) -> None:
        rows = list(_rows(change))
        if not rows:
            return
        contributor, cause = change.contributor, change.cause
        cursor = self._database.execute(
            "INSERT INTO changes (at, serial, kind, namespace, name, cause)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (cause.at or time.time(), change.serial, *contributor, _encode(cause)),
        )
        self._database.executemany(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?)",
            [(cursor.lastrowid, *row) for row in rows],
        )

    def _trim(self) -> None:
        now = time.monotonic()
        if now >= self._trimmed + _TRIM_EVERY or not self._trimmed:
            self._trimmed = now
            row = self._database.execute(
                "SELECT max(id) FROM changes WHERE at < ?", (time.time() - self.max_age,)
            ).fetchone()
            self._drop_until(row[0] or 0)
        while self._bytes() > self.max_bytes:
            first, last = self._database.execute("SELECT min(id), max(id) FROM changes").fetchone()
            if first is None or first == last:
                return
            self._drop_until(first + (last - first) // _SHARE)

    def _drop_until(self, last: int) -> None:
        if last <= 0:
            return
        with self._database:
            self._database.execute("DELETE FROM records WHERE change <= ?", (last,))
            self._database.execute("DELETE FROM changes WHERE id <= ?", (last,))
        self._database.execute("PRAGMA incremental_vacuum").fetchall()

    def _bytes(self) -> int:
        def pragma(name: str) -> int:
            return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

        return pragma("page_size") * (pragma("page_count") - pragma("freelist_count"))

    def _last_said(self) -> list[tuple[Name, int, bytes | None]]:
        """What each name and type in the history says according to its last entry."""
        self._write()
        self._trim()
        return self._database.execute(
            "SELECT name, type, after FROM records WHERE (name, type, change) IN"
            " (SELECT name, type, max(change) FROM records GROUP BY name, type)"
        ).fetchall()

    def _find(
        self,
        name: Name | None,
        contributor: Key | None,
        since: float,
        behind: Place | None,
        limit: int,
    ) -> list[Entry]:
        self._write()
        where = ["changes.at >= ?"]
        values: list[object] = [since]
        if name is not None:
            where.append("records.name = ?")
            values.append(name)
        if contributor is not None:
            where.append("changes.kind = ? AND changes.namespace = ? AND changes.name = ?")
            values += contributor
        if behind is not None:
            # A change may have more records than a page: go on within it.
            where.append("(-records.change, records.name, records.type) > (?, ?, ?)")
            values += (-behind[0], behind[1], behind[2])
        rows = self._database.execute(
            "SELECT changes.id, at, serial, records.name, type, before, after,"  # noqa: S608
            " kind, namespace, changes.name, cause"
            " FROM records JOIN changes ON changes.id = records.change"
            f" WHERE {' AND '.join(where)} ORDER BY records.change DESC,"
            " records.name, records.type LIMIT ?",
            (*values, limit),
        ).fetchall()
        return [_entry(*row) for row in rows]

    def _status(self) -> HistoryStatus:
        count, oldest = self._database.execute("SELECT count(*), min(at) FROM changes").fetchone()
        return HistoryStatus(count, self._bytes(), oldest or 0.0, self.lost, self.path is not None)

    def _finish(self) -> None:
        self._write()
        self._database.close()


def _prepared(path: str) -> sqlite3.Connection:
    """The database at `path`, ready to be used. Raises sqlite3.DatabaseError when damaged."""
    # Used by one thread at a time: the one of `_thread`, after the constructor's.
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        empty = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if empty:
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL").fetchone()
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 1048576").fetchone()
        if empty:
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_VERSION}")
        else:
            _check(database, version)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: sqlite3.Connection, version: int) -> None:
    if version != _VERSION:
        raise sqlite3.DatabaseError(f"version {version}, this dnsd writes {_VERSION}")
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(str(found))


def _rows(change: Change) -> Iterator[tuple[Name, int, bytes | None, bytes | None]]:
    """Name, type, before and after of all that a Change touched."""
    before = {(one.name, one.type): one for one in change.removed}
    after = {(one.name, one.type): one for one in change.added}
    for name, type_ in {**before, **after}:
        yield (
            name,
            int(type_),
            _kept(before.get((name, type_))),
            _kept(after.get((name, type_))),
        )


def _kept(rrset: RRset | None) -> bytes | None:
    return None if rrset is None else _encode(_Said(rrset.ttl, rrset.rdatas))


def _rrset(name: Name, type_: int, said: bytes | None) -> RRset | None:
    if said is None:
        return None
    kept = _said(said)
    return RRset(name, type_, kept.ttl, kept.rdatas)


def _entry(
    id_: int,
    at: float,
    serial: int,
    name: Name,
    type_: int,
    before: bytes | None,
    after: bytes | None,
    kind: str,
    namespace: str,
    contributor: str,
    cause: bytes,
) -> Entry:
    return Entry(
        id_,
        at,
        serial,
        name,
        type_,
        _rrset(name, type_, before),
        _rrset(name, type_, after),
        Key(kind, namespace, contributor),
        _cause(cause),
    )


def _between(pairs: Iterable[tuple[RRset | None, RRset | None]], serial: int, cause: Key) -> Change:
    """One Change for all that is different from what was recorded."""
    pairs = list(pairs)
    return Change(
        serial,
        cause,
        tuple(old for old, _ in pairs if old is not None),
        tuple(new for _, new in pairs if new is not None),
        (),
        (),
        (),
        (),
        Cause(cause, at=time.time()),
    )


def from_changes(changes: Iterable[Change], name: Name, limit: int) -> list[Entry]:
    """The entries of one name in some Changes (a journal's), which come newest first."""
    found: list[Entry] = []
    for change in changes:
        if not any(one.name == name for part in (change.added, change.removed) for one in part):
            continue
        for at_name, type_, before, after in _rows(change):
            if at_name == name:
                found.append(
                    Entry(
                        0,
                        change.cause.at,
                        change.serial,
                        name,
                        type_,
                        _rrset(name, type_, before),
                        _rrset(name, type_, after),
                        change.contributor,
                        change.cause,
                    )
                )
        if len(found) >= limit:
            break
    return found[:limit]
