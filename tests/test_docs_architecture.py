"""docs/architecture.md is the map of the tree: its packages and its reading path exist.

In `tests/` (rules that hold for the whole tree). Change here: what the page must agree with.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATH = re.findall(r"^\| `(dnsd/\S+\.py)` \|", PAGE, re.MULTILINE)


def test_the_map_lists_every_package() -> None:
    table = PAGE.partition("## Packages")[2].partition("## Reading path")[0]
    packages = {path.parent.name for path in (ROOT / "dnsd").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| `(\w+)/`", table, re.MULTILINE))


def test_every_file_of_the_page_exists() -> None:
    for package, name in re.findall(r"`(\w+)/(\w+\.py)`", PAGE):
        assert (ROOT / "dnsd" / package / name).is_file(), f"{package}/{name}"


def test_the_reading_path_is_as_long_as_the_page_says() -> None:
    stated = int(re.search(r"about ([\d,]+) lines", PAGE)[1].replace(",", ""))  # type: ignore[index]
    lines = sum((ROOT / one).read_text(encoding="utf-8").count("\n") for one in PATH)
    assert len(PATH) > 5
    assert 0.85 * stated <= lines <= 1.15 * stated


def test_readme_states_the_same_length_of_the_reading_path() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"about ([\d,]+) lines", readme) == re.findall(
        r"are about ([\d,]+) lines", PAGE
    )
