"""The limits of connections: which are settings, and how they relate to each other."""

from __future__ import annotations

import pytest

from dnsd.control.settings import Settings
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError, declared
from dnsd.transport.limits import StreamLimits


def test_the_settings_are_named_after_tcp() -> None:
    assert list(declared(StreamLimits)) == [
        "tcp_max_connections",
        "tcp_max_per_client",
        "tcp_idle_timeout",
    ]


def test_a_reload_changes_every_limit() -> None:
    assert all(one.setting.reload for one in declared(StreamLimits).values())


def test_one_client_cannot_take_all_connections() -> None:
    limits = StreamLimits()
    assert limits.per_client < limits.max_connections


def test_upstreams_cannot_take_longer_than_a_connection_waits() -> None:
    seconds = StreamLimits().deferred_timeout
    with pytest.raises(SettingsError, match="is not in 50ms to 1m"):
        load(Settings, {"upstream_timeout": seconds}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tcp_max_connections", "0"),
        ("tcp_max_per_client", "0"),
        ("tcp_idle_timeout", "0s"),
        ("tcp_idle_timeout", "2h"),
    ],
)
def test_a_limit_that_allows_no_connection_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{value} is not in "):
        load(Settings, {name: value}, {})
