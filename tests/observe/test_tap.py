"""The query tap: which queries it samples, and when it is in the path of queries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import dns.message
import pytest

from dnsd.answer.engine import Engine
from dnsd.answer.stages import Stage
from dnsd.dns.message import HEADER
from dnsd.dns.names import name_from_text
from dnsd.observe.tap import DROPPED, Sample, Samples, Tap, Watch
from dnsd.transport.answering import Answering
from dnsd.transport.registry import TCP, UDP
from dnsd.worker.requests import NoWorker
from tests.answer.building import engine_of, pipeline_of
from tests.cases import cluster
from tests.helpers import calls_of, eventually
from tests.worker.data_plane import WEB, Plane

STRIDE = 512
ENGINE = engine_of(pipeline_of(cluster.objects()))


class FakeServer:
    """A server without a socket; `stage` answers its batches."""

    def __init__(self) -> None:
        self.answering = Answering(UDP, ENGINE)

    @property
    def stage(self) -> Stage:
        return self.answering.stage

    def client(self, i: int) -> bytes:
        return bytes((127, 0, 0, i + 1))

    def ask(self, *names: str) -> list[object]:
        """The outcomes of a batch of queries for these names."""
        packets = [dns.message.make_query(name, "A").to_wire() for name in names]
        blob = b"".join(packet.ljust(STRIDE, b"\0") for packet in packets)
        return list(self.stage.answer_batch(blob, [*map(len, packets)], STRIDE, None, UDP))


class Bench:
    """A tap, a server, and the bundles that the tap sent."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.bundles: list[Samples] = []
        self.room = True
        loop = asyncio.get_running_loop()
        self.tap = Tap(ENGINE, [self.server], self.send, loop)

    def send(self, bundle: Samples) -> bool:
        if self.room:
            self.bundles.append(bundle)
        return self.room

    @property
    def samples(self) -> list[Sample]:
        return [sample for bundle in self.bundles for sample in bundle.samples]

    @property
    def removed(self) -> bool:
        return self.server.stage is ENGINE


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.tap.watch(Watch(0))


WEB_PROD, DB = "web.prod.svc.cluster.local.", "db.prod.svc.cluster.local."


