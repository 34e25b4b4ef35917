"""The composition: every section that a package declares is in the settings of a run."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest
from msgspec import Struct

import dnsd
from dnsd.control.settings import Settings
from dnsd.settings.schema import Composed, declared

ROOT = Path(dnsd.__file__).parent
MODULES = sorted(
    ".".join(("dnsd", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("settings.py")
)


def sections(module: str) -> list[type[Struct]]:
    """The structs that a module defines and that declare settings."""
    found = vars(import_module(module)).values()
    structs = [one for one in found if isinstance(one, type) and issubclass(one, Struct)]
    return [one for one in structs if one.__module__ == module and declared(one)]


@pytest.mark.parametrize("module", MODULES)
def test_every_section_of_a_package_is_composed(module: str) -> None:
    assert sections(module)
    for section in sections(module):
        names = declared(section).keys()
        assert {name: declared(Settings)[name].setting for name in names} == {
            name: one.setting for name, one in declared(section).items()
        }


def test_there_is_one_composition() -> None:
    found = [one for module in MODULES for one in sections(module) if issubclass(one, Composed)]
    assert found == [Settings]


def declarations() -> list[tuple[str, int]]:
    """Each setting that a module of dnsd declares, and the number of lines that this takes."""
    return [
        (f"{path.relative_to(ROOT)}: {ast.unparse(node.target)}", node.end_lineno - node.lineno + 1)
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AnnAssign) and node.value is not None and node.end_lineno
        if "Setting(Group." in ast.unparse(node.annotation)
    ]


def test_a_declaration_takes_at_most_five_lines() -> None:
    assert len(declarations()) == len(declared(Settings))
    assert [name for name, lines in declarations() if lines > 5] == []
