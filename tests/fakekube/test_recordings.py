"""The fake server answers each recorded request as the real kube-apiserver did."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.fakekube import replay
from tests.fakekube.replay import Recording
from tests.fakekube.server import FakeKube
from tests.helpers import eventually

PLURALS = ("namespaces", "services", "endpointslices", "pods", "nodes")


def plains(recording: Recording) -> list[dict[str, Any]]:
    """The JSON documents of a body: one, or one a line."""
    return [json.loads(line) for line in recording.body.splitlines() if line]


def listed(name: str) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(replay.load(name).body)
    return whole


@pytest.fixture
async def kube():
    """A server that holds what the recorded one held, at its revision 247."""
    async with FakeKube() as server:
        server.store.objects.clear()
        server.store.log.clear()
        for plural in PLURALS:
            whole = listed(f"list-{plural}")
            for item in whole["items"]:
                kind = whole["kind"].removesuffix("List")
                typed = {"kind": kind, "apiVersion": whole["apiVersion"]}
                server.store.put(plural, typed | item, exact=True)
        server.store.revision = 247
        server.store.compact(100)
        yield server


async def ask(
    kube: FakeKube, recording: Recording, *, lines: int = 0
) -> tuple[int, str, list[dict[str, Any]]]:
    """Status, content type and documents of the recorded request; of a stream so many lines."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(kube.url + recording.path, params=recording.params) as reply,
    ):
        if lines:
            got = [await reply.content.readline() for _ in range(lines)]
        else:
            got = (await reply.read()).splitlines()
        kind = reply.headers["Content-Type"]
        if kind.startswith("text/plain"):
            return reply.status, kind, []
        return reply.status, kind, [json.loads(line) for line in got if line]


def same(recording: Recording, got: tuple[int, str, list[dict[str, Any]]]) -> None:
    status, kind, documents = got
    assert status == recording.status
    assert kind == recording.headers["Content-Type"]
    assert documents == plains(recording)


@pytest.mark.parametrize("plural", PLURALS)
async def test_a_list_is_the_recorded_list(kube, plural):
    recording = replay.load(f"list-{plural}")
    same(recording, await ask(kube, recording))


async def test_pages_are_the_recorded_pages(kube):
    for name in ("list-page-1", "list-page-2"):
        recording = replay.load(name)
        same(recording, await ask(kube, recording))


async def test_an_expired_continue_token_is_refused_with_a_new_one(kube):
    kube.store.put("services", json.loads(replay.load("list-page-1").body)["items"][0])
    kube.store.compact()
    recording = replay.load("list-continue-expired")
    same(recording, await ask(kube, recording))


async def test_the_new_continue_token_gives_the_current_rest(kube):
    expired = json.loads(replay.load("list-continue-expired").body)["metadata"]["continue"]
    recording = replay.load("list-page-2")
    recording.params["continue"] = expired
    _, _, (page,) = await ask(kube, recording)
    rest = [item["metadata"]["name"] for item in json.loads(recording.body)["items"]]
    assert [item["metadata"]["name"] for item in page["items"]][: len(rest)] == rest


@pytest.mark.parametrize(
    "name",
    [
        "kube-system",
        "list-exact-too-old",
        "watch-bad-version",
        "watch-send-initial-events-without-match",
    ],
)
async def test_the_answer_is_the_recorded_one(kube, name):
    recording = replay.load(name)
    same(recording, await ask(kube, recording))


async def test_an_unknown_resource_is_a_plain_404(kube):
    recording = replay.load("no-such-resource")
    status, kind, _ = await ask(kube, recording)
    assert (status, kind) == (404, recording.headers["Content-Type"])


async def test_no_token_is_401(kube):
    kube.tokens = {"right"}
    recording = replay.load("unauthorized")
    same(recording, await ask(kube, recording))


