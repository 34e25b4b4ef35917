"""The SQLite file of the history.

In `observe/` (control plane). Change here: the schema and queries of the history.

`Store` is synchronous, and is used by one thread at a time. A change and its records are two
tables; the records of a change are ordered by name and type. The file has mode 0600, because it
names every Service of a cluster. A file that is damaged, or of another version, is renamed to
`….broken`, and a new one is created: a lost history must not prevent a start.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.dns.names import Name
from dnsd.dns.rrset import RRset
from dnsd.zone.change import Cause, Change

log = structlog.get_logger(__name__)

_VERSION = 1
_TRIM_INTERVAL = 60.0  # seconds between two checks of the age
_TRIM_SHARE = 10  # a store over its size drops a tenth of its changes

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

Position = tuple[int, Name, int]  # in the order of `find`: the id of a change, a name, a type


class Entry(Struct, frozen=True):
    """One change of one name and type. `before` and `after`: None without records.

    `id` increases with time; `at` is in seconds since the epoch; `serial` is the new one.
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
    def position(self) -> Position:
        return self.id, self.name, self.type


class _Records(Struct, array_like=True, frozen=True):
    """The stored form of an RRset, without its name and type."""

    ttl: int
    rdatas: tuple[bytes, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode_records = msgspec.msgpack.Decoder(_Records).decode
_decode_cause = msgspec.msgpack.Decoder(Cause).decode


class Store:
    """The changes of the last `max_age` seconds, in about `max_bytes` at most."""

    def __init__(self, path: Path | None, max_age: float, max_bytes: int) -> None:
        """Open or create the file (None: in memory). Raises OSError, sqlite3.Error."""
        self._max_age, self._max_bytes = max_age, max_bytes
        self._trimmed = -_TRIM_INTERVAL  # time.monotonic
        self._database = _opened(path)

    def close(self) -> None:
        self._database.close()

    def add(self, changes: Iterable[Change]) -> None:
        """Store changes in one transaction, and enforce the limits. Raises sqlite3.Error."""
        with self._database:
            for change in changes:
                self._insert(change)
        self.trim()

    def _insert(self, change: Change) -> None:
        rows = list(rows_of(change))
        if not rows:
            return
        cause = change.cause
        cursor = self._database.execute(
            "INSERT INTO changes (at, serial, kind, namespace, name, cause)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (cause.at or time.time(), change.serial, *change.contributor, _encode(cause)),
        )
        self._database.executemany(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?)",
            [
                (cursor.lastrowid, name, int(type_), _stored(before), _stored(after))
                for name, type_, before, after in rows
            ],
        )

    def trim(self) -> None:
        """Delete the oldest changes beyond the limits, and shrink the file."""
        now = time.monotonic()
        if now >= self._trimmed + _TRIM_INTERVAL:
            self._trimmed = now
            (last,) = self._database.execute(
                "SELECT max(id) FROM changes WHERE at < ?", (time.time() - self._max_age,)
            ).fetchone()
            self._delete_to(last or 0)
        while self.size() > self._max_bytes:
            first, last = self._database.execute("SELECT min(id), max(id) FROM changes").fetchone()
            if first is None or first == last:
                return
            self._delete_to(first + (last - first) // _TRIM_SHARE)

    def _delete_to(self, last: int) -> None:
        if last <= 0:
            return
        with self._database:
            self._database.execute("DELETE FROM records WHERE change <= ?", (last,))
            self._database.execute("DELETE FROM changes WHERE id <= ?", (last,))
        self._database.execute("PRAGMA incremental_vacuum").fetchall()

    def size(self) -> int:
        """The size in bytes, without free pages."""
        page, pages, free = (
            int(self._database.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_size", "page_count", "freelist_count")
        )
        return page * (pages - free)

    def count(self) -> tuple[int, float]:
        """The number of changes, and the time of the oldest (0.0 for none)."""
        count, oldest = self._database.execute("SELECT count(*), min(at) FROM changes").fetchone()
        return count, oldest or 0.0

    def latest(self) -> list[tuple[Name, int, RRset | None]]:
        """Each name and type in the store, with the records of its last change."""
        rows = self._database.execute(
            "SELECT name, type, after FROM records WHERE (name, type, change) IN"
            " (SELECT name, type, max(change) FROM records GROUP BY name, type)"
        )
        return [(name, type_, _rrset(name, type_, after)) for name, type_, after in rows]

    def find(
        self,
        name: Name | None,
        contributor: Key | None,
        since: float,
        behind: Position | None,
        limit: int,
    ) -> list[Entry]:
        """See `History.find`."""
        where = ["changes.at >= ?"]
        values: list[object] = [since]
        if name is not None:
            where.append("records.name = ?")
            values.append(name)
        if contributor is not None:
            where.append("changes.kind = ? AND changes.namespace = ? AND changes.name = ?")
            values += contributor
        if behind is not None:
            # A change may have more records than a page: continue within it.
            where.append("(-records.change, records.name, records.type) > (?, ?, ?)")
            values += (-behind[0], behind[1], behind[2])
        rows = self._database.execute(
            "SELECT changes.id, at, serial, records.name, type, before, after,"  # noqa: S608
            " kind, namespace, changes.name, cause"
            " FROM records JOIN changes ON changes.id = records.change"
            f" WHERE {' AND '.join(where)} ORDER BY records.change DESC,"
            " records.name, records.type LIMIT ?",
            (*values, limit),
        )
        return [
            Entry(
                *(id_, at, serial, owner, type_),
                before=_rrset(owner, type_, before),
                after=_rrset(owner, type_, after),
                contributor=Key(*key),
                cause=_decode_cause(cause),
            )
            for id_, at, serial, owner, type_, before, after, *key, cause in rows
        ]


def rows_of(change: Change) -> Iterator[tuple[Name, int, RRset | None, RRset | None]]:
    """Name, type, and records before and after, of all that a Change touches."""
    before = {(one.name, one.type): one for one in change.removed}
    after = {(one.name, one.type): one for one in change.added}
    for key in {**before, **after}:
        yield (*key, before.get(key), after.get(key))


def _stored(rrset: RRset | None) -> bytes | None:
    return None if rrset is None else _encode(_Records(rrset.ttl, rrset.rdatas))


def _rrset(name: Name, type_: int, stored: bytes | None) -> RRset | None:
    if stored is None:
        return None
    records = _decode_records(stored)
    return RRset(name, type_, records.ttl, records.rdatas)


def _opened(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _prepared(":memory:")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _create(path)
    try:
        return _prepared(str(path))
    except sqlite3.DatabaseError as error:
        aside = path.with_suffix(".broken")
        log.warning(
            "the history cannot be read; starting a new one",
            path=str(path),
            problem=str(error),
            kept_as=str(aside),
        )
        path.replace(aside)
        for leftover in ("-wal", "-shm"):
            Path(f"{path}{leftover}").unlink(missing_ok=True)
        _create(path)
        return _prepared(str(path))


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _prepared(path: str) -> sqlite3.Connection:
    """The database at `path`, ready for use. Raises sqlite3.DatabaseError if it is damaged."""
    # The thread that opens it is not the one that uses it.
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
        raise sqlite3.DatabaseError(f"version {version}; this dnsd writes {_VERSION}")
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(str(found))
