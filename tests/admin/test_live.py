"""Samples: what is counted, what a listener gets, and what the workers are told."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.admin.events import Events
from dnsd.admin.listeners import TooManyListeners
from dnsd.admin.live import MAX_LISTENERS, STREAM_RATE, Filter, Live
from dnsd.dns.names import name_from_text
from dnsd.dns.types import Type
from dnsd.observe.tap import DROPPED, FORWARDED, Sample, Samples
from dnsd.sources.source import Batch
from dnsd.transport.registry import TCP, UDP
from tests.answer.building import pipeline_of
from tests.zone.made import packed
from tests.zone.made import service as made_service

(CLIENT,) = packed("10.1.0.7")


def sample(name: str = "web.prod.svc.cluster.local.", type_: int = Type.A, **more: Any) -> Sample:
    question = name_from_text(name) + int(type_).to_bytes(2, "big") + b"\0\1"
    return Sample(**{"question": question, "client": CLIENT, "rcode": 0,
                     "transport": UDP.index, "took": 1e-5, **more})  # fmt: skip


class Made:
    """A Live, and what it told the workers."""

    def __init__(self, base_rate: int = 100) -> None:
        self.told: list[tuple[int, tuple[bytes, ...]]] = []
        self.queries = 0
        self.live = Live(base_rate, lambda *order: self.told.append(order), lambda: self.queries)
        self.live.start()

    def take(self, *samples: Sample) -> None:
        self.live.take(Samples(samples))


class TestOrders:
    def test_the_usual_rate(self) -> None:
        made = Made()
        assert made.told == [(100, ())]

    def test_a_stream_of_everything(self) -> None:
        made = Made()
        with made.live.listening(Filter()):
            assert made.told[-1] == (STREAM_RATE, ())
        assert made.told[-1] == (100, ())

    def test_a_name_is_looked_for(self) -> None:
        made = Made(0)
        with made.live.listening(Filter(name="Checkout.prod")):
            assert made.told[-1] == (0, (b"checkout",))
            with made.live.listening(Filter(name="a.b")):  # too short to look for
                assert made.told[-1] == (STREAM_RATE, ())
        assert made.told[-1] == (0, ())

    def test_not_too_many(self) -> None:
        made = Made()
        opened = [made.live.listening(Filter()) for _ in range(MAX_LISTENERS)]
        for one in opened:
            one.__enter__()
        with pytest.raises(TooManyListeners), made.live.listening(Filter()):
            pass
        for one in opened:
            one.__exit__(None, None, None)
        assert len(made.live.listeners) == 0


class TestFilters:
    @pytest.mark.parametrize(
        ("wanted", "fits"),
        [
            (Filter(), True),
            (Filter(name="WEB.prod"), True),
            (Filter(name="web.prod.svc.cluster.local."), True),
            (Filter(name="db"), False),
            (Filter(client="10.1.0.7"), True),
            (Filter(client="10.1.0.0/16"), True),
            (Filter(client="10.2.0.0/16"), False),
            (Filter(client="fd00::/8"), False),
            (Filter(rcode="noerror"), True),
            (Filter(rcode="NXDOMAIN"), False),
            (Filter(type="a", rcode="NOERROR", name="web", client="10.0.0.0/8"), True),
            (Filter(type="AAAA"), False),
        ],
    )
    async def test_what_fits(self, wanted: Filter, fits: bool) -> None:
        made = Made()
        with made.live.listening(wanted) as listener:
            made.take(sample())
            assert bool(listener.waiting()) == fits

    async def test_what_a_query_says(self) -> None:
        made = Made()
        with made.live.listening(Filter()) as listener:
            made.take(
                sample(transport=TCP.index),
                sample(rcode=FORWARDED),
                Sample(b"", b"", DROPPED, 0, 0),
            )
            first, second, third = await listener.next(20.0)
        assert (first.name, first.type, first.client, first.over, first.took_us) == (
            "web.prod.svc.cluster.local.",
            "A",
            "10.1.0.7",
            "tcp",
            10.0,
        )
        assert (second.rcode, third.rcode, third.name) == ("UPSTREAM", "DROPPED", "")

    async def test_one_that_does_not_read_loses_queries_and_nothing_else(self) -> None:
        made = Made()
        with made.live.listening(Filter()) as slow, made.live.listening(Filter()) as quick:
            for _ in range(30):
                made.take(*[sample()] * 100)
                quick.waiting()
            assert slow.lost == 1000
            assert quick.lost == 0

    async def test_a_beat_when_nothing_comes(self) -> None:
        made = Made()
        with made.live.listening(Filter()) as listener:
            assert await listener.next(0.01) == []


class TestTop:
    def test_names_clients_nxdomains_types(self) -> None:
        made = Made()
        made.take(
            *[sample()] * 3, sample("WEB.prod.svc.cluster.local."), sample("no.svc.", rcode=3)
        )
        made.take(sample("found.svc.", found=True))
        names = made.live.top("1m", "names", 5)
        assert [(one["item"], one["samples"]) for one in names] == [
            ("web.prod.svc.cluster.local.", 4),
            ("no.svc.", 1),
        ]
        assert made.live.top("10m", "nxdomains", 5)[0]["item"] == "no.svc."
        assert made.live.top("1m", "clients", 5)[0]["item"] == "10.1.0.7"
        assert made.live.top("1m", "types", 5)[0] == {
            "item": "A",
            "samples": 5,
            "error": 0,
            "estimate": 5,
        }

    def test_estimates_by_how_many_queries_there_were(self) -> None:
        made = Made()
        made.queries = 1000
        made.take(*[sample()] * 10)
        assert made.live.one_in("1m") == 100.0
        assert made.live.top("1m", "names", 1)[0]["estimate"] == 1000
        asked = made.live.query_counts()
        assert asked(name_from_text("web.prod.svc.cluster.local.")) == 1000
        assert asked(name_from_text("other.")) == 0

    def test_a_flood_of_names_stays_bounded(self) -> None:
        made = Made()
        for i in range(20):
            made.take(*(sample(f"random-{i}-{k}.example.") for k in range(100)), *[sample()] * 30)
        assert made.live.top("1m", "names", 1)[0]["item"] == "web.prod.svc.cluster.local."
        assert len(made.live._windows["10m"]["names"]) <= 2 * 512


class TestEvents:
    def test_nothing_is_rendered_for_nobody(self) -> None:
        listeners = Events()
        pipeline = pipeline_of([])
        pipeline.on_change.append(listeners.change)
        pipeline.feed(Batch((made_service("web", "10.96.0.1"),)), 0.0)
        with listeners.listening() as listener:
            pipeline.feed(Batch((made_service("web", "10.96.0.2"),)), 0.0)
            assert len(listener.waiting()) == 1
        assert len(listeners) == 0

    def test_states_of_sources(self) -> None:
        listeners = Events()
        with listeners.listening() as listener:
            listeners.states({"manifests": "starting"})
            listeners.states({"manifests": "synced"})
            listeners.states({"manifests": "synced"})
            (event,) = listener.waiting()
        assert event.wire() == (
            b'event: source\ndata: {"source":"manifests","before":"starting","state":"synced"}\n\n'
        )

    def test_one_that_does_not_read(self) -> None:
        listeners = Events()
        with listeners.listening() as listener:
            for i in range(1500):
                listeners.states({"s": str(i)})
            assert listener.lost == 499
