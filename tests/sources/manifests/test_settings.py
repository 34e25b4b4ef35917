"""The settings of manifests: what may be followed, and where addresses are from."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.control.settings import Settings
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError
from dnsd.sources.manifests.settings import ManifestConfig


def test_by_default_no_directory_is_followed() -> None:
    assert ManifestConfig().directory == ""


def test_the_directory_must_exist(tmp_path: Path) -> None:
    found = load(Settings, {"manifests": str(tmp_path)}, {})
    assert found.manifests.directory == str(tmp_path)
    with pytest.raises(SettingsError, match=r"^--manifests: .*/missing does not exist"):
        load(Settings, {"manifests": str(tmp_path / "missing")}, {})


def test_addresses_are_allocated_from_networks_of_both_families() -> None:
    found = load(Settings, {"service_cidr": ["10.0.0.0/16", "fd00::/108"]}, {})
    assert found.manifests.service_cidr == ("10.0.0.0/16", "fd00::/108")


@pytest.mark.parametrize(
    ("cidrs", "problem"),
    [
        ([], "has 0 values, give at least 1"),
        (["10.96.0.0/40"], "is not a network"),
        (["10.96.0.1/12"], "has host bits set; the network is 10.96.0.0/12"),
    ],
)
def test_a_value_that_is_not_a_list_of_networks_is_refused(cidrs: list[str], problem: str) -> None:
    with pytest.raises(SettingsError, match=f"^--service-cidr: .*{problem}"):
        load(Settings, {"service_cidr": cidrs}, {})
