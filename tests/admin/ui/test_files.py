"""The files of the page, as they are."""

from __future__ import annotations

import re

from dnsd.admin.page import UI


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
