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
from dnsd.sources.manifests.directory import Folder, Limits
from dnsd.sources.manifests.file import Entry, ManifestFile
from dnsd.sources.manifests.registry import Catalogue
from tests.helpers import counted, deep

SERVICE = "kind: Service\nmetadata: {{name: {}}}\n"


def a_folder(root: Path, **limits: int) -> Folder:
    return Folder(root, Catalogue(), Limits(**limits))


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SERVICE.format(path.stem))


class TestLook:
    def test_the_first_says_all_the_next_says_nothing(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "x/b")
        folder = a_folder(tmp_path)
        first = folder.look(patient=False)
        assert (first.files, first.objects, first.documents) == (2, 2, 2)
        assert first.reread == {"a.yaml", "x/b.yaml"}
        again = folder.look()
        assert (again.events, again.reread) == ([], frozenset())

    def test_only_the_named_are_looked_at(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b")
        folder = a_folder(tmp_path)
        folder.look(patient=False)
        (tmp_path / "a.yaml").unlink()
        (tmp_path / "b.yaml").unlink()
        assert folder.look(["b.yaml"]).events == [Key("Service", "default", "b")]
        assert folder.look(["never.yaml"]).events == []
        assert folder.look().events == [Key("Service", "default", "a")]

    def test_a_touched_file_is_not_parsed_again(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        folder = a_folder(tmp_path)
        folder.look(patient=False)
        fill(tmp_path, "a")  # the same bytes
        assert folder.look().reread == frozenset()
        assert folder.look(force=True).reread == frozenset()

    def test_an_empty_file_is_believed_at_the_second_look(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        folder = a_folder(tmp_path)
        folder.look(patient=False)
        (tmp_path / "a.yaml").write_text("")
        look = folder.look(["a.yaml"])
        assert (look.events, look.unsettled) == ([], True)
        look = folder.look([])
        assert (look.events, look.unsettled) == ([Key("Service", "default", "a")], False)

    def test_stopping_ends_it(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        folder = a_folder(tmp_path)
        folder.stopping = True
        assert folder.look(patient=False).files == 0

    def test_a_root_that_is_gone(self, tmp_path: Path) -> None:
        folder = a_folder(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError):
            folder.look()

    def test_a_directory_named_like_a_file(self, tmp_path: Path) -> None:
        fill(tmp_path, "x.yaml/a")
        look = a_folder(tmp_path).look(patient=False)
        assert look.reread == {"x.yaml/a.yaml"}


def put(directory: int, name: str, content: str) -> None:
    with open(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=directory), "w") as out:
        out.write(content)


class TestProblems:
    def test_a_look_tells_those_that_came_and_went(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b")
        folder = a_folder(tmp_path)
        assert folder.look(patient=False).problems == {}
        (tmp_path / "a.yaml").write_text(SERVICE.format("b"))
        look = folder.look()
        ((problem, times),) = look.problems.items()
        assert (problem.file, problem.object, times) == ("a.yaml", "Service default/b", 1)
        assert folder.look().problems == {}
        (tmp_path / "b.yaml").unlink()
        assert folder.look().problems == {problem: -1}

    @pytest.mark.parametrize("what", ["bad", "twice"])
    def test_a_look_costs_the_same_however_many_there_are(self, tmp_path: Path, what: str) -> None:
        item = "- {kind: Service, metadata: {name: %s}}\n"
        names = [f"B_{i}" if what == "bad" else f"b{i}" for i in range(90)]
        text = "kind: List\nitems:\n" + "".join(item % name for name in names)
        costs = []
        for count in (0, 50):
            root = tmp_path / str(count)
            fill(root, "a")
            for i in range(count):
                (root / f"f{i}.yaml").write_text(text)
            folder = a_folder(root)
            first = folder.look(patient=False)
            if count:
                assert len(first.problems) >= 49 * 90
            (root / "a.yaml").write_text(SERVICE.format("other"))
            with counted() as calls:
                look = folder.look(["a.yaml"])
            assert (look.reread, look.problems) == ({"a.yaml"}, {})
            costs.append(calls.total())
        assert costs[1] < costs[0] + 40  # and not 4,500 more


class TestLinks:
    """What two names lead to is read by the first; what happens to it is told by either."""

    def test_deleted_by_its_other_name(self, tmp_path: Path) -> None:
        fill(tmp_path, "z/a")
        (tmp_path / "b").symlink_to("z")
        folder = a_folder(tmp_path)
        assert folder.look(patient=False).reread == {"b/a.yaml"}
        (tmp_path / "z" / "a.yaml").unlink()
        assert folder.look(["z/a.yaml"]).events == [Key("Service", "default", "a")]

    def test_a_link_that_hid_another_name_is_replaced(self, tmp_path: Path) -> None:
        fill(tmp_path, "z")
        (tmp_path / "a.yaml").symlink_to("z.yaml")
        folder = a_folder(tmp_path)
        assert folder.look(patient=False).reread == {"a.yaml"}
        (tmp_path / "a.yaml").unlink()
        fill(tmp_path, "a")
        assert folder.look(["a.yaml"]).reread == {"a.yaml", "z.yaml"}


class TestDepth:
    def test_seven_hundred_directories(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "d/b", "d/e/c", "z")
        with deep(tmp_path, *["x"] * 700) as innermost:
            put(innermost, "deep.yaml", SERVICE.format("deep"))
            look = a_folder(tmp_path).look(patient=False)
            assert look.problems == {}
            assert look.reread == {
                *("a.yaml", "d/b.yaml", "d/e/c.yaml", "z.yaml"),
                "x/" * 700 + "deep.yaml",
            }

    def test_the_order_is_that_of_names_depth_first(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b/z", "b/c/x", "b", "b-", "c")
        # The first of what leads to one file counts, and of too many files the first do.
        kept = [
            sorted(a_folder(tmp_path, files=count).look(patient=False).reread)
            for count in range(1, 6)
        ]
        assert [(set(more) - set(less)).pop() for less, more in pairwise([[], *kept])] == [
            *("a.yaml", "b/c/x.yaml", "b/z.yaml", "b-.yaml", "b.yaml")
        ]

    def test_a_path_that_is_too_long(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        with deep(tmp_path, *["x" * 250] * 20):
            look = a_folder(tmp_path).look(patient=False)
        assert look.reread == {"a.yaml"}
        (problem,) = look.problems
        assert problem.text == "cannot be listed: file name too long"


class _Hasty(Catalogue):
    """A catalogue whose next `update` fails."""

    failing = False

    def update(self, files: Mapping[str, Sequence[Entry]]) -> list[Packed | Key]:
        if self.failing:
            self.failing = False
            raise ArithmeticError
        return super().update(files)


class TestFaults:
    """What nobody thought of costs one file, or one look."""

    def test_a_file_that_makes_reading_fail(self, tmp_path: Path) -> None:
        def parse(path: str, data: bytes, previous: ManifestFile | None) -> ManifestFile:
            if b"evil" in data:
                raise ArithmeticError("no idea")
            return file.parse(path, data, previous)

        fill(tmp_path, "a", "b")
        folder = Folder(tmp_path, Catalogue(), parse=parse)
        folder.look(patient=False)
        (tmp_path / "a.yaml").write_text("evil")
        (tmp_path / "b.yaml").write_text(SERVICE.format("c"))
        with capture_logs() as logs:
            look = folder.look()
        assert {
            event if isinstance(event, Key) else unpack(event).key for event in look.events
        } == {
            Key("Service", "default", "b"),
            Key("Service", "default", "c"),
        }  # and a goes on saying what it said
        (problem,) = look.problems
        assert (problem.file, "ArithmeticError: no idea" in problem.text) == ("a.yaml", True)
        assert [one["file"] for one in logs] == ["a.yaml"]
        assert folder.look().reread == frozenset()  # until it changes
        fill(tmp_path, "a")
        assert folder.look().problems == {problem: -1}

    @pytest.mark.parametrize("named", [True, False])
    def test_what_a_failed_look_read_is_read_again(self, tmp_path: Path, named: bool) -> None:
        fill(tmp_path, "a", "b", "c")
        catalogue = _Hasty()
        folder = Folder(tmp_path, catalogue)
        folder.look(patient=False)
        (tmp_path / "a.yaml").write_text(SERVICE.format("other"))
        (tmp_path / "b.yaml").unlink()
        fill(tmp_path, "new")
        catalogue.failing = True
        with pytest.raises(ArithmeticError):
            folder.look(["a.yaml", "b.yaml", "new.yaml"] if named else None)
        look = folder.look(["c.yaml"] if named else None)
        said = {str(one if isinstance(one, Key) else unpack(one).key) for one in look.events}
        assert said == {f"Service default/{name}" for name in ("a", "other", "b", "new")}
        assert (look.files, look.objects, look.documents) == (3, 3, 3)


class TestLimits:
    def test_files(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b", "c")
        look = a_folder(tmp_path, files=2).look(patient=False)
        assert look.reread == {"a.yaml", "b.yaml"}
        assert "more than 2 manifests" in next(iter(look.problems)).text

    def test_entries(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b", "c")
        look = a_folder(tmp_path, entries=2).look(patient=False)
        assert look.reread == {"a.yaml", "b.yaml"}
        assert "more than 2 entries" in next(iter(look.problems)).text

    def test_bytes_of_a_file(self, tmp_path: Path) -> None:
        fill(tmp_path, "a")
        look = a_folder(tmp_path, file_bytes=10).look(patient=False)
        assert "over the limit of 10" in next(iter(look.problems)).text

    def test_bytes_in_all(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b")
        size = (tmp_path / "a.yaml").stat().st_size
        folder = a_folder(tmp_path, total_bytes=2 * size - 1)
        look = folder.look(patient=False)
        assert look.objects == 1
        assert "in all" in next(iter(look.problems)).text
        (tmp_path / "a.yaml").unlink()
        folder.look()
        assert folder.look(force=True).objects == 1

    def test_a_file_whose_size_stat_does_not_tell(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").symlink_to("/proc/self/maps")
        look = a_folder(tmp_path, file_bytes=100).look(patient=False)
        assert "more than 100 bytes" in next(iter(look.problems)).text


class TestBriefLooks:
    def test_a_few_small_files_are_looked_at_in_no_time(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path, Catalogue(()))
        (tmp_path / "a.yaml").write_text("x" * 100)
        assert folder.is_brief({"a.yaml"})
        assert folder.is_brief({"gone.yaml", "a.yaml"})
        assert folder.is_brief(())

    def test_large_ones_many_and_links_are_not(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path, Catalogue(()))
        (tmp_path / "large.yaml").write_text("x" * 100_000)
        assert not folder.is_brief({"large.yaml"})
        for n in range(20):
            (tmp_path / f"{n}.yaml").write_text("")
        assert not folder.is_brief({f"{n}.yaml" for n in range(20)})
        (tmp_path / "a.yaml").symlink_to("large.yaml")
        assert not folder.is_brief({"a.yaml"})
        folder.look(patient=False)  # from now on it knows of a link: any file may be its target
        assert not folder.is_brief({"0.yaml"})
