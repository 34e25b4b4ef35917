"""The source of the settings: an API server with its snapshot, and what it watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from dnsd.cluster.store import unpack
from dnsd.control.saving import SavingSource
from dnsd.control.settings import Settings
from dnsd.control.sources import kinds_of, kubernetes_config, kubernetes_source
from dnsd.dns.names import name_from_text
from dnsd.settings.schema import SettingsError
from dnsd.sources.kubernetes.snapshot import FILE, read
from dnsd.sources.source import Batch
from dnsd.zone.settings import ExternalZone, PolicyRule
from tests.fakekube import plain
from tests.fakekube.connect import QUICK
from tests.fakekube.server import FakeKube
from tests.helpers import eventually


@pytest.fixture
async def kube():
    async with FakeKube(uid="cluster-one", bookmark_every=0.02) as server:
        server.store.put("services", plain.service("web", "10.96.0.1"))
        yield server


@pytest.fixture
def settings(kube, tmp_path) -> Settings:
    path = tmp_path / "kubeconfig"
    path.write_text(kube.kubeconfig())
    state = tmp_path / "state"
    state.mkdir()
    return Settings.of(
        kubernetes=True, kubeconfig=str(path), state_dir=str(state), snapshot_every=0.02
    )


@asynccontextmanager
async def running(settings: Settings):
    """A source, running until the end of the block, and the batches it publishes."""
    source: SavingSource = await kubernetes_source(settings, QUICK)
    batches: list[Batch] = []
    task = asyncio.create_task(source.run(batches.append))
    try:
        yield source, batches
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def saved(settings: Settings) -> set[str]:
    """The names of the Services in the snapshot."""
    found = read(_path(settings), now=time.time(), max_age=1000.0)
    objects = map(unpack, found.objects) if found else ()
    return {one.name for one in objects if one.kind == "Service"}


def _path(settings: Settings) -> Path:
    return Path(settings.state_dir) / FILE


async def test_the_snapshot_has_each_change(kube, settings):
    async with running(settings):
        await eventually(lambda: saved(settings) == {"web"})
        kube.store.put("services", plain.service("new", "10.96.0.2"))
        await eventually(lambda: saved(settings) == {"web", "new"})


async def test_the_snapshot_is_written_when_the_source_stops(kube, settings):
    seldom = settings.updated(snapshot_every=3600.0)
    async with running(seldom) as (source, _):
        await eventually(lambda: source.source.state == "synced")
        assert not _path(settings).exists()
    assert saved(settings) == {"web"}


async def test_the_snapshot_is_written_on_request(kube, settings):
    seldom = settings.updated(snapshot_every=3600.0)
    async with running(seldom) as (source, _):
        assert await source.save() == ""  # it is not synced yet
        await eventually(lambda: source.source.state == "synced")
        assert await source.save() == str(_path(settings))
        assert saved(settings) == {"web"}
        await asyncio.to_thread(_path(settings).unlink)
        os.rmdir(settings.state_dir)
        with pytest.raises(FileNotFoundError):
            await source.save()


async def test_without_a_state_directory_no_snapshot_is_written(kube, settings, tmp_path):
    async with running(msgspec.structs.replace(settings, state_dir="")) as (source, _):
        await eventually(lambda: source.source.state == "synced")
    assert not _path(settings).exists()


async def test_credentials_that_cannot_be_used_name_the_setting(tmp_path):
    missing = Settings.of(kubernetes=True, kubeconfig=str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"--kubeconfig: .*none: no such file"):
        await kubernetes_source(missing)


class TestConfig:
    @pytest.mark.parametrize(
        ("policy", "needed"),
        [
            (PolicyRule(("*",), (), ("own",)), ("Pod",)),
            (PolicyRule((), ("10.0.0.0/8",), ()), ()),
        ],
    )
    def test_policies_by_namespace_need_pods(self, policy, needed):
        assert kubernetes_config(Settings.of(policies=(policy,))).needed == needed

    def test_the_config_has_the_settings(self):
        config = kubernetes_config(
            Settings.of(
                namespaces=("a", "b"),
                service_selector="x=y",
                stale_after=7.0,
                reconcile_every=0.0,
                pods="verified",
            )
        )
        assert config.namespaces == ("a", "b")
        assert config.service_selector == "x=y"
        assert (config.stale_after, config.reconcile_every) == (7.0, 0.0)
        assert "Pod" in config.kinds

    @pytest.mark.parametrize("pods", ["disabled", "insecure"])
    def test_pods_are_watched_for_verified_names_only(self, pods):
        assert "Pod" not in kubernetes_config(Settings.of(pods=pods)).kinds

    def test_only_kinds_that_a_setting_uses_are_watched(self):
        usual = {"Namespace", "Service", "EndpointSlice"}
        zones = (ExternalZone(name_from_text("b.example.")),)

        def kinds(**settings):
            return set(kinds_of(Settings.of(**settings)))

        assert kinds() == usual
        assert kinds(policies=(PolicyRule(("a",)),)) == {*usual, "Pod"}
        assert kinds(outside_names=("ingresses",)) == usual
        assert kinds(outside_zones=zones) == {*usual, "Node"}
        assert kinds(outside_zones=zones, outside_names=("ingresses",)) == {
            *usual,
            "Node",
            "Ingress",
        }
        routes = kinds(outside_zones=zones, outside_names=("routes", "dnsendpoints"))
        assert {"Gateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "DNSEndpoint"} < routes
