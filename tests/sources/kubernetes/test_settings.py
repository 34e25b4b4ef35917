"""The settings of the API server: what is followed by default, and which times are possible."""

from __future__ import annotations

import pytest

from dnsd.control.settings import Settings
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError
from dnsd.sources.kubernetes.settings import KubernetesConfig


def test_by_default_all_namespaces_are_followed_without_selectors() -> None:
    config = KubernetesConfig()
    assert not config.on
    assert (config.namespaces, config.namespace_selector, config.service_selector) == ((), "", "")


def test_namespaces_services_and_their_endpoints_are_always_followed() -> None:
    assert KubernetesConfig().kinds == ("Namespace", "Service", "EndpointSlice")


def test_a_quiet_cluster_is_not_stale() -> None:
    """An API server sends a bookmark about once a minute on each watch."""
    assert KubernetesConfig().stale_after > 60


def test_a_snapshot_is_served_for_longer_than_it_is_kept_unwritten() -> None:
    config = KubernetesConfig()
    assert config.snapshot_max_age > config.snapshot_every


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stale_after", "0s"),
        ("reconcile_every", "8d"),
        ("page_size", "0"),
        ("snapshot_every", "1ms"),
        ("snapshot_max_age", "366d"),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{value} is not in "):
        load(Settings, {name: value}, {})


def test_zero_turns_the_comparison_with_full_lists_off() -> None:
    assert load(Settings, {"reconcile_every": "0s"}, {}).kubernetes.reconcile_every == 0


@pytest.mark.parametrize("name", ["team_a", "-a", "a" * 64])
def test_a_namespace_is_a_dns_label(name: str) -> None:
    with pytest.raises(SettingsError, match="is not a namespace"):
        load(Settings, {"namespaces": [name]}, {})
