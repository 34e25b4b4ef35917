"""One GET at a time: what comes back, and what is said when it does not."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from dnsd.sources.kubernetes.errors import ApiError, Silent, Unreachable
from tests.fakekube import faults, plain
from tests.fakekube.connect import client_of
from tests.fakekube.server import FakeKube

SERVICES = "/api/v1/services"
WATCH = {"watch": "true", "resourceVersion": "3"}


@pytest.fixture
async def kube():
    async with FakeKube() as server:
        server.store.put("services", plain.service("web", "10.96.0.1"))
        yield server


@pytest.fixture
async def client(kube, tmp_path):
    async with client_of(kube, tmp_path) as one:
        yield one


async def read(client, params=WATCH, idle=5.0, pieces=100) -> list[list[bytes]]:
    found = []
    async with aclosing(client.lines(SERVICES, params, lambda: idle)) as lines:
        async for piece in lines:
            found.append(piece)
            if len(found) == pieces:
                break
    return found


class TestPage:
    async def test_refusals_are_api_errors_with_what_the_server_said(self, kube, client):
        kube.faults.append(faults.status(429, retry_after="3"))
        with pytest.raises(ApiError, match="too many requests") as caught:
            await client.fetch(SERVICES, dict)
        error = caught.value
        assert (error.status, error.reason, error.retry_after) == (429, "TooManyRequests", 3.0)
        assert not error.in_stream

    async def test_a_connection_that_breaks_off_is_unreachable(self, kube, client):
        kube.faults.append(faults.cut(20, verb="list"))
        with pytest.raises(Unreachable, match=SERVICES):
            await client.fetch(SERVICES, dict)

    async def test_a_page_that_never_ends_is_given_up(self, kube, tmp_path):
        kube.faults.append(faults.split(1))
        kube.faults[0].pause = 0.05
        async with client_of(kube, tmp_path, page=0.2) as client:
            with pytest.raises(Unreachable, match=r"no page in 0\.2 s"):
                await client.fetch(SERVICES, dict)

    async def test_nobody_listening_names_the_server(self, kube, client):
        await kube.stop()
        with pytest.raises(Unreachable, match=kube.url):
            await client.fetch(SERVICES, dict)

    async def test_parameters_arrive_as_they_were_meant(self, kube, client):
        params = {"labelSelector": "a in (b,c),d!=e&f", "limit": "1"}
        await client.fetch(SERVICES, dict, params)
        assert kube.seen[-1].params == params

    async def test_connections_are_used_again(self, kube, client):
        for _ in range(3):
            await client.fetch(SERVICES, dict)
        assert len(client._rest.pool_manager.connector._conns) == 1


class TestLines:
    async def test_first_comes_the_connection_then_lines(self, client):
        connected, lines = await read(client, pieces=2)
        assert connected == []
        assert b'"ADDED"' in lines[0]

    async def test_a_pause_is_said_once_and_after_lines_too(self, kube, client):
        found = await read(client, WATCH | {"timeoutSeconds": "1"})
        assert [bool(piece) for piece in found] == [False, True, False]

    async def test_silence_has_an_end(self, kube, client):
        kube.faults.append(faults.silence())
        with pytest.raises(Silent, match=SERVICES):
            await read(client, idle=0.1)

    async def test_a_stream_that_is_left_is_closed(self, kube, client):
        await read(client, pieces=2)
        async with asyncio.timeout(10):
            while kube.watchers:  # noqa: ASYNC110 - the server's own count
                await asyncio.sleep(0.005)