class TestTap:
    async def test_without_an_order_it_is_not_in_the_path(self, bench: Bench) -> None:
        assert bench.removed
        bench.tap.watch(Watch(100))
        assert not bench.removed
        bench.tap.watch(Watch(0))
        assert bench.removed

    async def test_it_does_not_change_replies(self, bench: Bench) -> None:
        names = [WEB_PROD, "wbe.prod.svc.cluster.local.", "www.example.org."]
        plain = bench.server.ask(*names)
        bench.tap.watch(Watch(100, (b"\x03web",)))
        tapped = bench.server.ask(*names)
        assert [one[2:] for one in plain if isinstance(one, bytes)] == [
            one[2:] for one in tapped if isinstance(one, bytes)
        ]

    async def test_a_batch_stays_a_batch(self, bench: Bench) -> None:
        bench.tap.watch(Watch(100, (b"\x03web",)))
        _, calls = calls_of(
            (Engine.answer, Engine.answer_batch), lambda: bench.server.ask(*[WEB_PROD] * 16)
        )
        assert calls == [0, 1]

    async def test_a_sample_has_question_client_and_response_code(self, bench: Bench) -> None:
        bench.tap.watch(Watch(100))
        bench.server.ask("WEB.prod.svc.cluster.local.", "wbe.prod.svc.cluster.local.")
        await eventually(lambda: len(bench.samples) == 2)
        first, second = bench.samples
        assert first.question[:-4].lower() == name_from_text(WEB_PROD)
        assert first.question[:4] == b"\x03WEB"
        assert (first.rcode, second.rcode) == (0, 3)
        assert (first.client, second.client) == (b"\x7f\0\0\1", b"\x7f\0\0\2")
        assert first.took > 0
        assert (first.transport, first.found) == (0, False)

    async def test_at_a_high_rate_it_leaves_the_path_and_comes_back(self, bench: Bench) -> None:
        bench.tap.watch(Watch(50))
        for _ in range(20):
            bench.server.ask(*[WEB_PROD] * 32)
        assert bench.removed
        assert bench.tap.taken < 20
        await eventually(lambda: not bench.removed)

    async def test_it_takes_at_most_eight_samples_of_a_batch(self, bench: Bench) -> None:
        bench.tap.watch(Watch(10_000))
        bench.server.ask(*[WEB_PROD] * 32)
        assert 0 < bench.tap.taken <= 8

    async def test_queries_with_a_pattern_are_sampled_at_any_rate(self, bench: Bench) -> None:
        bench.tap.watch(Watch(0, (b"\x02db\x04prod",)))
        for _ in range(50):
            bench.server.ask(*[WEB_PROD] * 32)
        bench.server.ask(*[WEB_PROD] * 15, "DB.Prod.svc.cluster.local.", *[WEB_PROD] * 15)
        await eventually(lambda: bench.samples)
        (found,) = bench.samples
        assert found.found
        assert found.question.lower().startswith(b"\x02db\x04prod")
        assert not bench.removed

    async def test_a_query_with_a_pattern_also_counts_for_the_rate_alone_or_in_a_batch(
        self, bench: Bench
    ) -> None:
        bench.tap.watch(Watch(1000, (b"\x02db\x04prod",)))
        bench.server.ask(DB)
        bench.server.stage.answer(dns.message.make_query(DB, "A").to_wire(), b"", TCP)
        await eventually(lambda: len(bench.samples) == 4)
        assert [one.found for one in bench.samples] == [True, False, True, False]

    async def test_a_bundle_without_room_is_dropped_and_counted(self, bench: Bench) -> None:
        bench.room = False
        bench.tap.watch(Watch(1000))
        bench.server.ask(WEB_PROD)
        await eventually(lambda: bench.tap.dropped == 1)
        bench.room = True
        bench.server.ask(WEB_PROD)
        await eventually(lambda: bench.bundles)
        assert bench.bundles[0].dropped == 1

    async def test_the_question_of_a_packet_that_is_not_a_query_is_empty(
        self, bench: Bench
    ) -> None:
        bench.tap.watch(Watch(1000, (b"x",)))
        for packet in (b"", b"x", bytes(HEADER), b"x" * 40, bytes(2) + b"\x80" + bytes(9)):
            bench.server.stage.answer(packet, b"", TCP)
        await eventually(lambda: bench.samples)
        assert all(one.question == b"" for one in bench.samples)
        assert DROPPED in {one.rcode for one in bench.samples}


class TestOverTheChannel:
    async def test_a_new_worker_samples_like_the_one_before(self) -> None:
        plane = Plane()
        supervisor = plane.supervisor
        seen: list[Sample] = []
        supervisor.on_samples.append(lambda bundle: seen.extend(bundle.samples))
        with pytest.raises(NoWorker):
            await supervisor.probe(b"", b"", UDP)
        supervisor.start()
        supervisor.release()
        try:
            await supervisor.opened()
            query = dns.message.make_query(WEB, "A")
            reply = await supervisor.probe(query.to_wire(), b"\x7f\0\0\1", TCP)
            assert reply is not None
            assert dns.message.from_wire(reply).answer[0][0].to_text() == "10.0.0.1"
            assert await supervisor.probe(b"short", b"", UDP) is None
            assert await supervisor.flush(None) == -1
            assert seen == []

            supervisor.watch(100)

            async def sampled() -> bool:
                await plane.ask()
                return bool(seen)

            await eventually(sampled)
            assert seen[0].client == b"\x7f\0\0\1"

            (link,) = supervisor._workers()
            link.kill("a test")
            await link.ended
            await supervisor.opened()
            seen.clear()
            await eventually(sampled)
        finally:
            await supervisor.stop()
