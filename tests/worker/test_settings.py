"""The settings of the workers: their number, their event loop, and the two limits of a drain."""

from __future__ import annotations

import pytest

from dnsd.control.settings import Settings
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError, changed
from dnsd.worker.settings import WorkerConfig


def test_by_default_one_worker_drains_for_ten_seconds_at_most() -> None:
    config = WorkerConfig()
    assert (config.count, config.drain_limit) == (1, 10.0)
    assert config.drain_quiet < config.drain_limit


@pytest.mark.parametrize("count", ["0", "257", "-1", "two"])
def test_a_number_of_workers_that_cannot_run_is_refused(count: str) -> None:
    with pytest.raises(SettingsError, match=r"^--workers: "):
        load(Settings, {"workers": count}, {})


def test_the_event_loop_is_chosen_or_required() -> None:
    # YAML reads a bare `on` or `off` as a boolean.
    assert [load(Settings, {"uvloop": value}, {}).worker.uvloop for value in (True, False)] == [
        "on",
        "off",
    ]
    with pytest.raises(SettingsError, match="is not one of auto, on, off"):
        load(Settings, {"uvloop": "asyncio"}, {})


def test_a_reload_changes_the_drain_but_not_the_processes() -> None:
    new = Settings.of(workers=2, uvloop="off", drain_quiet=2.0, drain_limit=20.0)
    assert changed(Settings(), new) == (["drain_quiet", "drain_limit"], ["workers", "uvloop"])
