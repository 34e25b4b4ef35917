"""The fake server satisfies the official client: typed lists, pages, watches, TLS, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml
from kubernetes.aio import client, watch
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import load_kube_config

from tests.certificates import Authority
from tests.fakekube import plain
from tests.fakekube.server import FakeKube


@asynccontextmanager
async def api(kube: FakeKube, token: str = "") -> AsyncIterator[Any]:
    configuration = client.Configuration(host=kube.url)
    if token:
        configuration.api_key["BearerToken"] = f"Bearer {token}"
    async with client.ApiClient(configuration) as one:
        yield one


@pytest.fixture
async def kube():
    async with FakeKube() as server:
        for number in range(5):
            server.store.put("services", plain.service(f"web-{number}", f"10.96.0.{number + 1}"))
        server.store.put("endpointslices", plain.endpoint_slice("web-0-a", "web-0", ["10.1.0.1"]))
        yield server


async def test_typed_lists_can_be_read(kube):
    async with api(kube) as one:
        services = await client.CoreV1Api(one).list_service_for_all_namespaces()
        slices = await client.DiscoveryV1Api(one).list_endpoint_slice_for_all_namespaces()
        spaces = await client.CoreV1Api(one).list_namespace(
            label_selector="kubernetes.io/metadata.name in (default)"
        )
    assert [service.spec.cluster_ip for service in services.items] == [
        f"10.96.0.{number + 1}" for number in range(5)
    ]
    assert slices.items[0].endpoints[0].addresses == ["10.1.0.1"]
    assert [space.metadata.name for space in spaces.items] == ["default"]


async def test_pages_continue_at_one_version(kube):
    async with api(kube) as one:
        core = client.CoreV1Api(one)
        first = await core.list_service_for_all_namespaces(limit=2)
        kube.store.delete("services", "web-3", "default")
        second = await core.list_service_for_all_namespaces(
            limit=2, _continue=first.metadata._continue
        )
        third = await core.list_service_for_all_namespaces(
            limit=2, _continue=second.metadata._continue
        )
    names = [item.metadata.name for page in (first, second, third) for item in page.items]
    assert names == [f"web-{number}" for number in range(5)]
    assert {page.metadata.resource_version for page in (first, second, third)} == {
        first.metadata.resource_version
    }
    assert first.metadata.remaining_item_count == 3


async def test_a_continue_expires_when_its_version_is_compacted(kube):
    async with api(kube) as one:
        core = client.CoreV1Api(one)
        first = await core.list_service_for_all_namespaces(limit=2)
        kube.store.put("services", plain.service("more", "10.96.1.1"))
        kube.store.compact()
        with pytest.raises(ApiException) as caught:
            await core.list_service_for_all_namespaces(limit=2, _continue=first.metadata._continue)
    assert caught.value.status == 410


async def test_a_typed_watch_yields_every_write(kube):
    async with api(kube) as one:
        core = client.CoreV1Api(one)
        listed = await core.list_service_for_all_namespaces()
        kube.store.put("services", plain.service("new", "10.96.1.1"))
        kube.store.put("services", plain.service("new", "10.96.1.2"))
        kube.store.delete("services", "new", "default")
        got = []
        async with asyncio.timeout(20):
            stream = watch.Watch().stream(
                core.list_service_for_all_namespaces,
                resource_version=listed.metadata.resource_version,
                timeout_seconds=1,
            )
            async for event in stream:
                got.append((event["type"], event["object"].spec.cluster_ip))
                if len(got) == 3:
                    break
    assert got == [("ADDED", "10.96.1.1"), ("MODIFIED", "10.96.1.2"), ("DELETED", "10.96.1.2")]


async def test_a_watch_with_a_selector_deletes_objects_that_no_longer_match(kube):
    async with api(kube) as one:
        core = client.CoreV1Api(one)
        version = (await core.list_service_for_all_namespaces()).metadata.resource_version
        kube.store.put("services", plain.service("new", "10.96.1.1", labels={"tier": "web"}))
        kube.store.put("services", plain.service("new", "10.96.1.1", labels={"tier": "db"}))
        got = []
        async with asyncio.timeout(20):
            stream = watch.Watch().stream(
                core.list_service_for_all_namespaces,
                label_selector="tier=web",
                resource_version=version,
                timeout_seconds=1,
            )
            async for event in stream:
                got.append(event["type"])
                if len(got) == 2:
                    break
    assert got == ["ADDED", "DELETED"]


async def test_a_missing_token_or_rule_is_refused(kube):
    kube.tokens = {"right"}
    async with api(kube, "wrong") as one:
        with pytest.raises(ApiException) as caught:
            await client.CoreV1Api(one).list_namespace()
        assert caught.value.status == 401
    kube.forbidden = {("list", "services")}
    async with api(kube, "right") as one:
        assert len((await client.CoreV1Api(one).list_namespace()).items) == 2
        with pytest.raises(ApiException) as caught:
            await client.CoreV1Api(one).list_service_for_all_namespaces()
    assert caught.value.status == 403


async def test_a_client_certificate_authorizes(tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.pair("reader")
    async with FakeKube(tls=authority.server()) as kube:
        kube.tokens = {"another"}
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        text = kube.kubeconfig(user, {"certificate-authority": str(authority.ca)})
        path = tmp_path / "config"
        path.write_text(text)
        assert yaml.safe_load(text)["current-context"] == "fake"
        configuration = client.Configuration()
        await load_kube_config(str(path), client_configuration=configuration)
        async with client.ApiClient(configuration) as one:
            spaces = await client.CoreV1Api(one).list_namespace()
    assert [space.metadata.name for space in spaces.items] == ["default", "kube-system"]
