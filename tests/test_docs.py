"""The documentation agrees with the declarations of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.control.settings import Settings
from dnsd.settings.docs import FILES
from dnsd.settings.schema import declared, flag_of, variable_of

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", FILES)
def test_generated_files_are_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path](Settings), "run: make docs"


@pytest.mark.parametrize("name", list(declared(Settings)))
def test_every_setting_is_documented(name: str) -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert f"### {name}\n" in page
    assert f"`{flag_of(name)}" in page
    assert f"`{variable_of(name)}`" in page
