"""Manifests read without serving: the same zone each time, and every problem in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from dnsd.control.offline import SERIAL, read, views_of
from dnsd.control.settings import Settings
from dnsd.settings.schema import SettingsError
from dnsd.zone.settings import PolicyRule, ViewConfig
from dnsd.zone.text import zone_text
from tests.serving import service


def of(folder: Path) -> Settings:
    return Settings.of(manifests=str(folder))


def test_the_same_manifests_give_the_same_zone(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(service("web", "10.96.0.1"))
    first, second = (read(of(tmp_path)).pipeline.zone for _ in range(2))
    assert first.serial == second.serial == SERIAL
    texts = ["\n".join(zone_text(zone, zone.apexes()[0])) for zone in (first, second)]
    assert texts[0] == texts[1]
    assert "web.default.svc" in texts[0]


def test_refused_manifests_and_objects_that_are_not_served_are_problems(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: Service\nspec: [\n")
    (tmp_path / "alias.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: alias}\n"
        "spec: {type: ExternalName, externalName: 192.0.2.1}\n"
    )
    refused, unserved = read(of(tmp_path)).problems()
    assert refused.startswith(f"{tmp_path}/bad.yaml:")
    assert unserved.startswith(f"{tmp_path}/alias.yaml")
    assert "Service default/alias: " in unserved


def test_a_directory_that_cannot_be_read_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--manifests: .*missing"):
        read(of(tmp_path / "missing"))


def test_views_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = of(tmp_path)
    pipeline = read(settings).pipeline
    assert views_of(settings, pipeline) is None
    rule = PolicyRule(networks=("192.0.2.0/24",))
    limited = replace(settings, views=ViewConfig(policies=(rule,)))
    views = views_of(limited, pipeline)
    assert views is not None
    assert views.of_client(bytes((192, 0, 2, 1))).namespaces == frozenset()