async def test_a_missing_rule_is_403_and_named(kube):
    kube.forbidden = {("list", "services"), ("watch", "endpointslices")}
    for name in ("forbidden-list", "forbidden-watch"):
        recording = replay.load(name)
        same(recording, await ask(kube, recording))


async def test_a_version_too_old_is_410_in_the_stream(kube):
    kube.store.revision = 300
    kube.store.compact()
    recording = replay.load("watch-too-old")
    same(recording, await ask(kube, recording))


async def test_a_server_without_watch_list_sends_500_in_the_stream(kube):
    kube.watch_list = "error"
    recording = replay.load("watch-list-unsupported")
    same(recording, await ask(kube, recording))


async def test_a_version_from_the_future_is_200_and_silence(kube):
    recording = replay.load("watch-future-version")
    recording.params["timeoutSeconds"] = "1"
    same(recording, await ask(kube, recording))


async def test_a_quiet_kind_gets_bookmarks(kube):
    kube.bookmark_every = 0.02
    kube.store.revision = 278
    recording = replay.load("watch-bookmarks")
    recording.params["resourceVersion"] = "278"
    same(recording, await ask(kube, recording, lines=1))


def write(kube: FakeKube, event: dict[str, Any], plural: str) -> None:
    """Make the recorded write again."""
    meta = event["object"]["metadata"]
    if event["type"] == "DELETED":
        kube.store.revision = int(meta["resourceVersion"]) - 1
        kube.store.delete(plural, meta["name"], meta.get("namespace", ""))
    elif event["type"] != "BOOKMARK":
        kube.store.put(plural, event["object"], exact=True)


async def test_a_watch_list_is_the_recorded_one(kube):
    """Initial objects, the bookmark that ends them, then what happens, in the same words."""
    recording = replay.load("watch-list")
    events = plains(recording)
    end = next(at for at, event in enumerate(events) if event["type"] == "BOOKMARK")

    async def write_later() -> None:
        await eventually(lambda: kube.watchers)
        for event in events[end + 1 :]:
            write(kube, event, "services")

    writing = asyncio.create_task(write_later())
    same(recording, await ask(kube, recording, lines=len(events)))
    await writing


async def test_a_watch_from_a_version_is_the_recorded_one(kube):
    recording = replay.load("watch-from-version")
    events = plains(recording)
    for event in events:
        write(kube, event, "services")
    same(recording, await ask(kube, recording, lines=len(events)))


async def test_a_watch_of_any_version_begins_with_all_objects(kube):
    """resourceVersion=0: synthetic ADDED events, and on this server the end mark too."""
    for event in plains(replay.load("watch-from-version")):
        write(kube, event, "services")
    kube.store.revision = 300
    recording = replay.load("watch-list-resume-then-restart")
    recording.params["timeoutSeconds"] = "1"
    same(recording, await ask(kube, recording))


async def test_events_of_endpoint_slices_are_those_recorded(kube):
    recording = replay.load("watch-endpointslices")
    events = plains(recording)
    end = next(at for at, event in enumerate(events) if event["type"] == "BOOKMARK")
    kube.store.revision = 255
    live = [event for event in events[end + 1 :] if event["type"] != "BOOKMARK"]

    async def write_later() -> None:
        await eventually(lambda: kube.watchers)
        for event in live:
            write(kube, event, "endpointslices")

    writing = asyncio.create_task(write_later())
    _, _, got = await ask(kube, recording, lines=end + 1 + len(live))
    await writing
    assert got == events[: end + 1] + live


def test_every_recording_is_used():
    """A recording that no test of the fake or of the reflector names proves nothing."""
    texts = "".join(
        path.read_text()
        for path in [
            replay.FOLDER.parent / "test_recordings.py",
            replay.FOLDER.parent.parent / "sources" / "kubernetes" / "test_reflector.py",
        ]
    )
    generated = {f"list-{plural}" for plural in PLURALS}
    unused = [name for name in replay.names() if f'"{name}"' not in texts]
    assert set(unused) - generated == set()
