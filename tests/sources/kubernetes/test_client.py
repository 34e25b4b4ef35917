"""One request at a time: its result, its limits, and its errors."""

from __future__ import annotations

import itertools
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.sources.kubernetes.client import LineSplitter, seconds_of
from dnsd.sources.kubernetes.errors import ApiError, Silent, Unreachable
from tests.fakekube import faults, plain
from tests.fakekube.connect import client_of
from tests.fakekube.server import FakeKube
from tests.helpers import eventually

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
    async def test_a_refusal_is_an_api_error_with_the_message_of_the_server(self, kube, client):
        kube.faults.append(faults.status(429, retry_after="3"))
        with pytest.raises(ApiError, match="too many requests") as caught:
            await client.fetch(SERVICES, dict)
        error = caught.value
        assert (error.status, error.reason, error.retry_after) == (429, "TooManyRequests", 3.0)
        assert not error.in_stream

    async def test_a_broken_connection_is_unreachable(self, kube, client):
        kube.faults.append(faults.cut(20, verb="list"))
        with pytest.raises(Unreachable, match=SERVICES):
            await client.fetch(SERVICES, dict)

    async def test_a_page_has_a_time_limit(self, kube, tmp_path):
        kube.faults.append(faults.split(1))
        kube.faults[0].pause = 0.05
        async with client_of(kube, tmp_path, page=0.2) as client:
            with pytest.raises(Unreachable, match=r"no page in 0\.2 s"):
                await client.fetch(SERVICES, dict)

    async def test_the_error_of_a_closed_port_names_the_server(self, kube, client):
        await kube.stop()
        with pytest.raises(Unreachable, match=kube.url):
            await client.fetch(SERVICES, dict)

    async def test_parameters_are_encoded(self, kube, client):
        params = {"labelSelector": "a in (b,c),d!=e&f", "limit": "1"}
        await client.fetch(SERVICES, dict, params)
        assert kube.seen[-1].params == params

    async def test_a_connection_is_reused(self, kube, client):
        for _ in range(3):
            await client.fetch(SERVICES, dict)
        assert len({seen.peer for seen in kube.seen}) == 1


class TestLines:
    async def test_an_empty_list_reports_the_connection_before_the_lines(self, client):
        connected, lines = await read(client, pieces=2)
        assert connected == []
        assert b'"ADDED"' in lines[0]

    async def test_the_first_pause_is_reported_once(self, kube, client):
        found = await read(client, WATCH | {"timeoutSeconds": "1"})
        assert [bool(piece) for piece in found] == [False, True, False]

    async def test_silence_has_a_time_limit(self, kube, client):
        kube.faults.append(faults.silence())
        with pytest.raises(Silent, match=SERVICES):
            await read(client, idle=0.1)

    async def test_an_abandoned_stream_is_closed(self, kube, client):
        await read(client, pieces=2)
        await eventually(lambda: not kube.watchers)


class TestLineSplitter:
    @settings(deadline=None, max_examples=150)
    @given(
        lines=st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=20),
        cuts=st.lists(st.integers(0, 600), max_size=40),
    )
    def test_lines_split_anywhere_are_complete_and_not_empty(self, lines, cuts):
        data = b"".join(line + b"\n" for line in lines)
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        splitter = LineSplitter()
        out = [
            line
            for start, end in itertools.pairwise(edges)
            for line in splitter.feed(data[start:end])
        ]
        assert out == [line for line in lines if line]

    @settings(deadline=None, max_examples=150)
    @given(lines=st.lists(st.integers(0, 30), max_size=12), size=st.integers(1, 40))
    def test_only_lines_beyond_the_limit_are_skipped_and_counted(self, lines, size):
        data = b"".join(b"x" * length + b"\n" for length in lines)
        splitter = LineSplitter(limit=10)
        out = [
            line
            for start in range(0, len(data), size)
            for line in splitter.feed(data[start : start + size])
        ]
        assert [len(line) for line in out] == [length for length in lines if 0 < length <= 10]
        assert splitter.skipped == sum(length > 10 for length in lines)

    def test_an_incomplete_line_is_kept_for_the_next_chunk(self):
        splitter = LineSplitter()
        assert splitter.feed(b"begun") == []
        assert splitter.feed(b" and ended\nnext") == [b"begun and ended"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 30 ", 30.0),
        ("Mon, 23 Nov 2026 01:00:10 GMT", 10.0),
        ("Mon, 23 Nov 2026 00:00:00 GMT", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("9" * 400, 1e9),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float) -> None:
    assert min(seconds_of(text, 1795395600.0), 1e9) == pytest.approx(seconds, abs=0.5) or (
        seconds == 1e9 and seconds_of(text, 0.0) >= 9e8
    )
