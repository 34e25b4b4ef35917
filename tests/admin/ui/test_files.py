"""The files of the page, as they are."""

from __future__ import annotations

import re

from dnsd.admin.routes.static import UI, files
from tests.serving import ROOT


def test_no_script_writes_markup() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in UI.glob("*.js")}
    assert len(scripts) > 5
    forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    for name, text in scripts.items():
        code = re.sub(r"^\s*//.*$", "", text, flags=re.M)
        assert [word for word in forbidden if word in code] == [], name


def test_nothing_comes_from_elsewhere() -> None:
    """One address is in the files: the name of the SVG namespace."""
    for path in UI.iterdir():
        found = re.findall(r"https?://[^\"'\s)]+", path.read_text(encoding="utf-8"))
        assert set(found) <= {"http://www.w3.org/2000/svg"}, path.name
    html = (UI / "index.html").read_text(encoding="utf-8")
    assert "style=" not in html
    assert re.search(r"<script(?![^>]*\bsrc=)", html) is None
    assert re.search(r"\son[a-z]+=", html) is None


def test_docs_name_every_view_and_show_small_pictures() -> None:
    page = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")
    titles = {
        found[1]
        for path in UI.glob("*.js")
        if (found := re.search(r'^export const title = "(.*)";', path.read_text("utf-8"), re.M))
    }
    assert set(re.findall(r"^\| ([A-Z][^|]*) \|", page, re.M)) == titles
    pictures = [ROOT / "docs" / name for name in re.findall(r"\]\((images/[^)]*)\)", page)]
    assert len(pictures) == 3
    for picture in pictures:
        assert 10_000 < picture.stat().st_size < 150_000


def test_every_file_is_a_type_that_is_served() -> None:
    """And the page loads no file that is not there."""
    served = set(files())
    assert {path.name for path in UI.iterdir()} == served
    html = (UI / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'"ui/([^"]+)"', html)) <= served
    for path in UI.glob("*.js"):
        imported = re.findall(r'from "\./([^"]+)"', path.read_text(encoding="utf-8"))
        assert set(imported) <= served, path.name
