"""Paths: a path that leads nowhere is refused when it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dnsd.settings.kinds import BadValue, Kind
from dnsd.settings.paths import DIRECTORY, FILE, OWN_DIRECTORY


def refused(kind: Kind, path: Path) -> str:
    with pytest.raises(BadValue) as caught:
        kind.parse(str(path))
    return caught.value.problem


@pytest.mark.parametrize("kind", [DIRECTORY, FILE, OWN_DIRECTORY])
def test_empty_text_means_that_the_path_is_not_set(kind: Kind) -> None:
    assert kind.parse("") == ""


def test_a_tilde_is_the_home_directory() -> None:
    assert DIRECTORY.parse("~") == os.path.expanduser("~")


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert FILE.parse(str(tmp_path / "file")) == str(tmp_path / "file")
    assert refused(DIRECTORY, tmp_path / "file").startswith("is not a directory")
    assert refused(OWN_DIRECTORY, tmp_path / "file") == "is not a directory"
    assert refused(FILE, tmp_path) == "is a directory, not a file"


def test_only_the_last_part_of_a_directory_to_make_may_be_missing(tmp_path: Path) -> None:
    assert OWN_DIRECTORY.parse(str(tmp_path / "new")) == str(tmp_path / "new")
    assert refused(OWN_DIRECTORY, tmp_path / "a/b").startswith("cannot be made: ")
    assert refused(DIRECTORY, tmp_path / "new") == "does not exist"
    assert refused(FILE, tmp_path / "new") == "does not exist"
