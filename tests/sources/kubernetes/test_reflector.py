"""The reflector against recorded and faked API servers: rung by rung, then the whole ladder."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import RESOURCES, Event, Key, Service
from dnsd.sources.kubernetes.client import LineSplitter, seconds_of
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


class Heard:
    """What a rung said, until a condition holds or it ended."""

    def __init__(self) -> None:
        self.chunks: list[WatchChunk] = []
        self.troubles: list[Retry] = []

    @property
    def events(self) -> list[Event]:
        return [event for chunk in self.chunks for event in chunk.events]

    @property
    def version(self) -> str:
        return next((chunk.version for chunk in reversed(self.chunks) if chunk.version), "")

    @property
    def listings(self) -> int:
        return sum(chunk.complete for chunk in self.chunks)


async def hear(rung, enough=lambda heard: False, heard: Heard | None = None) -> Heard:
    """Collects what a rung says until `enough(heard)`, its end, or the test's patience."""
    heard = heard or Heard()
    async with asyncio.timeout(20), aclosing(rung) as steps:
        async for step in steps:
            (heard.troubles if isinstance(step, Retry) else heard.chunks).append(step)
            if enough(heard):
                break
    return heard


# ---------------------------------------------------------------------------------------


class TestRecordings:
    """Each exchange with the real server, played to the rung that would have it."""

    async def play(self, name: str, tmp_path: Path, rung, enough=lambda heard: False, **timing):
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
            return await hear(rung(list_watch), enough)

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
    async def test_lists(self, name, names, tmp_path):
        heard = await self.play(name, tmp_path, pages)
        assert named(heard.events) == names
        assert heard.chunks[-1].complete
        assert heard.version == "247"

    @pytest.mark.parametrize("name", ["list-endpointslices", "list-pods", "list-nodes"])
    async def test_lists_of_other_kinds_say_every_object(self, name, tmp_path):
        heard = await self.play(name, tmp_path, pages)
        items = msgspec.json.decode(replay.load(name).body)["items"]
        assert named(heard.events) == [item["metadata"]["name"] for item in items]
        assert not any(chunk.refused for chunk in heard.chunks)

    async def test_a_first_page_asks_for_the_next_with_its_token(self, tmp_path):
        first = replay.load("list-page-1")
        async with Replay(first) as server, client_of(server, tmp_path) as client:
            rung = pages(ListWatch(client, SERVICES, 2))
            heard = await hear(rung, lambda heard: len(heard.chunks) == 2)
            token = msgspec.json.decode(first.body)["metadata"]["continue"]
        assert server.requests[1] == (first.path, {"limit": "2", "continue": token})
        assert [chunk.begin for chunk in heard.chunks] == [True, False]
        assert not heard.listings

    async def test_a_middle_page_does_not_complete(self, tmp_path):
        heard = await self.play("list-page-2", tmp_path, pages, lambda heard: heard.chunks)
        assert len(heard.events) == 2
        assert (heard.listings, heard.version) == (0, "")

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
    async def test_refused_lists(self, name, status, tmp_path):
        with pytest.raises(ApiError) as caught:
            await self.play(name, tmp_path, pages)
        assert (caught.value.status, caught.value.in_stream) == (status, False)
        assert caught.value.expired == (status == 410)

    async def test_watch_list_ends_with_its_bookmark_and_goes_on_live(self, tmp_path):
        heard = await self.play(
            "watch-list",
            tmp_path,
            lambda list_watch: watch(list_watch, ""),
            lambda h: "-fresh" in named(h.events),
        )
        initial = [event for chunk in heard.chunks if chunk.listing for event in chunk.events]
        live = [event for chunk in heard.chunks if not chunk.listing for event in chunk.events]
        listed = msgspec.json.decode(replay.load("list-services").body)["items"]
        assert named(initial) == [item["metadata"]["name"] for item in listed]
        assert heard.listings == 1
        assert named(live) == ["fresh", "fresh", "externalname-svc", "-fresh"]
        turned = live[2]
        assert isinstance(turned, Service)
        assert (turned.type, turned.external_name) == ("ClusterIP", "")

    async def test_endpoint_slices_cut_into_chunks_in_the_middle_of_lines(self, tmp_path):
        heard = await self.play(
            "watch-endpointslices", tmp_path, lambda list_watch: watch(list_watch, "")
        )
        assert heard.listings == 1
        assert heard.version == "264"
        live = [event for chunk in heard.chunks if not chunk.listing for event in chunk.events]
        assert [event.version for event in live] == ["258", "262", "264"]

    async def test_watch_from_a_version(self, tmp_path):
        heard = await self.play(
            "watch-from-version", tmp_path, lambda list_watch: watch(list_watch, "247")
        )
        assert named(heard.events) == ["fresh", "fresh", "externalname-svc", "-fresh"]
        assert heard.version == "253"

    async def test_watch_of_any_version(self, tmp_path):
        heard = await self.play(
            "watch-list-resume-then-restart", tmp_path, lambda list_watch: watch(list_watch, "")
        )
        assert (heard.listings, heard.version) == (1, "300")

    async def test_bookmarks_alone_move_the_version(self, tmp_path):
        heard = await self.play(
            "watch-bookmarks",
            tmp_path,
            lambda list_watch: watch(list_watch, "247"),
            lambda h: h.version,
        )
        assert (heard.events, heard.version) == ([], "278")

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
    async def test_refused_watches(self, name, status, in_stream, tmp_path):
        with pytest.raises(ApiError) as caught:
            await self.play(name, tmp_path, lambda list_watch: watch(list_watch, "1"))
        assert (caught.value.status, caught.value.in_stream) == (status, in_stream)

    async def test_a_version_from_the_future_ends_without_a_word(self, tmp_path):
        heard = await self.play(
            "watch-future-version", tmp_path, lambda list_watch: watch(list_watch, "99999999")
        )
        assert heard.chunks
        assert not any(chunk.has_data for chunk in heard.chunks)

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
    """WatchList first; pages where the server says no."""

    async def test_watch_list_asks_for_what_the_api_documents(self, kube, list_watch):
        await hear(listing(list_watch), lambda heard: heard.listings)
        (asked,) = [one for one in kube.seen if one.plural == "services"]
        assert asked.verb == "watch"
        assert asked.params["sendInitialEvents"] == "true"
        assert asked.params["resourceVersionMatch"] == "NotOlderThan"
        assert asked.params["allowWatchBookmarks"] == "true"
        assert "resourceVersion" not in asked.params

    @pytest.mark.parametrize("how", ["error", "invalid", "bad", "ignored"])
    async def test_a_server_that_cannot_is_paged_and_not_asked_again(self, how, kube, list_watch):
        kube.watch_list = how
        heard = await hear(listing(list_watch))
        last = [chunk for chunk in heard.chunks if chunk.listing][-3:]
        assert named([e for chunk in last for e in chunk.events]) == [
            f"web-{number}" for number in range(5)
        ]
        assert heard.chunks[-1].complete
        assert kube.count("list", "services") == 3
        assert not list_watch.watch_list
        await hear(listing(list_watch))
        assert kube.count("watch", "services") == 1

    async def test_an_older_server_that_sends_bookmarks_is_not_waited_for(self, kube, tmp_path):
        kube.watch_list, kube.bookmark_every = "ignored", 0.02
        async with client_of(kube, tmp_path, end_mark=5.0) as client:
            heard = await hear(listing(ListWatch(client, SERVICES, 2)))
        assert heard.listings == 1

    async def test_a_busy_server_is_asked_for_watch_list_again(self, kube, list_watch):
        kube.faults.append(faults.status(429, verb="watch"))
        with pytest.raises(ApiError):
            await hear(listing(list_watch))
        assert list_watch.watch_list

    async def test_a_stream_that_breaks_before_its_mark_is_no_list(self, kube, list_watch):
        kube.faults.append(faults.cut(1500, verb="watch"))
        heard = Heard()
        with pytest.raises(Unreachable):
            await hear(listing(list_watch), heard=heard)
        assert heard.events
        assert not heard.listings

    async def test_pages_are_of_the_size_asked_and_of_one_version(self, kube, list_watch):
        heard = await hear(pages(list_watch))
        assert [len(chunk.events) for chunk in heard.chunks] == [2, 2, 1]
        assert [chunk.begin for chunk in heard.chunks] == [True, False, False]
        assert [chunk.complete for chunk in heard.chunks] == [False, False, True]

    async def test_an_expired_continue_begins_again(self, kube, list_watch):
        rung, heard = whole(list_watch), Heard()

        def compact(heard: Heard) -> bool:
            if len(heard.chunks) == 1:
                kube.store.put("services", plain.service("new", "10.96.1.1"))
                kube.store.compact()
            return False

        await hear(rung, compact, heard)
        assert sum(chunk.begin for chunk in heard.chunks) == 2
        assert heard.listings == 1
        after = heard.chunks[1:]
        assert "new" in named([event for chunk in after for event in chunk.events])

    async def test_a_cluster_that_outruns_its_pages_is_listed_in_one_piece(self, kube, list_watch):
        def compact(heard: Heard) -> bool:
            kube.store.put("services", plain.service("new", "10.96.1.1"))
            kube.store.compact()
            return False

        heard = await hear(whole(list_watch), compact)
        assert heard.listings == 1
        assert "limit" not in [one for one in kube.seen if one.verb == "list"][-1].params

    async def test_an_empty_list_is_complete(self, kube, list_watch):
        list_watch.scope = Scope(RESOURCES["Pod"])
        heard = await hear(pages(list_watch))
        assert (heard.events, heard.listings) == ([], 1)

    async def test_what_is_no_list_is_said(self, tmp_path):
        recording = msgspec.structs.replace(replay.load("readyz"), name="nonsense")
        async with Replay(recording) as server, client_of(server, tmp_path) as client:
            with pytest.raises(Unreachable, match="not a List"):
                await hear(pages(ListWatch(client, SERVICES)))

    async def test_a_page_beyond_the_limit_is_refused_with_what_to_do(self, list_watch):
        with pytest.raises(Unreachable, match="lower page_size"):
            await list_watch.client.fetch(SERVICES.path, dict, limit=100)


