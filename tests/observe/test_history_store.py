"""The file of the history: its pages, its limits, and files that cannot be used."""

from __future__ import annotations

import sqlite3
import stat
import time
from pathlib import Path

import pytest

from dnsd.cluster.objects import Key
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.observe.history_store import Store
from dnsd.zone.change import Cause, Change
from tests.zone.made import name, packed

WEB, DB = name("web.default.svc"), name("db.default.svc")


def change(serial: int, at: float = 0.0) -> Change:
    """A change of two names, with the serial as the last octet of an address."""
    key = Key("Service", "default", "web")
    added = tuple(RRset(one, int(Type.A), 5, packed(f"10.0.0.{serial}")) for one in (DB, WEB))
    return Change(serial, key, (), added, (), (), (), (), Cause(key, at=at))


def opened(path: Path | None, max_age: float = 3600.0, max_bytes: int = 1 << 24) -> Store:
    return Store(path, max_age, max_bytes)


def test_entries_are_newest_first_and_continue_behind_a_position() -> None:
    store = opened(None)
    store.add([change(1), change(2)])
    first = store.find(None, None, 0.0, None, 3)
    rest = store.find(None, None, 0.0, first[-1].position, 3)
    assert [(one.serial, one.name) for one in first + rest] == [
        (2, DB),
        (2, WEB),
        (1, DB),
        (1, WEB),
    ]


def test_the_latest_records_of_each_name_are_found() -> None:
    store = opened(None)
    store.add([change(1), change(2)])
    latest = {name: records for name, _, records in store.latest()}
    assert latest[WEB] == change(2).added[1]


def test_changes_beyond_the_age_are_deleted_when_the_store_is_opened(tmp_path: Path) -> None:
    store = opened(tmp_path / "history")
    store.add([change(1, time.time() - 1000), change(2, time.time())])
    store.close()
    store = opened(tmp_path / "history", max_age=100.0)
    store.trim()
    assert store.count()[0] == 1


def test_a_store_over_its_size_deletes_the_oldest_changes() -> None:
    store = opened(None, max_bytes=60_000)
    for serial in range(1, 200):
        store.add([change(serial) for _ in range(10)])
    assert store.size() <= 60_000
    assert store.find(WEB, None, 0.0, None, 1)[0].serial == 199


def test_the_file_is_private(tmp_path: Path) -> None:
    store = opened(tmp_path / "state" / "history")
    for path in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    store.close()


@pytest.mark.parametrize("how", ["damaged", "newer"])
def test_a_file_that_cannot_be_used_is_renamed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "history.sqlite"
    if how == "damaged":
        path.write_bytes(b"this is not a database, whatever its name" * 100)
    else:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE changes (id INTEGER)")
            database.execute("PRAGMA user_version = 99")
        database.close()
    store = opened(path)
    store.add([change(1)])
    assert store.count()[0] == 1
    assert (tmp_path / "history.broken").exists()
    store.close()
