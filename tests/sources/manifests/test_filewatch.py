"""What a watch tells, of real directories."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dnsd.sources.manifests.filewatch import (
    EVERYTHING,
    Inotify,
    Polled,
    Seen,
    Unwatched,
    Watch,
    touched,
)
from tests.helpers import DEADLINE, deep

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="inotify")


async def said(watch: Watch) -> Seen | None:
    """The next thing that a watch has to say."""
    async with asyncio.timeout(DEADLINE):
        while (seen := await watch.wait(1.0)) == Seen():
            pass
    return seen


async def told(watch: Watch, *names: str) -> None:
    """Wait until the watch has said of all these files that they may have changed."""
    left = set(names)
    while left:
        seen = await said(watch)
        assert seen is not None
        if seen.names is None:
            return
        left -= seen.names


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Inotify]:
    (tmp_path / "root" / "sub").mkdir(parents=True)
    one = Inotify(tmp_path / "root")
    yield one
    await one.close()


@LINUX
class TestInotify:
    async def test_a_file_is_whole_when_it_is_closed(self, tmp_path: Path, watch: Inotify) -> None:
        file = tmp_path / "root" / "sub" / "a.yaml"
        with file.open("w") as out:
            out.write("a: 1")
            out.flush()
            assert await watch.wait(0) == Seen()
        name = frozenset(["sub/a.yaml"])
        assert await said(watch) == Seen(name, name)

    async def test_a_file_that_stays_open_is_looked_at_when_it_is_left_alone(
        self, tmp_path: Path, watch: Inotify
    ) -> None:
        with (tmp_path / "root" / "a.yaml").open("w") as out:
            out.write("a: 1")
            out.flush()
            assert await said(watch) == Seen(frozenset(["a.yaml"]))

    async def test_one_that_is_written_again_is_not_whole(
        self, tmp_path: Path, watch: Inotify
    ) -> None:
        file = tmp_path / "root" / "a.yaml"
        file.write_text("a: 1")
        with file.open("w") as out:
            out.write("a: 2")
            out.flush()
            assert await said(watch) == Seen(frozenset(["a.yaml"]))

    async def test_a_directory_whose_path_is_too_long_is_left_out(
        self, tmp_path: Path, watch: Inotify
    ) -> None:
        names = ["x" * 99] * ((4080 - len(str(tmp_path / "root"))) // 100)
        with deep(tmp_path / "root", *names) as innermost:
            os.close(os.open("b.yaml", os.O_WRONLY | os.O_CREAT, dir_fd=innermost))
            await told(watch, "/".join([*names, "b.yaml"]))
            for name in ("y" * 250, "z" * 250):  # their paths have more than 4,095 octets
                os.mkdir(name, dir_fd=innermost)
            (tmp_path / "root" / "a.yaml").write_text("a: 1")
            await told(watch, "a.yaml")

    async def test_renamed_linked_removed(self, tmp_path: Path, watch: Inotify) -> None:
        root = tmp_path / "root"
        (tmp_path / "a").write_text("a: 1")
        (tmp_path / "a").rename(root / "a.yaml")
        name = frozenset(["a.yaml"])
        assert await said(watch) == Seen(name, name)
        os.link(root / "a.yaml", root / "b.yaml")
        assert await said(watch) == Seen(frozenset(["b.yaml"]))
        (root / "c.yaml").symlink_to("a.yaml")
        assert await said(watch) == Seen(frozenset(["c.yaml"]))
        (root / "a.yaml").unlink()
        assert await said(watch) == Seen(name)
        (root / "b.yaml").rename(root / "b.txt")
        assert await said(watch) == Seen(frozenset(["b.yaml"]))

    async def test_what_concerns_no_manifest_is_not_said(
        self, tmp_path: Path, watch: Inotify
    ) -> None:
        root = tmp_path / "root"
        (root / ".git").mkdir()
        (root / ".git" / "a.yaml").write_text("a: 1")
        (root / ".a.yaml.swp").write_text("a: 1")
        (root / "a.txt").write_text("a: 1")
        (root / "a.yaml").write_text("a: 1")
        name = frozenset(["a.yaml"])
        assert await said(watch) == Seen(name, name)

    async def test_files_in_directories_that_are_made_at_the_same_time(
        self, tmp_path: Path, watch: Inotify
    ) -> None:
        names = [f"new{i}/deep/er/{i}.yaml" for i in range(50)]
        for name in names:
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True)
            path.write_text("a: 1")
        await told(watch, *names)
        (tmp_path / "root" / names[7]).write_text("a: 2")
        one = frozenset([names[7]])
        assert await said(watch) == Seen(one, one)

    async def test_moved_and_removed_directories(self, tmp_path: Path, watch: Inotify) -> None:
        root = tmp_path / "root"
        (root / "sub").rename(root / "other")
        assert await said(watch) == EVERYTHING
        (root / "other" / "a.yaml").write_text("a: 1")
        await told(watch, "other/a.yaml")
        (root / "other").rename(tmp_path / "outside")
        assert await said(watch) == EVERYTHING
        (tmp_path / "outside" / "a.yaml").write_text("a: 2")
        assert await watch.wait(0.01) == Seen()
        (root / "x").mkdir()
        await watch.wait(0.01)
        shutil.rmtree(root / "x")
        assert await said(watch) == EVERYTHING

    async def test_links_to_directories(self, tmp_path: Path, watch: Inotify) -> None:
        root, external = tmp_path / "root", tmp_path / "outside"
        external.mkdir()
        (root / "link").symlink_to(external)
        assert await said(watch) == EVERYTHING
        (external / "a.yaml").write_text("a: 1")
        await told(watch, "link/a.yaml")
        (root / "sub" / "loop").symlink_to("..")
        (root / "alias").symlink_to(external)
        assert await said(watch) == EVERYTHING
        (root / "link").unlink()
        assert await said(watch) == EVERYTHING
        (external / "a.yaml").write_text("a: 2")  # the other link still leads there
        await told(watch, "alias/a.yaml")

    async def test_the_swap_of_a_configmap_volume(self, tmp_path: Path, watch: Inotify) -> None:
        root = tmp_path / "root"
        (root / "..2026_1").mkdir()
        (root / "..2026_1" / "a.yaml").write_text("a: 1")
        (root / "..data_tmp").symlink_to("..2026_1")
        (root / "..data_tmp").rename(root / "..data")
        assert await said(watch) == EVERYTHING

    async def test_lost_events_mean_everything(self, tmp_path: Path, watch: Inotify) -> None:
        root = tmp_path / "root"
        most = int(QUEUE.read_text()) if QUEUE.exists() else 1 << 30  # noqa: ASYNC240
        if most > 100_000:
            pytest.skip("the kernel's queue is too long to be filled")
        (root / "a.yaml").write_text("a: 1")
        (root / "b.yaml").write_text("b: 1")
        for _ in range(most // 2 + 2):  # in turns, because the kernel joins equal events
            os.utime(root / "a.yaml")
            os.utime(root / "b.yaml")
        (root / "late").mkdir()
        (root / "late" / "a.yaml").write_text("a: 1")
        while (seen := await said(watch)) != EVERYTHING:
            assert seen is not None
        while await watch.wait(0.01) != Seen():
            pass
        (root / "late" / "a.yaml").write_text("a: 2")  # nobody said that `late` is there
        await told(watch, "late/a.yaml")

    async def test_it_is_over_with_the_directory(self, tmp_path: Path, watch: Inotify) -> None:
        (tmp_path / "root").rename(tmp_path / "away")
        assert await said(watch) is None

    def test_no_directory(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Inotify(tmp_path / "nowhere")


class TestPolled:
    async def test_changes_and_the_end(self, tmp_path: Path) -> None:
        (tmp_path / "root").mkdir()
        watch = Polled((tmp_path / "root").resolve(), lambda prefix: False)
        try:
            assert await watch.wait(0) == Seen()
            (tmp_path / "root" / "a.yaml").write_text("a: 1")
            await told(watch, "a.yaml")
        finally:
            await watch.close()


class TestUnwatched:
    async def test_everything_every_second(self, tmp_path: Path) -> None:
        watch = Unwatched(tmp_path, OSError("no space left on device"))
        begun = time.monotonic()
        assert await watch.wait(0) == Seen()
        assert await said(watch) == EVERYTHING
        assert time.monotonic() - begun >= 1.0


class TestTouched:
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
    def test_what_a_change_concerns(
        self, tmp_path: Path, paths: list[str], names: set[str] | None
    ) -> None:
        (tmp_path / "sub").mkdir()
        full = [f"{tmp_path}/{path}" for path in paths]
        assert touched(str(tmp_path), full, lambda prefix: prefix == "known/") == names
