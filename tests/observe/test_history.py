"""The history: what is recorded, and what remains after a restart."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dnsd.cluster.objects import Event, Key
from dnsd.dns.types import Type
from dnsd.observe.history import RELOAD, RESTART, History, from_changes
from dnsd.sources.source import Batch
from dnsd.zone.journal import Journal
from dnsd.zone.pipeline import Pipeline
from tests.helpers import eventually
from tests.zone.made import CONFIG, name, packed, piece, service

WEB = name("web.default.svc")
WEB_KEY = Key("Service", "default", "web")
Make = Callable[..., History]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[History] = []

    def one(**more: object) -> History:
        bounds = {"max_age": 3600.0, "max_bytes": 1 << 24, **more}
        made.append(History(str(tmp_path / "state"), **bounds))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for history in made:
        await history.close()


def line(history: History | None = None) -> Pipeline:
    made = Pipeline(CONFIG, 100, Journal(1000, 10**6))
    if history is not None:
        made.on_change.append(history.follow)
    return made


def feed(into: Pipeline, *events: Event, at: float = 0.0) -> None:
    into.feed(Batch(events, synced=True), at or time.time())


class TestRecording:
    async def test_the_names_of_the_start_are_not_changes(self, make: Make) -> None:
        history = make()
        one = line(history)
        feed(one, service("web", "10.96.0.7"))
        assert await history.begin(one.zone) == 0
        assert await history.find() == []

    async def test_a_change_has_its_records_before_and_after_and_its_cause(
        self, make: Make
    ) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        now = time.time()
        feed(one, service("web", "10.96.0.7", version="41", origin="web.yaml#1"), at=now)
        feed(one, service("web", "10.96.0.8", version="42"), at=now + 1)
        await history.flush()
        second, first = await history.find(name=WEB)
        assert first.before is None
        assert first.after is not None
        assert first.after.rdatas == packed("10.96.0.7")
        assert (first.cause.version, first.cause.origin) == ("41", "web.yaml#1")
        assert second.before == first.after
        assert second.after is not None
        assert second.after.rdatas == packed("10.96.0.8")
        assert second.contributor == WEB_KEY
        assert (second.at, second.serial) == (now + 1, one.zone.serial)
        assert second.type == Type.A

    async def test_a_deleted_name_has_no_records_after(self, make: Make) -> None:
        history = make()
        one = line(history)
        feed(one, service("web", "10.96.0.7"))
        await history.begin(one.zone)
        feed(one, WEB_KEY)
        await history.flush()
        (entry,) = await history.find(name=WEB)
        assert entry.after is None
        assert entry.before is not None
        assert entry.cause.key == WEB_KEY

    async def test_changes_are_found_by_contributor_time_and_page(self, make: Make) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        now = time.time()
        for i in range(1, 6):
            feed(one, service("web", f"10.96.0.{i}"), at=now + i)
        feed(one, service("db", "10.96.1.1"), at=now + 9)
        await history.flush()
        mine = await history.find(contributor=WEB_KEY, limit=1000)
        assert {entry.contributor for entry in mine} == {WEB_KEY}
        assert WEB in {entry.name for entry in mine}
        assert [e.at for e in await history.find(name=WEB, since=now + 4)] == [now + 5, now + 4]
        page = await history.find(name=WEB, limit=2)
        rest = await history.find(name=WEB, behind=page[-1])
        assert [entry.at for entry in page + rest] == [now + i for i in (5, 4, 3, 2, 1)]

    async def test_a_change_may_span_pages(self, make: Make) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        for i in range(1, 4):
            feed(one, service("web", f"10.96.0.{i}", ports=["http/TCP/80"]))
        await history.flush()
        whole = await history.find(contributor=WEB_KEY, limit=1000)
        paged, behind = [], None
        while page := await history.find(contributor=WEB_KEY, limit=2, behind=behind):
            paged += page
            behind = page[-1]
        assert paged == whole
        assert len({entry.position for entry in whole}) == len(whole)

    async def test_many_changes_at_once_are_all_recorded(self, make: Make) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        for i in range(1, 200):
            feed(one, service("web", f"10.96.0.{i}"))
        await history.flush()
        assert len(await history.find(name=WEB, limit=1000)) == 199
        assert (await history.status()).lost == 0

    async def test_changes_are_written_together(self, make: Make, tmp_path: Path) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        for i in range(1, 200):
            feed(one, service("web", f"10.96.0.{i}", ports=["http/TCP/80"]))
        await history.flush()
        octets = (tmp_path / "state" / "history.sqlite-wal").stat().st_size
        assert octets < 400_000  # with a transaction each it is millions

    async def test_changes_are_written_without_a_query(self, make: Make, tmp_path: Path) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        feed(one, service("web", "10.96.0.7"))
        reader = sqlite3.connect(tmp_path / "state" / "history.sqlite")
        try:
            await eventually(
                lambda: reader.execute("SELECT count(*) FROM changes").fetchone() == (1,)
            )
        finally:
            reader.close()


class TestRestart:
    async def test_recorded_changes_survive_a_restart(self, make: Make) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        feed(one, service("web", "10.96.0.7"))
        await history.close()
        again = make()
        (entry,) = await again.find(name=WEB)
        assert entry.after is not None
        assert entry.after.rdatas == packed("10.96.0.7")

    async def test_only_differences_are_recorded_at_a_restart(self, make: Make) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        feed(one, service("web", "10.96.0.7"), service("db", "10.96.1.1"))
        await history.close()

        again = make()
        two = line(again)
        feed(two, service("web", "10.96.0.8"), service("db", "10.96.1.1"))
        await again.begin(two.zone)
        newest = (await again.find(name=WEB))[0]
        assert newest.cause.key == RESTART
        assert newest.before is not None
        assert newest.after is not None
        assert (newest.before.rdatas, newest.after.rdatas) == (
            packed("10.96.0.7"),
            packed("10.96.0.8"),
        )
        assert len(await again.find(name=name("db.default.svc"))) == 1

    async def test_a_rebuilt_zone_records_its_differences(self, make: Make) -> None:
        history = make()
        one = line(history)
        await history.begin(one.zone)
        feed(one, service("web", "10.96.0.7"))
        one.reconfigure(type(CONFIG)(zones=CONFIG.zones, ttl=60))
        await history.begin(one.zone, RELOAD)
        newest = (await history.find(name=WEB))[0]
        assert newest.cause.key == RELOAD
        assert newest.after is not None
        assert newest.after.ttl == 60


class TestBounds:
    async def test_the_size_is_bounded_and_the_newest_changes_stay(self, make: Make) -> None:
        history = make(max_bytes=200_000)
        one = line(history)
        await history.begin(one.zone)
        for i in range(200):
            pieces = [piece(f"10.1.{i}.{k}", name=f"web-{k}") for k in range(20)]
            feed(one, service("web", headless=True), *pieces)
        await history.flush()
        status = await history.status()
        assert status.bytes <= 200_000
        assert 0 < status.changes < 200
        newest = await history.find(name=WEB, limit=1)
        assert newest[0].serial == one.zone.serial

    async def test_old_changes_expire(self, make: Make) -> None:
        history = make(max_age=100.0)
        one = line(history)
        await history.begin(one.zone)
        feed(one, service("web", "10.96.0.7"), at=time.time() - 1000)
        feed(one, service("db", "10.96.0.8"), at=time.time())
        await history.flush()
        await history.close()
        history = make(max_age=100.0)
        other = line(history)
        await history.begin(other.zone)
        assert await history.find(name=WEB) == []

    async def test_without_a_directory_the_history_is_in_memory(self) -> None:
        history = History("", max_age=100.0, max_bytes=1 << 20)
        one = line(history)
        await history.begin(one.zone)
        feed(one, service("web", "10.96.0.7"))
        await history.flush()
        assert len(await history.find(name=WEB)) == 1
        assert not (await history.status()).on_disk
        await history.close()


def test_entries_of_a_journal_are_the_same() -> None:
    one = line()
    feed(one, service("web", "10.96.0.7"))
    feed(one, service("web", "10.96.0.8"))
    assert one.journal is not None
    changes = one.journal.since(100)
    assert changes is not None
    newest, oldest = from_changes(reversed(changes), WEB, 10)
    assert newest.before == oldest.after
    assert from_changes(reversed(changes), WEB, 1) == [newest]