class TestReflect:
    """The whole ladder."""

    async def follow(self, list_watch, enough, version="") -> Heard:
        return await hear(reflect(list_watch, version), enough)

    async def test_a_resumed_watch_lists_nothing(self, kube, list_watch):
        version = str(kube.store.revision)
        kube.store.put("services", plain.service("new", "10.96.1.1"))
        heard = await self.follow(list_watch, lambda h: h.events, version)
        assert named(heard.events) == ["new"]
        assert not heard.listings
        # One object, for the version that the server is at.
        assert [seen.params for seen in kube.seen if seen.verb == "list"] == [{"limit": "1"}]

    async def test_410_as_status_and_in_the_stream_lists_again(self, kube, list_watch):
        for fault in (faults.status(410, verb="watch"), faults.error(410)):
            kube.faults.append(fault)
            heard = await self.follow(list_watch, lambda h: h.listings, "2")
            assert isinstance(heard.troubles[0].error, ApiError)
            assert len(heard.events) == 5

    async def test_a_version_that_was_compacted_lists_again(self, kube, list_watch):
        kube.store.compact()
        heard = await self.follow(list_watch, lambda h: h.listings, "2")
        assert heard.listings == 1

    @pytest.mark.parametrize("how", ["in order", "in the middle of a line"])
    async def test_any_other_end_resumes_where_it_left_off(self, how, kube, list_watch):
        rung, heard = reflect(list_watch), Heard()

        def step(heard: Heard) -> bool:
            number = len(heard.events) - 5
            if heard.listings and 0 <= number < 3 and len(heard.events) > step.at:
                step.at = len(heard.events)
                if how == "in order":
                    kube.hang_up()
                else:
                    kube.faults.append(faults.cut(30, verb="watch"))
                    kube.hang_up()
                kube.store.put("services", plain.service(f"new-{number}", "10.96.1.1"))
            return number == 3

        step.at = 0
        await hear(rung, step, heard)
        assert named(heard.events)[5:] == ["new-0", "new-1", "new-2"]
        assert heard.listings == 1

    async def test_a_bookmark_is_resumed_from(self, kube, list_watch):
        kube.bookmark_every = 0.02
        kube.store.put("namespaces", plain.namespace("elsewhere"))  # the revision moves on
        seen = str(kube.store.revision)
        heard = await self.follow(
            list_watch, lambda h: h.version == seen and not h.chunks[-1].listing, "8"
        )
        assert heard.events == []
        kube.store.compact(int(seen))
        resumed = await self.follow(list_watch, lambda h: h.version or h.troubles, heard.version)
        assert not resumed.troubles

    async def test_streams_without_a_word_count_as_410(self, kube, list_watch):
        kube.faults.append(faults.close(times=3))
        heard = await self.follow(list_watch, lambda h: h.listings, str(kube.store.revision))
        assert len(heard.events) == 5
        assert kube.count("watch", "services") == 4

    async def test_quiet_streams_that_lived_for_a_while_do_not(self, kube, tmp_path):
        """A proxy that ends what is idle."""
        async with client_of(kube, tmp_path, brief=0.0) as client:
            list_watch = ListWatch(client, SERVICES, 2)
            kube.faults.append(faults.close(times=6))
            version = str(kube.store.revision)
            opened = [0]

            def enough(heard: Heard) -> bool:
                opened[0] = kube.count("watch")
                return bool(heard.listings) or opened[0] > 6

            heard = await self.follow(list_watch, enough, version)
        assert not heard.listings

    async def test_a_version_from_the_future_is_never_believed(self, kube, list_watch):
        heard = await self.follow(list_watch, lambda h: h.listings, "99999")
        assert heard.troubles[0].error.expired
        assert "in the future" in str(heard.troubles[0].error)
        assert not any(chunk.quiet for chunk in heard.chunks if not chunk.listing)
        assert len(heard.events) == 5

    async def test_it_is_asked_for_until_there_is_an_answer_and_then_no_more(
        self, kube, list_watch
    ):
        kube.faults.append(faults.status(503, verb="list", times=2))

        def enough(heard: Heard) -> bool:
            if heard.chunks and not enough.ended:
                enough.ended = True
                kube.hang_up()
            return kube.count("watch") == 2

        enough.ended = False
        heard = await self.follow(list_watch, enough, str(kube.store.revision))
        assert len(heard.troubles) == 2
        assert kube.count("list") == 3

    async def test_a_server_that_went_back_meanwhile_is_found_out_by_silence(self, kube, tmp_path):
        """Restored from a backup while the watch was away: no list tells before the stream."""
        async with client_of(kube, tmp_path, idle=0.1) as client:
            list_watch = ListWatch(client, SERVICES, 2)
            heard, rung = Heard(), reflect(list_watch, str(kube.store.revision))

            def enough(heard: Heard) -> bool:
                if heard.chunks and kube.store.revision > 5:
                    kube.store.revision = 5
                    kube.hang_up()
                return bool(heard.listings)

            await hear(rung, enough, heard)
        assert any(isinstance(retry.error, Silent) for retry in heard.troubles)
        assert named(heard.events) == ["web-0", "web-1"]

    async def test_a_drip_that_never_ends_a_line_is_silence(self, kube, tmp_path):
        kube.faults.append(faults.drip(1, 0.01))
        async with client_of(kube, tmp_path, idle=0.1, end_mark=0.1) as client:
            with pytest.raises(Silent):
                await hear(watch(ListWatch(client, SERVICES), "1"))

    async def test_a_drip_that_does_is_none(self, kube, list_watch):
        kube.faults.append(faults.drip(100, 0.0))
        heard = await self.follow(list_watch, lambda h: h.listings)
        assert len(heard.events) == 5

    async def test_lines_cut_anywhere_say_the_same(self, kube, list_watch):
        kube.faults.append(faults.split(3))
        heard = await self.follow(list_watch, lambda h: h.listings)
        assert named(heard.events) == [f"web-{number}" for number in range(5)]

    async def test_a_line_of_megabytes(self, kube, list_watch):
        big = plain.endpoint_slice(
            "big", "web-0", [f"10.{i >> 8}.{i & 255}.1" for i in range(20000)]
        )
        kube.store.put("endpointslices", big)
        assert len(kube.store.objects["endpointslices"]["default", "big"].raw) > 3_000_000
        list_watch.scope = Scope(RESOURCES["EndpointSlice"])
        heard = await self.follow(list_watch, lambda h: h.listings)
        (one,) = heard.events
        assert len(one.endpoints) == 20000

    async def test_503_and_a_server_that_is_away_are_waited_out(self, kube, list_watch):
        kube.faults.append(faults.status(503, times=2))
        heard = await self.follow(list_watch, lambda h: h.listings)
        assert [retry.error.status for retry in heard.troubles] == [503, 503]
        await kube.stop()
        heard, back = Heard(), False

        def revive(heard: Heard) -> bool:
            nonlocal back
            if len(heard.troubles) == 3 and not back:
                back = True
                revive.task = asyncio.ensure_future(kube.start())
            return bool(heard.listings)

        await hear(reflect(list_watch), revive, heard)
        assert len(heard.troubles) >= 3
        assert all(isinstance(retry.error, Unreachable) for retry in heard.troubles)

    async def test_an_object_dns_cannot_use_is_reported_and_passed_over(self, kube, list_watch):
        kube.store.put("services", plain.service("bad", "not an address"))
        kube.store.put("services", plain.service("wrong", "10.96.9.9", externalIPs=7))
        heard = await self.follow(list_watch, lambda h: h.listings)
        refused = [refusal for chunk in heard.chunks for refusal in chunk.refused]
        assert [str(refusal.key) for refusal in refused] == [
            "Service default/bad",
            "Service default/wrong",
        ]
        assert "spec.clusterIPs[0]" in refused[0].problem
        assert len(heard.events) == 5

    @pytest.mark.parametrize("watch_list", [True, False])
    async def test_text_that_is_no_unicode_is_passed_over_too(self, watch_list, kube, list_watch):
        list_watch.watch_list = watch_list
        kube.store.put("services", plain.service("odd", "10.96.9.9", labels={"x": "SPOILT"}))
        odd = kube.store.objects["services"]["default", "odd"]
        odd.raw, odd.item = (one.replace(b"SPOILT", b"\xff") for one in (odd.raw, odd.item))
        heard = await self.follow(list_watch, lambda h: h.listings)
        (refusal,) = [refusal for chunk in heard.chunks for refusal in chunk.refused]
        assert refusal.key == Key("Service", "default", "odd")
        assert len(heard.events) == 5

    async def test_a_stream_that_is_not_json_is_trouble(self, tmp_path):
        one = msgspec.structs.replace(
            replay.load("watch-too-old"), chunks=((0.0, b'{"type":"ADDED","obj\n'),)
        )
        async with Replay(one) as server, client_of(server, tmp_path) as client:
            with pytest.raises(Unreachable, match="not JSON"):
                await hear(watch(ListWatch(client, SERVICES), "1"))


