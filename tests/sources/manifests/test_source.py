"""A directory of manifests is followed: real files, the real watch."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dnsd.cluster.objects import Key, Object, Service
from dnsd.dns.addresses import address_text
from dnsd.sources.manifests import source
from dnsd.sources.manifests.source import Manifests, load
from dnsd.sources.source import Batch, SourceError
from tests.helpers import eventually

EXAMPLES = Path(__file__).parents[3] / "config" / "examples" / "seed"


def text(name: str, ip: str = "", namespace: str = "") -> str:
    out = f"apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n"
    out += f"  namespace: {namespace}\n" if namespace else ""
    return out + (f"spec:\n  clusterIP: {ip}\n" if ip else "")


def write(path: Path, content: str) -> None:
    """Write a new file, and rename it over the old one."""
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.write_text(content)
    fresh.rename(path)


class Running:
    """A source that runs, and the objects that its batches add up to."""

    def __init__(self, source: Manifests) -> None:
        self.source = source
        self.batches: list[Batch] = []
        self.objects: dict[Key, Object] = {}

    def publish(self, batch: Batch) -> None:
        self.batches.append(batch)
        for event in batch.events:
            if isinstance(event, Key):
                del self.objects[event]
            else:
                self.objects[event.key] = event

    def services(self) -> dict[str, str]:
        """name -> its first address."""
        return {
            one.name: address_text(one.cluster_ips[0]) if one.cluster_ips else ""
            for one in self.objects.values()
            if isinstance(one, Service)
        }

    async def shows(self, **services: str) -> None:
        await eventually(lambda: self.services() == services, f"{services}")

    async def rereads(self) -> None:
        """Wait until all files have been read once more."""
        for _ in range(2):  # the second begins when the first has ended
            before = self.source.status()[0].reconciles
            self.source.reload()
            await eventually(functools.partial(self._reread_since, before))

    def _reread_since(self, before: int) -> bool:
        return self.source.status()[0].reconciles > before


@asynccontextmanager
async def following(directory: Path, **options: object) -> AsyncIterator[Running]:
    running = Running(Manifests(directory, **options))  # type: ignore[arg-type]
    task = asyncio.create_task(running.source.run(running.publish))
    try:
        await eventually(lambda: task.done() or (running.batches and running.batches[-1].synced))
        if task.done():
            await task
        yield running
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


_OTHER_USER = 65534


@contextmanager
def foreign_directory() -> Iterator[Path]:
    """A directory of the user that `not_root` switches to."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, _OTHER_USER, _OTHER_USER)
        yield Path(name)


