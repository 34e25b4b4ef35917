"""The size of the code, and the imports between modules."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from bench import size

ORDER = [{"top"}, {"left", "right"}, {"bottom"}]


def package(root: Path, files: dict[str, str]) -> dict[str, Path]:
    """The modules of a package `app` with these files."""
    for name, text in files.items():
        path = root / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return size.modules(root, "app")


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ("x = 1\n\n# comment\ny = 2  # comment\n", 2),
        ('"""Docstring.\n\nMore.\n"""\nx = 1\n', 1),
        ('def f():\n    """Docstring."""\n    return """a\nb"""\n', 3),
        ("x = (\n    1,\n)\n", 3),
    ],
)
def test_comments_blank_lines_and_docstrings_are_not_source_lines(source: str, lines: int) -> None:
    assert size.sloc(source) == lines


def test_imports_name_modules_also_those_of_functions_and_of_objects(tmp_path: Path) -> None:
    files = package(
        tmp_path,
        {
            "__init__.py": "",
            "a.py": "import os\nfrom app import b\nfrom app.c import Thing\n",
            "b.py": "def f():\n    import app.c.d\n",
            "c/__init__.py": "from app.c.d import Thing\n",
            "c/d.py": "",
        },
    )
    assert size.imports(files) == {
        "app": set(),
        "app.a": {"app.b", "app.c"},
        "app.b": {"app.c.d"},
        "app.c": {"app.c.d"},
        "app.c.d": set(),
    }


def test_an_import_to_the_same_or_a_higher_layer_is_upward() -> None:
    found = {
        "app.top.a": {"app.top.b", "app.left", "app.bottom"},
        "app.left": {"app.right.a", "app.bottom"},
        "app.bottom": {"app.top.a"},
        "app": {"app.top.a"},
    }
    assert size.upward(found, ORDER) == [("app.left", "app.right.a"), ("app.bottom", "app.top.a")]


def test_each_cycle_is_a_path_of_imports() -> None:
    found = {"a": {"b", "c"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"d"}}
    cycles = size.cycles(found)
    assert {frozenset(cycle) for cycle in cycles} >= {frozenset("de")}
    assert len(cycles) == 3
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert all(b in found[a] for a, b in pairwise(cycle))
    assert size.cycles({"a": {"b"}, "b": set()}) == []


def test_the_layers_are_those_of_the_import_contracts() -> None:
    packages = {path.name for path in (size.ROOT / "dnsd").iterdir() if path.suffix != ".pyc"}
    named = set().union(*size.layers(size.ROOT))
    assert {name for name in packages if "." not in name and name != "__pycache__"} <= named
