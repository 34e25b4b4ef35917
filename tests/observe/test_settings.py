"""The settings of the log and of the history: their ranges, and what a reload changes."""

from __future__ import annotations

import pytest

from dnsd.control.settings import Settings
from dnsd.observe.settings import HistoryConfig
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError, changed


def test_sizes_and_ages_are_read_as_octets_and_seconds() -> None:
    flags = {"history_max_age": "90d", "history_max_size": "10MB"}
    assert load(Settings, flags, {}).history == HistoryConfig(90 * 86_400, 10_000_000)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("log_level", "verbose", "is not one of debug, info, warning, error"),
        ("log_format", "xml", "is not one of auto, json, text"),
        ("history_max_age", "59s", "is not in 1m to 3650d"),
        ("history_max_size", "1000", "is not in 1MiB to 1024GiB"),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=f"{value} {problem}"):
        load(Settings, {name: value}, {})


def test_a_reload_changes_the_log_but_not_the_history() -> None:
    new = Settings.of(log_level="debug", history_max_age=3600.0)
    assert changed(Settings(), new) == (["log_level"], ["history_max_age"])