@contextmanager
def not_root() -> Iterator[None]:
    """Switch from root, which may read everything, to another user."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(_OTHER_USER)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


class TestStart:
    async def test_all_objects_are_published_before_synced(self, tmp_path: Path) -> None:
        (tmp_path / "deep" / "er").mkdir(parents=True)
        (tmp_path / "a.yaml").write_text(text("a", "10.96.0.1"))
        (tmp_path / "deep" / "b.yml").write_text(text("b", "10.96.0.2"))
        (tmp_path / "deep" / "er" / "c.json").write_text(
            json.dumps({"kind": "Service", "metadata": {"name": "c"}})
        )
        (tmp_path / "README.md").write_text("not a manifest: [")
        async with following(tmp_path) as running:
            assert set(running.services()) == {"a", "b", "c"}
            assert running.objects[Key("Service", "default", "b")].origin == "deep/b.yml#1"
            (status,) = running.source.status()
            assert (status.name, status.state, status.objects) == ("manifests", "synced", 3)
            assert status.errors == 0

    async def test_an_empty_directory_is_synced_too(self, tmp_path: Path) -> None:
        async with following(tmp_path) as running:
            assert running.batches == [Batch((), synced=True)]
            (tmp_path / "a.yaml").write_text(text("a", "10.96.0.1"))
            await running.shows(a="10.96.0.1")
            assert running.batches[-1].synced

    async def test_many_events_are_published_in_batches(self, tmp_path: Path) -> None:
        count = 2 * source.BATCH + 1
        (tmp_path / "a.yaml").write_text("---\n".join(text(f"s{i}") for i in range(count)))
        async with following(tmp_path) as running:
            assert [len(b.events) for b in running.batches] == [source.BATCH] * 2 + [1]
            assert [b.synced for b in running.batches] == [False, False, True]

    @pytest.mark.parametrize("what", ["missing", "file"])
    async def test_a_path_that_is_not_a_directory_is_a_source_error(
        self, tmp_path: Path, what: str
    ) -> None:
        (tmp_path / "file").write_text("")
        source = Manifests(tmp_path / what)
        assert source.status()[0].state == "starting"
        with pytest.raises(SourceError, match=f"{what}.*(create it|give the one)"):
            await source.run(lambda batch: None)


class TestFollowing:
    async def test_added_changed_and_removed_files_are_followed(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(text("a", "10.96.0.1"))
        async with following(tmp_path) as running:
            (tmp_path / "b.yaml").write_text(text("b", "10.96.0.2"))
            await running.shows(a="10.96.0.1", b="10.96.0.2")
            (tmp_path / "a.yaml").write_text(text("a", "10.96.0.3"))
            await running.shows(a="10.96.0.3", b="10.96.0.2")
            (tmp_path / "b.yaml").unlink()
            await running.shows(a="10.96.0.3")

    async def test_only_objects_that_differ_are_published(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(text("a", "10.96.0.1") + "---\n" + text("b", "10.96.0.2"))
        async with following(tmp_path) as running:
            os.utime(file, (1, 1))
            await running.rereads()
            assert len(running.batches) == 1
            write(file, text("a", "10.96.0.1") + "---\n" + text("b", "10.96.0.3"))
            await running.shows(a="10.96.0.1", b="10.96.0.3")
            assert [event.key.name for event in running.batches[1].events] == ["b"]  # type: ignore[union-attr]

    async def test_a_renamed_file_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(text("a", "10.96.0.1"))
        async with following(tmp_path) as running:
            (tmp_path / "a.yaml").rename(tmp_path / "z.yaml")
            key = Key("Service", "default", "a")
            await eventually(
                lambda: key in running.objects and running.objects[key].origin == "z.yaml#1"
            )
            assert running.source.problems() == ()
            (tmp_path / "z.yaml").rename(tmp_path / "z.txt")
            await running.shows()

    async def test_editors_that_write_by_rename_are_followed(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(text("a", "10.96.0.1"))
        async with following(tmp_path) as running:
            for i in range(2, 5):
                file.rename(tmp_path / "a.yaml~")  # vim: backup, then a new file
                file.write_text(text("a", f"10.96.0.{i}"))
                await running.shows(a=f"10.96.0.{i}")
            write(file, text("a", "10.96.0.9"))
            await running.shows(a="10.96.0.9")

    async def test_new_and_moved_directories_are_followed(self, tmp_path: Path) -> None:
        async with following(tmp_path) as running:
            (tmp_path / "x" / "y").mkdir(parents=True)
            (tmp_path / "x" / "y" / "a.yaml").write_text(text("a", "10.96.0.1"))
            await running.shows(a="10.96.0.1")
            (tmp_path / "x").rename(tmp_path / "z")
            await eventually(
                lambda: [o.origin for o in running.objects.values()] == ["z/y/a.yaml#1"]
            )
            (tmp_path / "z" / "y" / "a.yaml").write_text(text("a", "10.96.0.2"))
            await running.shows(a="10.96.0.2")
            shutil.rmtree(tmp_path / "z")
            await running.shows()

    async def test_a_file_that_is_written_in_place_is_never_read_empty(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(text("a", "10.96.0.1"))
        async with following(tmp_path) as running:
            for i in range(2, 30):
                with file.open("w") as out:  # truncates; the text comes a little later
                    await asyncio.sleep(0)
                    out.write(text("a", f"10.96.0.{i}"))
                await running.shows(a=f"10.96.0.{i}")
            gone = [e for batch in running.batches for e in batch.events if isinstance(e, Key)]
            assert gone == []
            file.write_text("")  # and one that stays empty is
            await running.shows()

    async def test_a_large_file_is_read_when_it_no_longer_changes(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        parts = [text(f"s{i}", f"10.96.{i >> 8}.{i & 255}") for i in range(1500)]
        async with following(tmp_path) as running:
            file.write_text("---\n".join(parts))
            await eventually(lambda: len(running.objects) == 1500)
            assert file.stat().st_size > 64 * 1024
            parts[700] = text("s700", "10.97.0.1")
            file.write_text("---\n".join(parts))
            await eventually(lambda: running.services()["s700"] == "10.97.0.1")
            assert len(running.batches[-1].events) == 1

    async def test_a_removed_directory_keeps_its_objects_until_it_is_there_again(
        self, tmp_path: Path
    ) -> None:
        root = tmp_path / "manifests"
        root.mkdir()
        (root / "a.yaml").write_text(text("a", "10.96.0.1"))
        async with following(root) as running:
            shutil.rmtree(root)
            await eventually(lambda: running.source.status()[0].state == "failing")
            assert running.source.status()[0].errors == 1
            assert "stay in use" in running.source.status()[0].detail
            fresh = tmp_path / "fresh"
            fresh.mkdir()
            (fresh / "b.yaml").write_text(text("b", "10.96.0.2"))
            fresh.rename(root)
            await running.shows(b="10.96.0.2")
            assert running.source.status()[0].state == "synced"
            (root / "b.yaml").write_text(text("b", "10.96.0.3"))
            await running.shows(b="10.96.0.3")

    async def test_the_rescan_finds_what_the_watch_misses(self, tmp_path: Path) -> None:
        external = tmp_path / "outside"
        root = tmp_path / "manifests"
        root.mkdir()
        external.mkdir()
        (external / "a").write_text(text("a", "10.96.0.1"))
        (root / "a.yaml").symlink_to(external / "a")
        async with following(root, rescan=0.1) as running:
            assert running.services() == {"a": "10.96.0.1"}
            await eventually(lambda: running.source.status()[0].reconciles >= 2)
            (external / "a").write_text(text("a", "10.96.0.2"))
            await running.shows(a="10.96.0.2")
            await eventually(lambda: running.source.status()[0].corrections == 1)

    async def test_a_reload_finds_what_the_watch_misses(self, tmp_path: Path) -> None:
        external, root = tmp_path / "external", tmp_path / "manifests"
        root.mkdir()
        external.write_text(text("a", "10.96.0.1"))
        (root / "a.yaml").symlink_to(external)
        async with following(root, rescan=1e6) as running:
            await running.rereads()  # the first report of the watch is over
            external.write_text(text("a", "10.96.0.2"))
            running.source.reload()
            await running.shows(a="10.96.0.2")


class TestNames:
    """A file's name is octets; those that are not UTF-8 are printable escaped."""

    BAD = os.fsdecode(b"b\xff.yaml")

    async def test_a_file_name_that_is_not_utf8_is_escaped(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(text("a", "10.96.0.1"))
        (tmp_path / self.BAD).write_text(text("b", "10.96.0.2"))
        async with following(tmp_path) as running:
            assert running.services() == {"a": "10.96.0.1", "b": "10.96.0.2"}
            assert running.objects[Key("Service", "default", "b")].origin == r"b\xff.yaml#1"
            (tmp_path / self.BAD).write_text(text("b", "10.96.0.3"))
            await running.shows(a="10.96.0.1", b="10.96.0.3")
            (tmp_path / self.BAD).write_text("{[")
            (problem,) = await eventually(running.source.problems)
            assert problem.file == r"b\xff.yaml"
            (tmp_path / self.BAD).unlink()
            await running.shows(a="10.96.0.1")

    async def test_a_new_file_whose_name_is_not_utf8_does_not_stop_the_watch(
        self, tmp_path: Path
    ) -> None:
        async with following(tmp_path) as running:
            (tmp_path / self.BAD).write_text(text("b", "10.96.0.2"))
            await running.shows(b="10.96.0.2")
            (tmp_path / "a.yaml").write_text(text("a", "10.96.0.1"))
            await running.shows(a="10.96.0.1", b="10.96.0.2")

    def test_a_directory_name_that_is_not_utf8_is_escaped(self, tmp_path: Path) -> None:
        root = tmp_path / os.fsdecode(b"\xe9")
        (root / os.fsdecode(b"\xfe")).mkdir(parents=True)
        (root / os.fsdecode(b"\xfe") / "a.yaml").write_text(text("a", "10.96.0.1"))
        (one,) = load(root).objects
        assert one.origin == r"\xfe/a.yaml#1"
        with pytest.raises(SourceError, match=r"\\xe9"):
            load(root / "nowhere")


class TestConfigMaps:
    """A ConfigMap volume: visible links through `..data`, which is swapped by rename."""

    @staticmethod
    def fill(root: Path, stamp: str, **files: str) -> None:
        fresh = root / f"..{stamp}"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / f"{name}.yaml").write_text(content)
        swap = root / "..data_tmp"
        swap.symlink_to(fresh.name)
        swap.rename(root / "..data")
        for name in files:
            if not (root / f"{name}.yaml").is_symlink():
                (root / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
        for link in root.glob("*.yaml"):
            if link.stem not in files:
                link.unlink()
        for old in root.glob("..2*"):
            if old != fresh:
                shutil.rmtree(old)

    async def test_a_swap_publishes_only_what_differs(self, tmp_path: Path) -> None:
        self.fill(tmp_path, "2026_1", a=text("a", "10.96.0.1"), b=text("b", "10.96.0.2"))
        async with following(tmp_path) as running:
            assert running.services() == {"a": "10.96.0.1", "b": "10.96.0.2"}
            assert running.source.problems() == ()  # each file is read once
            assert running.objects[Key("Service", "default", "a")].origin == "a.yaml#1"
            self.fill(tmp_path, "2026_2", a=text("a", "10.96.0.3"), b=text("b", "10.96.0.2"))
            await running.shows(a="10.96.0.3", b="10.96.0.2")
            self.fill(tmp_path, "2026_3", b=text("b", "10.96.0.2"), c=text("c", "10.96.0.4"))
            await running.shows(b="10.96.0.2", c="10.96.0.4")
            events = [e for batch in running.batches[1:] for e in batch.events]
            assert "b" not in {e.name if isinstance(e, Key) else e.key.name for e in events}

    async def test_changes_behind_links_inside_the_directory_are_followed_without_a_rescan(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "z").mkdir()
        (tmp_path / "z" / "one.yaml").write_text(text("one", "10.96.0.1"))
        (tmp_path / "b").symlink_to("z")
        (tmp_path / "two.yaml").write_text(text("two", "10.96.0.2"))
        (tmp_path / "c.yaml").symlink_to("two.yaml")
        async with following(tmp_path, rescan=1e6) as running:
            await running.shows(one="10.96.0.1", two="10.96.0.2")
            await running.rereads()
            (tmp_path / "z" / "one.yaml").unlink()
            await running.shows(two="10.96.0.2")
            write(tmp_path / "c.yaml", text("three", "10.96.0.3"))
            await running.shows(two="10.96.0.2", three="10.96.0.3")

    def test_hidden_files_and_second_links_are_not_read(self, tmp_path: Path) -> None:
        (tmp_path / ".git").mkdir()
        (tmp_path / ".git" / "a.yaml").write_text("[")
        (tmp_path / ".a.yaml").write_text("[")
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "b.yaml").write_text(text("b", "10.96.0.1"))
        (tmp_path / "c").symlink_to("b")
        (tmp_path / "b" / "loop").symlink_to("..")
        (tmp_path / "d.yaml").symlink_to("b/b.yaml")
        found = load(tmp_path)
        assert (found.files, len(found.objects), found.problems) == (1, 1, ())


