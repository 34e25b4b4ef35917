"""Samples: the top lists, the live streams, and the orders to the workers."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.admin.listeners import TooManyListeners
from dnsd.admin.live import MAX_LISTENERS, STREAM_RATE, Filter, Live
from dnsd.dns.names import name_from_text
from dnsd.dns.types import Type
from dnsd.observe.tap import DROPPED, FORWARDED, Sample, Samples
from dnsd.transport.registry import TCP, UDP
from tests.zone.made import packed

(CLIENT,) = packed("10.1.0.7")


def sample(name: str = "web.prod.svc.cluster.local.", type_: int = Type.A, **more: Any) -> Sample:
    question = name_from_text(name) + int(type_).to_bytes(2, "big") + b"\0\1"
    return Sample(**{"question": question, "client": CLIENT, "rcode": 0,
                     "transport": UDP.index, "took": 1e-5, **more})  # fmt: skip


class Made:
    """A Live, and its orders to the workers."""

    def __init__(self, base_rate: int = 100) -> None:
        self.orders: list[tuple[int, tuple[bytes, ...]]] = []
        self.queries = 0
        self.live = Live(base_rate, lambda *order: self.orders.append(order), lambda: self.queries)
        self.live.start()

    def take(self, *samples: Sample) -> None:
        self.live.take(Samples(samples))


class TestOrders:
    def test_without_a_stream_the_base_rate_holds(self) -> None:
        made = Made()
        assert made.orders == [(100, ())]

    def test_a_stream_without_a_name_raises_the_rate(self) -> None:
        made = Made()
        with made.live.listening(Filter()):
            assert made.orders[-1] == (STREAM_RATE, ())
        assert made.orders[-1] == (100, ())

    def test_a_stream_with_a_name_makes_workers_search_for_it(self) -> None:
        made = Made(0)
        with made.live.listening(Filter(name="Checkout.prod")):
            assert made.orders[-1] == (0, (b"checkout",))
            with made.live.listening(Filter(name="a.b")):  # too short to look for
                assert made.orders[-1] == (STREAM_RATE, ())
        assert made.orders[-1] == (0, ())

    def test_streams_beyond_the_limit_are_refused(self) -> None:
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
        ("wanted", "matches"),
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
    async def test_a_filter_matches(self, wanted: Filter, matches: bool) -> None:
        made = Made()
        with made.live.listening(wanted) as listener:
            made.take(sample())
            assert bool(listener.waiting()) == matches

    async def test_a_query_is_shown_as_text(self) -> None:
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

    async def test_a_slow_stream_loses_queries_and_slows_no_other(self) -> None:
        made = Made()
        with made.live.listening(Filter()) as slow, made.live.listening(Filter()) as quick:
            for _ in range(30):
                made.take(*[sample()] * 100)
                quick.waiting()
            assert slow.lost == 1000
            assert quick.lost == 0


class TestTop:
    def test_names_clients_nxdomains_and_types_are_counted(self) -> None:
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

    def test_estimates_scale_with_the_number_of_queries(self) -> None:
        made = Made()
        made.queries = 1000
        made.take(*[sample()] * 10)
        assert made.live.one_in("1m") == 100.0
        assert made.live.top("1m", "names", 1)[0]["estimate"] == 1000
        queries = made.live.query_counts()
        assert queries(name_from_text("web.prod.svc.cluster.local.")) == 1000
        assert queries(name_from_text("other.")) == 0

    def test_a_flood_of_names_stays_bounded(self) -> None:
        made = Made()
        for i in range(20):
            made.take(*(sample(f"random-{i}-{k}.example.") for k in range(100)), *[sample()] * 30)
        assert made.live.top("1m", "names", 1)[0]["item"] == "web.prod.svc.cluster.local."
        assert len(made.live.top("10m", "names", 10_000)) <= 512
