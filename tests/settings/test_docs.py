"""The two generated files: every setting, its group, kind, default, and example."""

from __future__ import annotations

import pytest
import yaml

from dnsd.control.settings import Settings
from dnsd.settings.docs import FILES, markdown, write, yaml_text
from dnsd.settings.load import load
from dnsd.settings.schema import Group, declared

PAGE, FILE = markdown(Settings), yaml_text(Settings)


def test_the_groups_are_headings_in_their_order() -> None:
    headings = [line[3:] for line in PAGE.splitlines() if line.startswith("## ")]
    assert headings == [str(group) for group in Group]


@pytest.mark.parametrize("name", declared(Settings))
def test_a_setting_has_a_heading_with_its_help_and_kind(name: str) -> None:
    setting = declared(Settings)[name].setting
    section = PAGE.partition(f"### {name}\n")[2].partition("\n#")[0]
    assert setting.help in section
    assert f"{setting.kind.name}{', *live*' if setting.reload else ''}." in section


def test_the_commented_file_changes_nothing_and_without_comments_it_has_the_defaults() -> None:
    assert yaml.safe_load(FILE) is None
    lines = [line[1:] for line in FILE.splitlines() if line[:1] == "#" and line[:2] != "# "]
    defaults = yaml.safe_load("\n".join(lines))
    settings = {name: one.setting for name, one in declared(Settings).items()}
    assert list(defaults) == [name for name in settings if settings[name].in_file]
    for name, value in defaults.items():
        assert settings[name].kind.parse(value) == Settings().value(name)


def test_both_files_are_written(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in FILES:
        (tmp_path / path).parent.mkdir()
    write(Settings)
    assert (tmp_path / "docs/settings.md").read_text() == PAGE
    assert load(Settings, {"config": "config/dnsd.yaml"}, {}).updated(config="") == Settings.of(
        {"config": "--config"}
    )
