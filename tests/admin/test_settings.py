"""The settings of the admin API: closed by default, and how they are named."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from dnsd.admin.settings import AdminConfig
from dnsd.control.settings import Settings
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError, declared


def test_by_default_the_api_is_reached_from_this_host_with_a_token_of_dnsd() -> None:
    config = AdminConfig()
    assert config.listen is not None
    assert ip_address(config.listen.host).is_loopback
    assert not any((config.anonymous_read, config.cluster_tokens, config.tokens, config.hosts))


@pytest.mark.parametrize("value", ["off", "OFF", False])
def test_the_api_can_be_off(value: object) -> None:
    # YAML reads a bare `off` as a boolean.
    assert load(Settings, {"admin": value}, {}).admin.listen is None


def test_the_settings_are_named_after_the_api() -> None:
    names = [name for name in declared(AdminConfig) if not name.startswith("admin_")]
    assert names == ["admin", "query_samples"]


def test_hosts_are_compared_in_small_letters_without_the_final_dot() -> None:
    assert load(Settings, {"admin_hosts": "DNSd.Example.com."}, {}).admin.hosts == (
        "dnsd.example.com",
    )


def test_a_file_of_tokens_or_of_a_key_must_exist(tmp_path: Path) -> None:
    for name in ("admin_tokens", "admin_tls_cert", "admin_tls_key"):
        with pytest.raises(SettingsError, match="missing does not exist"):
            load(Settings, {name: str(tmp_path / "missing")}, {})