class TestBackoff:
    """How long until the next try."""

    async def delays(self, kube, list_watch, count: int) -> list[float]:
        heard = await hear(reflect(list_watch), lambda heard: len(heard.troubles) == count)
        return [retry.delay for retry in heard.troubles]

    async def test_it_doubles_is_jittered_and_bounded(self, kube, tmp_path):
        kube.faults.append(faults.status(503, times=-1))
        async with client_of(kube, tmp_path, backoff=0.001, backoff_max=0.016) as client:
            delays = await self.delays(kube, ListWatch(client, SERVICES, rng=random.Random(7)), 8)
        for number, delay in enumerate(delays):
            highest = min(0.001 * 2**number, 0.016)
            assert highest / 2 <= delay <= highest
        assert len(set(delays)) == len(delays)

    async def test_retry_after_is_obeyed(self, kube, list_watch):
        kube.faults.append(faults.status(429, retry_after="1"))
        heard = await hear(reflect(list_watch), lambda heard: heard.troubles)
        assert heard.troubles[0].delay == 1.0

    async def test_a_word_makes_it_short_again(self, kube, list_watch):
        kube.faults += [faults.status(503, times=4)]
        heard = Heard()
        rung = reflect(list_watch)

        def enough(heard: Heard) -> bool:
            calm = any(chunk.quiet and not chunk.listing for chunk in heard.chunks)
            if calm and len(heard.troubles) == 4:
                kube.faults.append(faults.status(503))
                kube.hang_up()
                heard.chunks.clear()
            return len(heard.troubles) == 5

        await hear(rung, enough, heard)
        delays = [retry.delay for retry in heard.troubles]
        assert delays[4] < delays[3]

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
    def test_retry_after_as_number_and_as_date(self, text, seconds):
        assert min(seconds_of(text, 1795395600.0), 1e9) == pytest.approx(seconds, abs=0.5) or (
            seconds == 1e9 and seconds_of(text, 0.0) >= 9e8
        )


class TestLineSplitter:
    @settings(deadline=None, max_examples=150)
    @given(
        lines=st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=20),
        cuts=st.lists(st.integers(0, 600), max_size=40),
    )
    def test_cut_anywhere_gives_the_lines_that_are_not_empty(self, lines, cuts):
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
    def test_too_long_lines_are_skipped_and_counted_and_no_other(self, lines, size):
        data = b"".join(b"x" * length + b"\n" for length in lines)
        splitter = LineSplitter(limit=10)
        out = [
            line
            for start in range(0, len(data), size)
            for line in splitter.feed(data[start : start + size])
        ]
        assert [len(line) for line in out] == [length for length in lines if 0 < length <= 10]
        assert splitter.skipped == sum(length > 10 for length in lines)

    def test_what_has_no_end_yet_is_held(self):
        splitter = LineSplitter()
        assert splitter.feed(b"begun") == []
        assert splitter.feed(b" and ended\nnext") == [b"begun and ended"]