class TestBadInput:
    async def test_broken_yaml_keeps_the_last_objects_and_is_logged_once(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(text("a", "10.96.0.1"))
        with capture_logs() as logs:
            async with following(tmp_path) as running:
                write(file, "kind: Service\nmetadata: [\n")
                await eventually(running.source.problems)
                (problem,) = running.source.problems()
                assert (problem.file, problem.line) == ("a.yaml", 3)
                for _ in range(3):
                    await running.rereads()
                assert running.services() == {"a": "10.96.0.1"}
                logged = [one for one in logs if one["event"] == "manifest refused"]
                assert len(logged) == 1
                assert (logged[0]["log_level"], logged[0]["file"]) == ("warning", "a.yaml")
                assert (logged[0]["line"], logged[0]["column"]) == (3, 1)
                write(file, "kind: Service\nmetadata: [ \n")  # changed, and still bad
                await eventually(
                    lambda: len([o for o in logs if o["event"] == "manifest refused"]) == 2
                )
                (status,) = running.source.status()
                assert (status.state, status.errors) == ("synced", 1)
                assert "a.yaml:3" in status.detail
                write(file, text("a", "10.96.0.2"))
                await running.shows(a="10.96.0.2")
                await eventually(lambda: running.source.problems() == ())
                assert any(one["event"].startswith("manifest is good again") for one in logs)

    async def test_a_broken_manifest_at_the_start_does_not_affect_the_others(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "a.yaml").write_text("{[")
        (tmp_path / "b.yaml").write_text(text("b", "10.96.0.1"))
        async with following(tmp_path) as running:
            assert running.services() == {"b": "10.96.0.1"}
            assert running.source.problems()[0].file == "a.yaml"

    async def test_one_bad_object_keeps_its_last_good_version(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(text("a", "10.96.0.1") + "---\n" + text("b", "10.96.0.2"))
        async with following(tmp_path) as running:
            write(file, text("a", "10.96.0.300") + "---\n" + text("b", "10.96.0.3"))
            await running.shows(a="10.96.0.1", b="10.96.0.3")
            (problem,) = running.source.problems()
            assert (problem.line, problem.field) == (6, "spec.clusterIP")

    async def test_the_problems_of_a_changed_file_are_logged_again_and_no_others(
        self, tmp_path: Path
    ) -> None:
        double = text("web", "10.96.0.1")
        with capture_logs() as logs:
            for name in "abc":
                (tmp_path / f"{name}.yaml").write_text(double)
            async with following(tmp_path) as running:
                assert len(running.source.problems()) == 2
                del logs[:]
                write(tmp_path / "c.yaml", double + "---\n" + text("c", "10.96.0.2"))
                await running.shows(web="10.96.0.1", c="10.96.0.2")
                assert [one["file"] for one in logs if "refused" in one["event"]] == ["c.yaml"]
                write(tmp_path / "c.yaml", text("c", "10.96.0.3"))
                await running.shows(web="10.96.0.1", c="10.96.0.3")
                assert [one["file"] for one in logs if "good" in one["event"]] == ["c.yaml"]
                assert [one.file for one in running.source.problems()] == ["b.yaml"]

    async def test_two_files_that_declare_one_service_are_a_problem(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(text("web", "10.96.0.1"))
        (tmp_path / "b.yaml").write_text(text("web", "10.96.0.2"))
        async with following(tmp_path) as running:
            assert running.services() == {"web": "10.96.0.1"}
            (problem,) = running.source.problems()
            assert problem.file == "b.yaml"
            assert "a.yaml" in problem.text
            (tmp_path / "a.yaml").unlink()
            await running.shows(web="10.96.0.2")

    async def test_the_problem_of_an_address_used_twice_names_both_files(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "a.yaml").write_text(text("a", "10.96.0.1"))
        (tmp_path / "b.yaml").write_text(text("b", "10.96.0.1"))
        async with following(tmp_path) as running:
            assert running.services() == {"a": "10.96.0.1"}
            (problem,) = running.source.problems()
            assert problem.file == "b.yaml"
            assert "a.yaml" in problem.text
            write(tmp_path / "a.yaml", text("a", "10.96.0.2"))
            await running.shows(a="10.96.0.2", b="10.96.0.1")
            await eventually(lambda: running.source.problems() == ())

    @pytest.mark.parametrize(
        ("make", "word"),
        [
            (lambda path: path.symlink_to("nowhere"), "cannot be read: no such file"),
            (lambda path: path.symlink_to("/proc/self/mem"), "cannot be read: "),
            (lambda path: path.symlink_to(path.name), "cannot be read: "),
            (os.mkfifo, "not a regular file"),
            (lambda path: path.write_bytes(b"a: \xff"), "UTF-8"),
            (lambda path: path.write_text("[" * 1000), "deeper"),
        ],
    )
    async def test_a_file_that_cannot_be_read_is_a_problem(
        self, tmp_path: Path, make: Callable[[Path], None], word: str
    ) -> None:
        bad = tmp_path / "a.yaml"
        bad.write_text(text("a", "10.96.0.1"))
        (tmp_path / "b.yaml").write_text(text("b", "10.96.0.2"))
        async with following(tmp_path) as running:
            bad.unlink()
            make(bad)
            problems = await eventually(running.source.problems)
            assert [word in one.text for one in problems] == [True]
            assert running.services()["b"] == "10.96.0.2"

    async def test_a_file_without_permission_keeps_its_objects(self) -> None:
        with foreign_directory() as directory, not_root():
            bad = directory / "a.yaml"
            bad.write_text(text("a", "10.96.0.1"))
            await self.forbidden(bad, directory)

    async def forbidden(self, bad: Path, directory: Path) -> None:
        async with following(directory) as running:
            await asyncio.to_thread(bad.chmod, 0)
            await running.rereads()
            assert "permission denied" in running.source.problems()[0].text
            assert running.services() == {"a": "10.96.0.1"}

    async def test_a_file_over_the_limit_keeps_its_objects(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(text("a", "10.96.0.1"))
        async with following(tmp_path) as running:
            with file.open("r+") as out:
                out.truncate(100 * 1024 * 1024)
            await eventually(running.source.problems)
            assert "limit" in running.source.problems()[0].text
            assert running.services() == {"a": "10.96.0.1"}
            with file.open("r+") as out:
                out.truncate(len(text("a", "10.96.0.1")))
            await eventually(lambda: running.source.problems() == ())
            assert running.services() == {"a": "10.96.0.1"}


class TestLoad:
    def test_the_examples_have_no_problems(self) -> None:
        found = load(EXAMPLES)
        assert found.problems == ()
        assert (found.files, found.skipped) == (9, {"Deployment": 1})
        services = {one.name: one for one in found.objects if isinstance(one, Service)}
        ips = {name: [address_text(ip) for ip in one.cluster_ips] for name, one in services.items()}
        assert ips == {
            "webui-svc": ["10.96.100.100"],
            "clusterip-service": ["10.100.100.100"],
            "nodeport-service": ["10.100.100.200"],
            "loadbalancer-service": ["10.105.157.13"],
            "externalname-svc": [],
            "db": [],
            "telemetry": ["10.96.53.53", "fd00:10:96::3535"],
            "web": ["10.96.20.20"],
        }
        assert services["loadbalancer-service"].allocated
        assert services["nodeport-service"].ports[0].node_port == 30200
        assert services["externalname-svc"].external_name == "google.com"
        assert {o.key.kind for o in found.objects} == {"Service", "EndpointSlice", "Namespace"}

    def test_the_path_may_be_one_file(self) -> None:
        found = load(EXAMPLES / "webui-svc.yaml")
        assert [one.origin for one in found.objects] == ["webui-svc.yaml#1"]

    def test_allocated_addresses_can_be_dual_stack(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(text("a") + "spec: {ipFamilyPolicy: PreferDualStack}\n")
        (one,) = load(tmp_path, ("10.0.0.0/24", "fd00::/112")).objects
        assert isinstance(one, Service)
        assert [len(ip) for ip in one.cluster_ips] == [4, 16]

    def test_a_missing_path_is_a_source_error(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="nowhere"):
            load(tmp_path / "nowhere")
