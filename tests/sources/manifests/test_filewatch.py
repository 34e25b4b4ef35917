"""A watch reports every change of the files of a real directory."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dnsd.sources.manifests.filewatch import Watch, names_of
from tests.helpers import DEADLINE, deep, eventually


async def reported(watch: Watch) -> set[str] | None:
    """The next report that is not empty."""
    async with asyncio.timeout(DEADLINE):
        while (names := await watch.wait(1.0)) == set():
            pass
    return names


async def reports(watch: Watch, *names: str) -> None:
    """Wait until the watch has reported each of these files, or everything."""
    left = set(names)
    while left:
        found = await reported(watch)
        if found is None:
            return
        left -= found


@pytest.fixture
async def open_watch(tmp_path: Path) -> AsyncIterator[Callable[[], Watch]]:
    """Opens watches of `root`, and closes them in the end."""
    (tmp_path / "root" / "sub").mkdir(parents=True)
    opened: list[Watch] = []

    def opens() -> Watch:
        opened.append(Watch(tmp_path / "root", lambda prefix: prefix in ("sub/", "other/")))
        return opened[-1]

    yield opens
    for one in opened:
        await one.close()


@pytest.fixture
async def watch(open_watch: Callable[[], Watch]) -> Watch:
    one = open_watch()
    assert await reported(one) is None  # the system watches the directory now
    return one


class TestFiles:
    async def test_without_a_change_the_report_is_empty(self, watch: Watch) -> None:
        assert await watch.wait(0) == set()

    async def test_written_renamed_linked_and_removed_files_are_named(
        self, tmp_path: Path, watch: Watch
    ) -> None:
        root = tmp_path / "root"
        (root / "sub" / "a.yaml").write_text("a: 1")
        await reports(watch, "sub/a.yaml")
        (tmp_path / "b").write_text("b: 1")
        (tmp_path / "b").rename(root / "b.yaml")
        await reports(watch, "b.yaml")
        os.link(root / "b.yaml", root / "c.yaml")
        await reports(watch, "c.yaml")
        (root / "d.yaml").symlink_to("b.yaml")
        await reports(watch, "d.yaml")
        (root / "b.yaml").unlink()
        await reports(watch, "b.yaml")
        (root / "c.yaml").rename(root / "c.txt")
        await reports(watch, "c.yaml")
        (root / "d.yaml").rename(tmp_path / "d.yaml")
        await reports(watch, "d.yaml")

    async def test_hidden_files_and_other_suffixes_are_not_named(
        self, tmp_path: Path, watch: Watch
    ) -> None:
        root = tmp_path / "root"
        (root / ".a.yaml.swp").write_text("a: 1")
        (root / "a.txt").write_text("a: 1")
        (root / "a.yaml").write_text("a: 1")
        assert await reported(watch) == {"a.yaml"}

    async def test_a_file_that_stays_open_is_named(self, tmp_path: Path, watch: Watch) -> None:
        with (tmp_path / "root" / "a.yaml").open("w") as out:
            out.write("a: 1")
            out.flush()
            await reports(watch, "a.yaml")


class TestDirectories:
    async def test_files_of_directories_made_at_the_same_time_are_reported(
        self, tmp_path: Path, watch: Watch
    ) -> None:
        names = [f"new{i}/deep/er/{i}.yaml" for i in range(50)]
        for name in names:
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True)
            path.write_text("a: 1")
        await reports(watch, *names)
        while await watch.wait(0.1) != set():
            pass
        (tmp_path / "root" / names[7]).write_text("a: 2")
        assert await reported(watch) == {names[7]}

    async def test_a_moved_or_removed_directory_is_everything(
        self, tmp_path: Path, watch: Watch
    ) -> None:
        root = tmp_path / "root"
        (root / "sub").rename(root / "other")
        assert await reported(watch) is None
        (root / "other" / "a.yaml").write_text("a: 1")
        await reports(watch, "other/a.yaml")
        shutil.rmtree(root / "other")
        assert await reported(watch) is None

    async def test_a_directory_whose_path_is_too_long_is_left_out(
        self, tmp_path: Path, watch: Watch
    ) -> None:
        names = ["x" * 99] * ((4080 - len(str(tmp_path / "root"))) // 100)
        with deep(tmp_path / "root", *names) as innermost:
            os.close(os.open("b.yaml", os.O_WRONLY | os.O_CREAT, dir_fd=innermost))
            await reports(watch, "/".join([*names, "b.yaml"]))
            for name in ("y" * 250, "z" * 250):  # their paths have more than 4,095 octets
                os.mkdir(name, dir_fd=innermost)
            (tmp_path / "root" / "a.yaml").write_text("a: 1")
            await reports(watch, "a.yaml")

    async def test_the_swap_of_a_configmap_volume_is_everything(
        self, tmp_path: Path, watch: Watch
    ) -> None:
        root = tmp_path / "root"
        (root / "..2026_1").mkdir()
        (root / "..2026_1" / "a.yaml").write_text("a: 1")
        (root / "..data_tmp").symlink_to("..2026_1")
        (root / "..data_tmp").rename(root / "..data")
        assert await reported(watch) is None

    async def test_a_link_to_a_directory_is_followed_by_the_next_watch(
        self, tmp_path: Path, watch: Watch, open_watch: Callable[[], Watch]
    ) -> None:
        root, target = tmp_path / "root", tmp_path / "target"
        target.mkdir()
        (root / "link").symlink_to(target)
        assert await reported(watch) is None
        await eventually(lambda: watch.over)
        following = open_watch()
        assert await reported(following) is None
        (target / "a.yaml").write_text("a: 1")
        await reports(following, "link/a.yaml")


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process can open no further file, as at the limit of inotify instances."""
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestRefusals:
    """A directory that cannot be watched is reported each second, and the log names the remedy."""

    EVENT = "the directory cannot be watched; dnsd reads it every second instead"

    async def test_a_name_that_is_not_utf8_ends_the_watch(
        self, tmp_path: Path, watch: Watch
    ) -> None:
        with capture_logs() as logs:
            (tmp_path / "root" / os.fsdecode(b"\xff.yaml")).write_text("a: 1")
            for _ in range(2):
                assert await reported(watch) is None
        (line,) = logs
        assert (line["event"], line["hint"]) == (self.EVENT, "give this file a name in UTF-8")
        assert r"\xFF.yaml" in line["problem"]

    async def test_a_limit_of_the_system_prevents_the_watch(
        self, watch: Watch, open_watch: Callable[[], Watch]
    ) -> None:
        with capture_logs() as logs, no_more_files():
            refused = open_watch()
            for _ in range(2):
                assert await reported(refused) is None
        (line,) = logs
        assert line["event"] == self.EVENT
        assert line["hint"].startswith("raise fs.inotify.max_user_watches")


async def test_the_library_does_not_log_each_change(
    tmp_path: Path, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "root" / "a.yaml").write_text("a: 1")
    await reports(watch, "a.yaml")
    assert caplog.records == []


class TestNamesOf:
    @pytest.mark.parametrize(
        ("paths", "names"),
        [
            (["a.yaml", "x/b.json"], {"a.yaml", "x/b.json"}),
            (["a.txt", ".a.yaml.swp", ".git/x.yaml", "4913"], set()),
            (["..data"], None),
            (["..2026/a.yaml"], None),
            (["sub"], None),
            (["known"], None),
            ([""], None),
        ],
    )
    def test_a_change_concerns_one_manifest_or_none_or_everything(
        self, tmp_path: Path, paths: list[str], names: set[str] | None
    ) -> None:
        (tmp_path / "sub").mkdir()
        full = [f"{tmp_path}/{path}" for path in paths]
        assert names_of(str(tmp_path), full, lambda prefix: prefix == "known/") == names
