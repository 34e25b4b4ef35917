"""The faults do what their names say, seen by a plain HTTP client."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.fakekube import faults, plain
from tests.fakekube.server import FakeKube
from tests.helpers import eventually

SERVICES = "/api/v1/services"
WATCH = {"watch": "true", "allowWatchBookmarks": "true"}


@pytest.fixture
async def kube():
    async with FakeKube() as server:
        server.store.put("services", plain.service("web", "10.96.0.1"))
        yield server


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as one:
        yield one


async def test_a_status_fault_applies_once(kube, session):
    kube.faults.append(faults.status(429, plural="services", retry_after="7"))
    async with session.get(kube.url + SERVICES) as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
        assert (await reply.json())["code"] == 429
    async with session.get(kube.url + SERVICES) as reply:
        assert reply.status == 200


async def test_a_fault_of_one_verb_does_not_apply_to_another(kube, session):
    kube.faults.append(faults.status(500, verb="watch"))
    async with session.get(kube.url + SERVICES) as reply:
        assert reply.status == 200
    async with session.get(kube.url + SERVICES, params=WATCH) as reply:
        assert reply.status == 500


async def test_an_error_event_or_a_close_ends_a_watch(kube, session):
    kube.faults += [faults.error(410), faults.close()]
    async with session.get(kube.url + SERVICES, params=WATCH) as reply:
        assert json.loads(await reply.read())["object"]["code"] == 410
    async with session.get(kube.url + SERVICES, params=WATCH) as reply:
        assert (reply.status, await reply.read()) == (200, b"")


async def test_cut_breaks_the_connection_within_a_line(kube, session):
    kube.faults.append(faults.cut(40))
    async with session.get(kube.url + SERVICES, params=WATCH) as reply:
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()


async def test_silence_hides_events(kube, session):
    kube.faults.append(faults.silence())
    async with session.get(kube.url + SERVICES, params=WATCH) as reply:
        kube.store.put("services", plain.service("more", "10.96.0.2"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reply.content.readany()


async def test_split_and_drip_keep_all_bytes(kube, session):
    async with session.get(kube.url + SERVICES) as reply:
        whole = await reply.read()
    for fault in (faults.split(7, times=1), faults.split(1, times=1)):
        kube.faults.append(fault)
        async with session.get(kube.url + SERVICES) as reply:
            assert await reply.read() == whole
    kube.faults.append(faults.drip(50, 0.001))
    async with session.get(kube.url + SERVICES, params=WATCH) as reply:
        assert json.loads(await reply.content.readline())["type"] == "ADDED"


async def test_a_lost_write_is_in_the_list_and_in_no_watch(kube, session):
    kube.store.lose("services")
    params = WATCH | {"resourceVersion": str(kube.store.revision)}
    async with session.get(kube.url + SERVICES, params=params) as reply:
        kube.store.put("services", plain.service("lost", "10.96.0.2"))
        kube.store.put("services", plain.service("kept", "10.96.0.3"))
        event = json.loads(await reply.content.readline())
        assert event["object"]["metadata"]["name"] == "kept"
    async with session.get(kube.url + SERVICES) as reply:
        names = [item["metadata"]["name"] for item in (await reply.json())["items"]]
        assert names == ["kept", "lost", "web"]


async def test_a_watch_behind_a_compaction_gets_410(kube, session):
    params = WATCH | {"resourceVersion": str(kube.store.revision)}
    async with session.get(kube.url + SERVICES, params=params) as reply:
        kube.store.put("services", plain.service("more", "10.96.0.2"))
        kube.store.compact()
        assert json.loads(await reply.content.readline())["object"]["code"] == 410


async def test_streams_end_properly_or_abruptly(kube, session):
    params = WATCH | {"resourceVersion": str(kube.store.revision)}
    async with session.get(kube.url + SERVICES, params=params) as reply:
        await eventually(lambda: kube.watchers)
        kube.end_streams()
        assert await reply.read() == b""
    await eventually(lambda: not kube.watchers)
    port = kube.port
    await kube.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(kube.url + SERVICES)
    await kube.start()
    assert kube.port == port
