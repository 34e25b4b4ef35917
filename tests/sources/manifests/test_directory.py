"""Which files of a directory count, and what bounds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dnsd.cluster.objects import Key
from dnsd.cluster.store import Packed, unpack
from dnsd.sources.manifests import file
from dnsd.sources.manifests.directory import Directory, Limits
from dnsd.sources.manifests.file import ManifestFile
from dnsd.sources.manifests.manifest import Manifest
from dnsd.sources.manifests.registry import Registry
from tests.helpers import counted, deep

SERVICE = "kind: Service\nmetadata: {{name: {}}}\n"


def a_directory(root: Path, **limits: int) -> Directory:
    return Directory(root, Registry(), Limits(**limits))


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SERVICE.format(path.stem))


class TestUpdate:
    def test_the_first_reads_all_and_the_next_finds_no_change(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "x/b")
        directory = a_directory(tmp_path)
        first = directory.update(settle=False)
        assert (first.files, first.objects, first.documents) == (2, 2, 2)
        assert first.reread == {"a.yaml", "x/b.yaml"}
        again = directory.update()
        assert (again.events, again.reread) == ([], frozenset())

    def test_only_the_named_files_are_read(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b")
        directory = a_directory(tmp_path)
        directory.update(settle=False)
        (tmp_path / "a.yaml").unlink()
        (tmp_path / "b.yaml").unlink()
        assert directory.update(["b.yaml"]).events == [Key("Service", "default", "b")]
        assert directory.update(["never.yaml"]).events == []
        assert directory.update().events == [Key("Service", "default", "a")]

    def test_a_touched_file_is_not_parsed_again(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        directory = a_directory(tmp_path)
        directory.update(settle=False)
        fill(tmp_path, "a")  # the same bytes
        assert directory.update().reread == frozenset()
        assert directory.update(force=True).reread == frozenset()

    def test_an_empty_file_is_read_at_the_second_update(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        directory = a_directory(tmp_path)
        directory.update(settle=False)
        (tmp_path / "a.yaml").write_text("")
        update = directory.update(["a.yaml"])
        assert (update.events, update.unsettled) == ([], True)
        update = directory.update([])
        assert (update.events, update.unsettled) == ([Key("Service", "default", "a")], False)

    def test_stopping_ends_an_update(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        directory = a_directory(tmp_path)
        directory.stopping = True
        assert directory.update(settle=False).files == 0

    def test_a_root_that_is_gone_raises(self, tmp_path: Path) -> None:
        directory = a_directory(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError):
            directory.update()

    def test_a_directory_with_the_name_of_a_file_is_walked(self, tmp_path: Path) -> None:
        fill(tmp_path, "x.yaml/a")
        update = a_directory(tmp_path).update(settle=False)
        assert update.reread == {"x.yaml/a.yaml"}


class TestDifferences:
    def test_the_differences_are_the_files_that_an_update_would_read(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b", "c")
        directory = a_directory(tmp_path)
        directory.update(settle=False)
        assert directory.differences() == set()
        (tmp_path / "a.yaml").unlink()
        (tmp_path / "b.yaml").write_text(SERVICE.format("longer"))
        fill(tmp_path, "new")
        found = directory.differences()
        assert {name for name, _ in found} == {"a.yaml", "b.yaml", "new.yaml"}
        directory.update(["b.yaml"], settle=False)
        assert {name for name, _ in directory.differences()} == {"a.yaml", "new.yaml"}
        directory.update(settle=False)
        assert directory.differences() == set()

    def test_a_file_that_changes_again_is_another_difference(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        directory = a_directory(tmp_path)
        directory.update(settle=False)
        (tmp_path / "a.yaml").write_text(SERVICE.format("longer"))
        first = directory.differences()
        (tmp_path / "a.yaml").write_text(SERVICE.format("longer-still"))
        assert first.isdisjoint(directory.differences())


def put(directory: int, name: str, content: str) -> None:
    with open(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=directory), "w") as out:
        out.write(content)


class TestProblems:
    def test_an_update_reports_added_and_removed_problems(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b")
        directory = a_directory(tmp_path)
        assert directory.update(settle=False).problems == {}
        (tmp_path / "a.yaml").write_text(SERVICE.format("b"))
        update = directory.update()
        ((problem, times),) = update.problems.items()
        assert (problem.file, problem.object, times) == ("a.yaml", "Service default/b", 1)
        assert directory.update().problems == {}
        (tmp_path / "b.yaml").unlink()
        assert directory.update().problems == {problem: -1}

    @pytest.mark.parametrize("what", ["bad", "twice"])
    def test_the_cost_of_an_update_does_not_depend_on_the_problems_of_other_files(
        self, tmp_path: Path, what: str
    ) -> None:
        item = "- {kind: Service, metadata: {name: %s}}\n"
        names = [f"B_{i}" if what == "bad" else f"b{i}" for i in range(90)]
        text = "kind: List\nitems:\n" + "".join(item % name for name in names)
        costs = []
        for count in (0, 50):
            root = tmp_path / str(count)
            fill(root, "a")
            for i in range(count):
                (root / f"f{i}.yaml").write_text(text)
            directory = a_directory(root)
            first = directory.update(settle=False)
            if count:
                assert len(first.problems) >= 49 * 90
            (root / "a.yaml").write_text(SERVICE.format("other"))
            with counted() as calls:
                update = directory.update(["a.yaml"])
            assert (update.reread, update.problems) == ({"a.yaml"}, {})
            costs.append(calls.total())
        assert costs[1] < costs[0] + 40  # and not 4,500 more


class TestLinks:
    """A file that two names lead to is read by the first; a change is reported by either."""

    def test_a_file_deleted_by_its_other_name_is_gone(self, tmp_path: Path) -> None:
        fill(tmp_path, "z/a")
        (tmp_path / "b").symlink_to("z")
        directory = a_directory(tmp_path)
        assert directory.update(settle=False).reread == {"b/a.yaml"}
        (tmp_path / "z" / "a.yaml").unlink()
        assert directory.update(["z/a.yaml"]).events == [Key("Service", "default", "a")]

    def test_the_target_of_a_replaced_link_is_read_by_its_own_name(self, tmp_path: Path) -> None:
        fill(tmp_path, "z")
        (tmp_path / "a.yaml").symlink_to("z.yaml")
        directory = a_directory(tmp_path)
        assert directory.update(settle=False).reread == {"a.yaml"}
        (tmp_path / "a.yaml").unlink()
        fill(tmp_path, "a")
        assert directory.update(["a.yaml"]).reread == {"a.yaml", "z.yaml"}


class TestDepth:
    def test_seven_hundred_nested_directories_are_read(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "d/b", "d/e/c", "z")
        with deep(tmp_path, *["x"] * 700) as innermost:
            put(innermost, "deep.yaml", SERVICE.format("deep"))
            update = a_directory(tmp_path).update(settle=False)
            assert update.problems == {}
            assert update.reread == {
                *("a.yaml", "d/b.yaml", "d/e/c.yaml", "z.yaml"),
                "x/" * 700 + "deep.yaml",
            }

    def test_files_are_read_in_the_order_of_names_depth_first(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b/z", "b/c/x", "b", "b-", "c")
        # The first of what leads to one file counts, and of too many files the first do.
        kept = [
            sorted(a_directory(tmp_path, files=count).update(settle=False).reread)
            for count in range(1, 6)
        ]
        assert [(set(more) - set(less)).pop() for less, more in pairwise([[], *kept])] == [
            *("a.yaml", "b/c/x.yaml", "b/z.yaml", "b-.yaml", "b.yaml")
        ]

    def test_a_path_that_is_too_long_is_a_problem(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        with deep(tmp_path, *["x" * 250] * 20):
            update = a_directory(tmp_path).update(settle=False)
        assert update.reread == {"a.yaml"}
        (problem,) = update.problems
        assert problem.text == "cannot be listed: file name too long"


class _Failing(Registry):
    """A registry whose next `update` fails."""

    failing = False

    def update(self, files: Mapping[str, Sequence[Manifest]]) -> list[Packed | Key]:
        if self.failing:
            self.failing = False
            raise ArithmeticError
        return super().update(files)


class TestFaults:
    """A fault in dnsd costs one file, or one update."""

    def test_a_file_that_makes_the_parser_fail_keeps_its_objects(self, tmp_path: Path) -> None:
        def parse(path: str, data: bytes, previous: ManifestFile | None) -> ManifestFile:
            if b"evil" in data:
                raise ArithmeticError("no idea")
            return file.parse(path, data, previous)

        fill(tmp_path, "a", "b")
        directory = Directory(tmp_path, Registry(), parse=parse)
        directory.update(settle=False)
        (tmp_path / "a.yaml").write_text("evil")
        (tmp_path / "b.yaml").write_text(SERVICE.format("c"))
        with capture_logs() as logs:
            update = directory.update()
        assert {
            event if isinstance(event, Key) else unpack(event).key for event in update.events
        } == {
            Key("Service", "default", "b"),
            Key("Service", "default", "c"),
        }  # and a keeps its objects
        (problem,) = update.problems
        assert (problem.file, "ArithmeticError: no idea" in problem.text) == ("a.yaml", True)
        assert [one["file"] for one in logs] == ["a.yaml"]
        assert directory.update().reread == frozenset()  # until it changes
        fill(tmp_path, "a")
        assert directory.update().problems == {problem: -1}

    @pytest.mark.parametrize("named", [True, False])
    def test_what_a_failed_update_read_is_read_again(self, tmp_path: Path, named: bool) -> None:
        fill(tmp_path, "a", "b", "c")
        registry = _Failing()
        directory = Directory(tmp_path, registry)
        directory.update(settle=False)
        (tmp_path / "a.yaml").write_text(SERVICE.format("other"))
        (tmp_path / "b.yaml").unlink()
        fill(tmp_path, "new")
        registry.failing = True
        with pytest.raises(ArithmeticError):
            directory.update(["a.yaml", "b.yaml", "new.yaml"] if named else None)
        update = directory.update(["c.yaml"] if named else None)
        changed = {str(one if isinstance(one, Key) else unpack(one).key) for one in update.events}
        assert changed == {f"Service default/{name}" for name in ("a", "other", "b", "new")}
        assert (update.files, update.objects, update.documents) == (3, 3, 3)


class TestLimits:
    def test_files_over_the_limit_are_not_read(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b", "c")
        update = a_directory(tmp_path, files=2).update(settle=False)
        assert update.reread == {"a.yaml", "b.yaml"}
        assert "more than 2 manifests" in next(iter(update.problems)).text

    def test_entries_over_the_limit_are_not_read(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b", "c")
        update = a_directory(tmp_path, entries=2).update(settle=False)
        assert update.reread == {"a.yaml", "b.yaml"}
        assert "more than 2 entries" in next(iter(update.problems)).text

    def test_a_file_over_the_limit_is_not_read(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        update = a_directory(tmp_path, file_bytes=10).update(settle=False)
        assert "over the limit of 10" in next(iter(update.problems)).text

    def test_a_file_over_the_limit_of_all_files_is_not_read(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b")
        size = (tmp_path / "a.yaml").stat().st_size
        directory = a_directory(tmp_path, total_bytes=2 * size - 1)
        update = directory.update(settle=False)
        assert update.objects == 1
        assert "in all" in next(iter(update.problems)).text
        (tmp_path / "a.yaml").unlink()
        directory.update()
        assert directory.update(force=True).objects == 1

    def test_the_bytes_of_a_file_that_is_gone_are_free_for_the_others(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        size = (tmp_path / "a.yaml").stat().st_size
        directory = a_directory(tmp_path, total_bytes=size)
        directory.update(settle=False)
        (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
        update = directory.update(settle=False)
        assert (update.problems, update.reread) == ({}, {"b.yaml"})

    def test_a_file_whose_size_stat_does_not_report_is_bounded_too(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").symlink_to("/proc/self/maps")
        update = a_directory(tmp_path, file_bytes=100).update(settle=False)
        assert "more than 100 bytes" in next(iter(update.problems)).text
