"""The reflector against recorded and faked API servers: each generator, then all together."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from dnsd.cluster.objects import RESOURCES, Event, Key, Service
from dnsd.sources.kubernetes.errors import ApiError, Silent, Unreachable
from dnsd.sources.kubernetes.reflector import (
    ListWatch,
    Retry,
    WatchChunk,
    listing,
    pages,
    reflect,
    watch,
    whole,
)
from dnsd.sources.kubernetes.scope import Scope
from tests.fakekube import faults, plain, replay
from tests.fakekube.connect import client_of
from tests.fakekube.replay import Replay
from tests.fakekube.server import FakeKube

SERVICES = Scope(RESOURCES["Service"])


@pytest.fixture
async def kube():
    async with FakeKube() as server:
        for number in range(5):
            server.store.put("services", plain.service(f"web-{number}", f"10.96.0.{number + 1}"))
        yield server


@pytest.fixture
async def list_watch(kube, tmp_path):
    async with client_of(kube, tmp_path) as client:
        yield ListWatch(client, SERVICES, page_size=2, rng=random.Random(1))


def named(events: list[Event]) -> list[str]:
    """Names of objects, and of Keys with a minus in front."""
    return [f"-{event.name}" if isinstance(event, Key) else event.name for event in events]


class Recorder:
    """The chunks and retries of a generator."""

    def __init__(self) -> None:
        self.chunks: list[WatchChunk] = []
        self.retries: list[Retry] = []

    @property
    def events(self) -> list[Event]:
        return [event for chunk in self.chunks for event in chunk.events]

    @property
    def version(self) -> str:
        return next((chunk.version for chunk in reversed(self.chunks) if chunk.version), "")

    @property
    def listings(self) -> int:
        return sum(chunk.complete for chunk in self.chunks)


async def collect(
    steps, enough=lambda recorded: False, recorded: Recorder | None = None
) -> Recorder:
    """Collect the steps of a generator until `enough(recorded)` or its end."""
    recorded = recorded or Recorder()
    async with asyncio.timeout(20), aclosing(steps) as steps:
        async for step in steps:
            (recorded.retries if isinstance(step, Retry) else recorded.chunks).append(step)
            if enough(recorded):
                break
    return recorded


# ---------------------------------------------------------------------------------------


class TestRecordings:
    """Each exchange with a real server, replayed to the generator that handles it."""

    async def play(self, name: str, tmp_path: Path, steps, enough=lambda recorded: False, **timing):
        recording = replay.load(name)
        kind = {
            "namespaces": "Namespace",
            "endpointslices": "EndpointSlice",
            "pods": "Pod",
            "nodes": "Node",
        }.get(recording.path.split("/")[-1], "Service")
        async with (
            Replay(recording) as server,
            client_of(server, tmp_path, **timing) as client,
        ):
            list_watch = ListWatch(client, Scope(RESOURCES[kind]), 0, watch_list=False)
            return await collect(steps(list_watch), enough)

    @pytest.mark.parametrize(
        ("name", "names"),
        [
            ("list-namespaces", ["default", "kube-node-lease", "kube-public", "kube-system"]),
            (
                "list-services",
                [
                    "db",
                    "externalname-svc",
                    "kubernetes",
                    "loadbalancer-service",
                    "nodeport-service",
                    "webui-svc",
                ],
            ),
        ],
    )
    async def test_a_list_yields_every_object_and_its_version(self, name, names, tmp_path):
        recorded = await self.play(name, tmp_path, pages)
        assert named(recorded.events) == names
        assert recorded.chunks[-1].complete
        assert recorded.version == "247"

    @pytest.mark.parametrize("name", ["list-endpointslices", "list-pods", "list-nodes"])
    async def test_a_list_of_another_kind_yields_every_object(self, name, tmp_path):
        recorded = await self.play(name, tmp_path, pages)
        items = msgspec.json.decode(replay.load(name).body)["items"]
        assert named(recorded.events) == [item["metadata"]["name"] for item in items]
        assert not any(chunk.refused for chunk in recorded.chunks)

    async def test_the_next_page_is_requested_with_the_continue_token(self, tmp_path):
        first = replay.load("list-page-1")
        async with Replay(first) as server, client_of(server, tmp_path) as client:
            steps = pages(ListWatch(client, SERVICES, 2))
            recorded = await collect(steps, lambda recorded: len(recorded.chunks) == 2)
            token = msgspec.json.decode(first.body)["metadata"]["continue"]
        assert server.requests[1] == (first.path, {"limit": "2", "continue": token})
        assert [chunk.begin for chunk in recorded.chunks] == [True, False]
        assert not recorded.listings

    async def test_a_middle_page_does_not_complete_the_listing(self, tmp_path):
        recorded = await self.play("list-page-2", tmp_path, pages, lambda recorded: recorded.chunks)
        assert len(recorded.events) == 2
        assert (recorded.listings, recorded.version) == (0, "")

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("forbidden-list", 403),
            ("unauthorized", 401),
            ("no-such-resource", 404),
            ("list-continue-expired", 410),
            ("list-exact-too-old", 410),
        ],
    )
    async def test_a_refused_list_is_an_api_error(self, name, status, tmp_path):
        with pytest.raises(ApiError) as caught:
            await self.play(name, tmp_path, pages)
        assert (caught.value.status, caught.value.in_stream) == (status, False)
        assert caught.value.expired == (status == 410)

    async def test_watch_list_completes_with_its_bookmark_and_continues_live(self, tmp_path):
        recorded = await self.play(
            "watch-list",
            tmp_path,
            lambda list_watch: watch(list_watch, ""),
            lambda h: "-fresh" in named(h.events),
        )
        initial = [event for chunk in recorded.chunks if chunk.listing for event in chunk.events]
        live = [event for chunk in recorded.chunks if not chunk.listing for event in chunk.events]
        listed = msgspec.json.decode(replay.load("list-services").body)["items"]
        assert named(initial) == [item["metadata"]["name"] for item in listed]
        assert recorded.listings == 1
        assert named(live) == ["fresh", "fresh", "externalname-svc", "-fresh"]
        turned = live[2]
        assert isinstance(turned, Service)
        assert (turned.type, turned.external_name) == ("ClusterIP", "")

    async def test_a_line_may_be_split_over_chunks(self, tmp_path):
        recorded = await self.play(
            "watch-endpointslices", tmp_path, lambda list_watch: watch(list_watch, "")
        )
        assert recorded.listings == 1
        assert recorded.version == "264"
        live = [event for chunk in recorded.chunks if not chunk.listing for event in chunk.events]
        assert [event.version for event in live] == ["258", "262", "264"]

    async def test_a_watch_from_a_version_yields_the_events_after_it(self, tmp_path):
        recorded = await self.play(
            "watch-from-version", tmp_path, lambda list_watch: watch(list_watch, "247")
        )
        assert named(recorded.events) == ["fresh", "fresh", "externalname-svc", "-fresh"]
        assert recorded.version == "253"

    async def test_a_watch_without_a_version_begins_with_a_listing(self, tmp_path):
        recorded = await self.play(
            "watch-list-resume-then-restart", tmp_path, lambda list_watch: watch(list_watch, "")
        )
        assert (recorded.listings, recorded.version) == (1, "300")

    async def test_bookmarks_alone_advance_the_version(self, tmp_path):
        recorded = await self.play(
            "watch-bookmarks",
            tmp_path,
            lambda list_watch: watch(list_watch, "247"),
            lambda h: h.version,
        )
        assert (recorded.events, recorded.version) == ([], "278")

    @pytest.mark.parametrize(
        ("name", "status", "in_stream"),
        [
            ("watch-too-old", 410, True),
            ("watch-list-unsupported", 500, True),
            ("watch-send-initial-events-without-match", 422, False),
            ("watch-bad-version", 500, False),
            ("forbidden-watch", 403, False),
        ],
    )
    async def test_a_refused_watch_is_an_api_error(self, name, status, in_stream, tmp_path):
        with pytest.raises(ApiError) as caught:
            await self.play(name, tmp_path, lambda list_watch: watch(list_watch, "1"))
        assert (caught.value.status, caught.value.in_stream) == (status, in_stream)

    async def test_a_watch_from_a_future_version_ends_without_data(self, tmp_path):
        recorded = await self.play(
            "watch-future-version", tmp_path, lambda list_watch: watch(list_watch, "99999999")
        )
        assert recorded.chunks
        assert not any(chunk.has_data for chunk in recorded.chunks)

    @pytest.mark.parametrize("name", ["version", "kube-system"])
    async def test_other_answers_are_decoded(self, name, tmp_path):
        recording = replay.load(name)
        async with Replay(recording) as server, client_of(server, tmp_path) as client:
            found = await client.fetch(recording.path, dict)
            assert found == msgspec.json.decode(recording.body)

    async def test_an_answer_that_is_not_json_is_unreachable(self, tmp_path):
        recording = replay.load("readyz")
        async with Replay(recording) as server, client_of(server, tmp_path) as client:
            with pytest.raises(Unreachable, match="the answer is not a dict"):
                await client.fetch(recording.path, dict)


class TestListing:
    """WatchList first, and pages if the server does not support it."""

    async def test_watch_list_sends_the_documented_parameters(self, kube, list_watch):
        await collect(listing(list_watch), lambda recorded: recorded.listings)
        (sent,) = [one for one in kube.seen if one.plural == "services"]
        assert sent.verb == "watch"
        assert sent.params["sendInitialEvents"] == "true"
        assert sent.params["resourceVersionMatch"] == "NotOlderThan"
        assert sent.params["allowWatchBookmarks"] == "true"
        assert "resourceVersion" not in sent.params

    @pytest.mark.parametrize("how", ["error", "invalid", "bad", "ignored"])
    async def test_a_server_without_watch_list_is_paged_and_not_tried_again(
        self, how, kube, list_watch
    ):
        kube.watch_list = how
        recorded = await collect(listing(list_watch))
        last = [chunk for chunk in recorded.chunks if chunk.listing][-3:]
        assert named([e for chunk in last for e in chunk.events]) == [
            f"web-{number}" for number in range(5)
        ]
        assert recorded.chunks[-1].complete
        assert kube.count("list", "services") == 3
        assert not list_watch.watch_list
        await collect(listing(list_watch))
        assert kube.count("watch", "services") == 1

    async def test_a_plain_bookmark_ends_the_wait_for_the_end_mark(self, kube, tmp_path):
        kube.watch_list, kube.bookmark_every = "ignored", 0.02
        async with client_of(kube, tmp_path, end_mark=5.0) as client:
            recorded = await collect(listing(ListWatch(client, SERVICES, 2)))
        assert recorded.listings == 1

    async def test_a_429_does_not_disable_watch_list(self, kube, list_watch):
        kube.faults.append(faults.status(429, verb="watch"))
        with pytest.raises(ApiError):
            await collect(listing(list_watch))
        assert list_watch.watch_list

    async def test_a_stream_that_breaks_before_the_end_mark_is_not_a_listing(
        self, kube, list_watch
    ):
        kube.faults.append(faults.cut(1500, verb="watch"))
        recorded = Recorder()
        with pytest.raises(Unreachable):
            await collect(listing(list_watch), recorded=recorded)
        assert recorded.events
        assert not recorded.listings

    async def test_pages_have_the_requested_size(self, kube, list_watch):
        recorded = await collect(pages(list_watch))
        assert [len(chunk.events) for chunk in recorded.chunks] == [2, 2, 1]
        assert [chunk.begin for chunk in recorded.chunks] == [True, False, False]
        assert [chunk.complete for chunk in recorded.chunks] == [False, False, True]

    async def test_an_expired_continue_token_begins_the_listing_again(self, kube, list_watch):
        steps, recorded = whole(list_watch), Recorder()

        def compact(recorded: Recorder) -> bool:
            if len(recorded.chunks) == 1:
                kube.store.put("services", plain.service("new", "10.96.1.1"))
                kube.store.compact()
            return False

        await collect(steps, compact, recorded)
        assert sum(chunk.begin for chunk in recorded.chunks) == 2
        assert recorded.listings == 1
        after = recorded.chunks[1:]
        assert "new" in named([event for chunk in after for event in chunk.events])

    async def test_after_two_expired_tokens_the_list_is_fetched_in_one_piece(
        self, kube, list_watch
    ):
        def compact(recorded: Recorder) -> bool:
            kube.store.put("services", plain.service("new", "10.96.1.1"))
            kube.store.compact()
            return False

        recorded = await collect(whole(list_watch), compact)
        assert recorded.listings == 1
        assert "limit" not in [one for one in kube.seen if one.verb == "list"][-1].params

    async def test_an_empty_list_is_complete(self, kube, list_watch):
        list_watch.scope = Scope(RESOURCES["Pod"])
        recorded = await collect(pages(list_watch))
        assert (recorded.events, recorded.listings) == ([], 1)

    async def test_an_answer_that_is_not_a_list_is_unreachable(self, tmp_path):
        recording = msgspec.structs.replace(replay.load("readyz"), name="nonsense")
        async with Replay(recording) as server, client_of(server, tmp_path) as client:
            with pytest.raises(Unreachable, match="not a List"):
                await collect(pages(ListWatch(client, SERVICES)))

    async def test_the_error_for_a_large_page_names_the_setting(self, list_watch):
        with pytest.raises(Unreachable, match="lower page_size"):
            await list_watch.client.fetch(SERVICES.path, dict, limit=100)


class TestReflect:
    """All generators together."""

    async def follow(self, list_watch, enough, version="") -> Recorder:
        return await collect(reflect(list_watch, version), enough)

    async def test_a_resumed_watch_lists_nothing(self, kube, list_watch):
        version = str(kube.store.revision)
        kube.store.put("services", plain.service("new", "10.96.1.1"))
        recorded = await self.follow(list_watch, lambda h: h.events, version)
        assert named(recorded.events) == ["new"]
        assert not recorded.listings
        # One object, for the version that the server is at.
        assert [seen.params for seen in kube.seen if seen.verb == "list"] == [{"limit": "1"}]

    async def test_a_410_as_status_or_event_lists_again(self, kube, list_watch):
        for fault in (faults.status(410, verb="watch"), faults.error(410)):
            kube.faults.append(fault)
            recorded = await self.follow(list_watch, lambda h: h.listings, "2")
            assert isinstance(recorded.retries[0].error, ApiError)
            assert len(recorded.events) == 5

    async def test_a_compacted_version_lists_again(self, kube, list_watch):
        kube.store.compact()
        recorded = await self.follow(list_watch, lambda h: h.listings, "2")
        assert recorded.listings == 1

    @pytest.mark.parametrize("how", ["in order", "in the middle of a line"])
    async def test_after_any_other_end_the_watch_resumes(self, how, kube, list_watch):
        steps, recorded = reflect(list_watch), Recorder()

        def step(recorded: Recorder) -> bool:
            number = len(recorded.events) - 5
            if recorded.listings and 0 <= number < 3 and len(recorded.events) > step.at:
                step.at = len(recorded.events)
                if how == "in order":
                    kube.end_streams()
                else:
                    kube.faults.append(faults.cut(30, verb="watch"))
                    kube.end_streams()
                kube.store.put("services", plain.service(f"new-{number}", "10.96.1.1"))
            return number == 3

        step.at = 0
        await collect(steps, step, recorded)
        assert named(recorded.events)[5:] == ["new-0", "new-1", "new-2"]
        assert recorded.listings == 1

    async def test_the_watch_resumes_from_a_bookmark(self, kube, list_watch):
        kube.bookmark_every = 0.02
        kube.store.put("namespaces", plain.namespace("elsewhere"))  # the revision moves on
        seen = str(kube.store.revision)
        recorded = await self.follow(
            list_watch, lambda h: h.version == seen and not h.chunks[-1].listing, "8"
        )
        assert recorded.events == []
        kube.store.compact(int(seen))
        resumed = await self.follow(list_watch, lambda h: h.version or h.retries, recorded.version)
        assert not resumed.retries

    async def test_brief_streams_without_data_count_as_410(self, kube, tmp_path):
        kube.faults.append(faults.close(times=3))
        async with client_of(kube, tmp_path, brief=5.0) as client:
            list_watch = ListWatch(client, SERVICES, 2)
            version = str(kube.store.revision)
            recorded = await self.follow(list_watch, lambda h: h.listings, version)
        assert len(recorded.events) == 5
        assert kube.count("watch", "services") == 4

    async def test_longer_streams_without_data_do_not_count_as_410(self, kube, tmp_path):
        """A proxy may end idle streams."""
        async with client_of(kube, tmp_path, brief=0.0) as client:
            list_watch = ListWatch(client, SERVICES, 2)
            kube.faults.append(faults.close(times=6))
            version = str(kube.store.revision)
            opened = [0]

            def enough(recorded: Recorder) -> bool:
                opened[0] = kube.count("watch")
                return bool(recorded.listings) or opened[0] > 6

            recorded = await self.follow(list_watch, enough, version)
        assert not recorded.listings

    async def test_a_future_version_is_never_resumed_from(self, kube, list_watch):
        recorded = await self.follow(list_watch, lambda h: h.listings, "99999")
        assert recorded.retries[0].error.expired
        assert "in the future" in str(recorded.retries[0].error)
        assert not any(chunk.quiet for chunk in recorded.chunks if not chunk.listing)
        assert len(recorded.events) == 5

    async def test_a_version_is_verified_until_the_server_answers_once(self, kube, list_watch):
        kube.faults.append(faults.status(503, verb="list", times=2))

        def enough(recorded: Recorder) -> bool:
            if recorded.chunks and not enough.ended:
                enough.ended = True
                kube.end_streams()
            return kube.count("watch") == 2

        enough.ended = False
        recorded = await self.follow(list_watch, enough, str(kube.store.revision))
        assert len(recorded.retries) == 2
        assert kube.count("list") == 3

    async def test_silence_reveals_a_server_that_was_restored_meanwhile(self, kube, tmp_path):
        """Restored from a backup between two streams: no list verifies the version."""
        async with client_of(kube, tmp_path, idle=0.1) as client:
            list_watch = ListWatch(client, SERVICES, 2)
            recorded, steps = Recorder(), reflect(list_watch, str(kube.store.revision))

            def enough(recorded: Recorder) -> bool:
                if recorded.chunks and kube.store.revision > 5:
                    kube.store.revision = 5
                    kube.end_streams()
                return bool(recorded.listings)

            await collect(steps, enough, recorded)
        assert any(isinstance(retry.error, Silent) for retry in recorded.retries)
        assert named(recorded.events) == ["web-0", "web-1"]

    async def test_bytes_without_a_line_end_are_silence(self, kube, tmp_path):
        kube.faults.append(faults.drip(1, 0.01))
        async with client_of(kube, tmp_path, idle=0.1, end_mark=0.1) as client:
            with pytest.raises(Silent):
                await collect(watch(ListWatch(client, SERVICES), "1"))

    async def test_slow_bytes_with_line_ends_are_not_silence(self, kube, list_watch):
        kube.faults.append(faults.drip(100, 0.0))
        recorded = await self.follow(list_watch, lambda h: h.listings)
        assert len(recorded.events) == 5

    async def test_lines_split_anywhere_yield_the_same_events(self, kube, list_watch):
        kube.faults.append(faults.split(3))
        recorded = await self.follow(list_watch, lambda h: h.listings)
        assert named(recorded.events) == [f"web-{number}" for number in range(5)]

    async def test_a_line_may_have_megabytes(self, kube, list_watch):
        big = plain.endpoint_slice(
            "big", "web-0", [f"10.{i >> 8}.{i & 255}.1" for i in range(20000)]
        )
        kube.store.put("endpointslices", big)
        assert len(kube.store.objects["endpointslices"]["default", "big"].raw) > 3_000_000
        list_watch.scope = Scope(RESOURCES["EndpointSlice"])
        recorded = await self.follow(list_watch, lambda h: h.listings)
        (one,) = recorded.events
        assert len(one.endpoints) == 20000

    async def test_a_503_and_an_unreachable_server_are_retried(self, kube, list_watch):
        kube.faults.append(faults.status(503, times=2))
        recorded = await self.follow(list_watch, lambda h: h.listings)
        assert [retry.error.status for retry in recorded.retries] == [503, 503]
        await kube.stop()
        recorded, back = Recorder(), False

        def revive(recorded: Recorder) -> bool:
            nonlocal back
            if len(recorded.retries) == 3 and not back:
                back = True
                revive.task = asyncio.ensure_future(kube.start())
            return bool(recorded.listings)

        await collect(reflect(list_watch), revive, recorded)
        assert len(recorded.retries) >= 3
        assert all(isinstance(retry.error, Unreachable) for retry in recorded.retries)

    async def test_an_object_that_dns_cannot_use_is_refused_and_skipped(self, kube, list_watch):
        kube.store.put("services", plain.service("bad", "not an address"))
        kube.store.put("services", plain.service("wrong", "10.96.9.9", externalIPs=7))
        recorded = await self.follow(list_watch, lambda h: h.listings)
        refused = [refusal for chunk in recorded.chunks for refusal in chunk.refused]
        assert [str(refusal.key) for refusal in refused] == [
            "Service default/bad",
            "Service default/wrong",
        ]
        assert "spec.clusterIPs[0]" in refused[0].problem
        assert len(recorded.events) == 5

    @pytest.mark.parametrize("watch_list", [True, False])
    async def test_an_object_that_is_not_utf_8_is_refused_and_skipped(
        self, watch_list, kube, list_watch
    ):
        list_watch.watch_list = watch_list
        kube.store.put("services", plain.service("odd", "10.96.9.9", labels={"x": "SPOILT"}))
        odd = kube.store.objects["services"]["default", "odd"]
        odd.raw, odd.item = (one.replace(b"SPOILT", b"\xff") for one in (odd.raw, odd.item))
        recorded = await self.follow(list_watch, lambda h: h.listings)
        (refusal,) = [refusal for chunk in recorded.chunks for refusal in chunk.refused]
        assert refusal.key == Key("Service", "default", "odd")
        assert len(recorded.events) == 5

    async def test_a_stream_that_is_not_json_is_an_error(self, tmp_path):
        one = msgspec.structs.replace(
            replay.load("watch-too-old"), chunks=((0.0, b'{"type":"ADDED","obj\n'),)
        )
        async with Replay(one) as server, client_of(server, tmp_path) as client:
            with pytest.raises(Unreachable, match="not JSON"):
                await collect(watch(ListWatch(client, SERVICES), "1"))


class TestBackoff:
    """The delay until the next attempt."""

    async def delays(self, kube, list_watch, count: int) -> list[float]:
        recorded = await collect(
            reflect(list_watch), lambda recorded: len(recorded.retries) == count
        )
        return [retry.delay for retry in recorded.retries]

    async def test_the_delay_doubles_with_jitter_up_to_a_bound(self, kube, tmp_path):
        kube.faults.append(faults.status(503, times=-1))
        async with client_of(kube, tmp_path, backoff=0.001, backoff_max=0.016) as client:
            delays = await self.delays(kube, ListWatch(client, SERVICES, rng=random.Random(7)), 8)
        for number, delay in enumerate(delays):
            highest = min(0.001 * 2**number, 0.016)
            assert highest / 2 <= delay <= highest
        assert len(set(delays)) == len(delays)

    async def test_the_delay_is_at_least_retry_after(self, kube, list_watch):
        kube.faults.append(faults.status(429, retry_after="1"))
        recorded = await collect(reflect(list_watch), lambda recorded: recorded.retries)
        assert recorded.retries[0].delay == 1.0

    async def test_data_resets_the_backoff(self, kube, list_watch):
        kube.faults += [faults.status(503, times=4)]
        recorded = Recorder()
        steps = reflect(list_watch)

        def enough(recorded: Recorder) -> bool:
            calm = any(chunk.quiet and not chunk.listing for chunk in recorded.chunks)
            if calm and len(recorded.retries) == 4:
                kube.faults.append(faults.status(503))
                kube.end_streams()
                recorded.chunks.clear()
            return len(recorded.retries) == 5

        await collect(steps, enough, recorded)
        delays = [retry.delay for retry in recorded.retries]
        assert delays[4] < delays[3]
