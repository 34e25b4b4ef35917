"""Views: each client is answered from the table of its view, and views share the rest."""

from __future__ import annotations

import tracemalloc
from ipaddress import ip_address
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.engine import Engine
from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import REMEMBERED_REPLIES, Shared
from dnsd.answer.transport import Transport
from dnsd.answer.views import Views
from dnsd.dns.names import name_from_text
from dnsd.transport.registry import TRANSPORTS, UDP
from dnsd.zone.compile import compile_all
from dnsd.zone.frame import FRESH, NOT_READY, STALE, compile_state
from dnsd.zone.views import ViewFrame, compile_view_frame
from tests.answer.building import (
    SCHEMA,
    agree_on_a_batch,
    pipeline_of,
    queries,
    without_shapes,
)
from tests.cases.cluster import service
from tests.helpers import calls_of

CONFIG = EngineConfig(views=True)
SERVICES = [service("web", "10.96.0.1"), service("db", "10.96.0.2")]
STRIDE = 512
UNKNOWN = name_from_text("prod.svc.cluster.local.")


def client(view: int) -> bytes:
    """An address in the network of a view (view 0: all names)."""
    return ip_address(f"10.{view >> 8}.{view & 255}.1").packed


def view_frames(number: int, services: list[dict[str, object]]) -> list[bytes]:
    """The frames of a view that sees these Services."""
    frames = compile_all(pipeline_of(services, SCHEMA).zone)
    return [compile_view_frame(ViewFrame(number, frame)) for frame in frames]


def add_view(views: Views, number: int, services: list[dict[str, object]]) -> None:
    for frame in view_frames(number, services):
        views.apply(frame)


def networks(count: int) -> bytes:
    """The frame that assigns a network to each of so many views, and to view 0."""
    nets = [(f"10.{one >> 8}.{one & 255}.0/24", one) for one in range(count + 1)]
    return compile_view_frame(ViewFrame(reset=True, networks=tuple(nets)))


def views_of(*seen: list[dict[str, object]], state: int = FRESH) -> Views:
    """Views 1, 2, ... with these Services."""
    views = Views(Shared(CONFIG, TRANSPORTS))
    for frame in compile_all(pipeline_of(SERVICES, SCHEMA).zone):
        views.apply(frame)
    for number, services in enumerate(seen, 1):
        add_view(views, number, services)
    views.apply(networks(len(seen)))
    views.apply(compile_state(state))
    return views


def packet_for(name: str) -> bytes:
    return dns.message.make_query(f"{name}.svc.cluster.local.", "A", use_edns=0).to_wire()


def result_of(views: Views, view: int, name: str) -> tuple[str, list[int]]:
    """Response code and extended errors, for a client of a view."""
    reply = views.answer(packet_for(name), client(view), UDP)
    assert isinstance(reply, bytes)
    parsed = dns.message.from_wire(reply)
    errors = [one.code for one in parsed.options if one.otype == dns.edns.OptionType.EDE]
    return dns.rcode.to_text(parsed.rcode()), errors


class TestClaims:
    """What dnsd claims about its data is one value for all engines (RFC 8914)."""

    @pytest.mark.parametrize("view", [0, 1, 2])
    def test_unknown_names_are_unknown_in_every_view(self, view: int) -> None:
        views = views_of(SERVICES[:1], SERVICES[1:])
        views.apply(compile_state(FRESH, 0, (UNKNOWN,)))
        assert result_of(views, view, "nope.prod") == ("SERVFAIL", [14])
        assert result_of(views, view, "nope.other") == ("NXDOMAIN", [])
        views.apply(compile_state(FRESH))
        assert result_of(views, view, "nope.prod") == ("NXDOMAIN", [])

    def test_a_view_that_is_created_later_has_the_claim(self) -> None:
        views = views_of()
        views.apply(compile_state(STALE, 0, (UNKNOWN,)))
        add_view(views, 1, SERVICES[:1])
        views.apply(networks(1))
        assert result_of(views, 1, "web.prod") == ("NOERROR", [3])
        assert result_of(views, 1, "nope.prod") == ("SERVFAIL", [14])

    def test_a_view_that_is_built_again_keeps_the_claim(self) -> None:
        views = views_of(SERVICES)
        views.apply(compile_state(FRESH, 0, (UNKNOWN,)))
        add_view(views, 1, SERVICES[:1])
        assert result_of(views, 1, "db.prod") == ("SERVFAIL", [14])

    @pytest.mark.parametrize("view", [0, 1])
    def test_the_state_is_that_of_every_view(self, view: int) -> None:
        views = views_of(SERVICES, state=NOT_READY)
        assert result_of(views, view, "web.prod") == ("SERVFAIL", [14])
        views.apply(compile_state(STALE))
        assert result_of(views, view, "web.prod") == ("NOERROR", [3])
        views.apply(compile_state(FRESH))
        assert result_of(views, view, "web.prod") == ("NOERROR", [])

    def test_a_client_whose_table_has_not_arrived_gets_servfail(self) -> None:
        views = views_of(SERVICES)
        views.apply(networks(2))
        assert result_of(views, 2, "web.prod") == ("SERVFAIL", [14])
        add_view(views, 2, SERVICES)
        assert result_of(views, 2, "web.prod") == ("NOERROR", [])


class TestClients:
    def test_a_pod_is_answered_by_its_own_view_before_that_of_its_network(self) -> None:
        views = views_of(SERVICES[:1], SERVICES[1:])
        assert result_of(views, 1, "db.prod") == ("NXDOMAIN", [])
        views.apply(compile_view_frame(ViewFrame(clients=((client(1), 2),))))
        assert result_of(views, 1, "db.prod") == ("NOERROR", [])
        views.apply(compile_view_frame(ViewFrame(forgotten=(client(1),))))
        assert result_of(views, 1, "db.prod") == ("NXDOMAIN", [])


class TestBatches:
    NAMES = ("web.prod", "db.prod", "nope.prod", "WEB.prod")

    @pytest.mark.parametrize("mix", [[1, 1, 1, 1], [0, 1, 2, 1], [2, 2, 0, 1]])
    def test_a_batch_of_mixed_clients_is_answered_in_order_without_single_answers(
        self, mix: list[int]
    ) -> None:
        views = views_of(SERVICES[:1], SERVICES[1:])
        packets = [packet_for(name) for name in self.NAMES]
        blob = b"".join(packet.ljust(STRIDE, b"\0") for packet in packets)[: -STRIDE // 2]
        lengths, clients = [*map(len, packets)], [*map(client, mix)]
        alone = [views.answer(one, who, UDP) for one, who in zip(packets, clients, strict=True)]
        for _ in range(2):  # the second time some replies are remembered
            outcomes, calls = calls_of(
                (Engine.answer, Engine.answer_batch),
                lambda: views.answer_batch(blob, lengths, STRIDE, clients, UDP),
            )
            assert outcomes == alone
            assert calls == [0, len(set(mix))]


class TestRememberedReplies:
    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.sampled_from([FRESH, STALE, NOT_READY]),
                st.tuples(st.integers(1, 3), st.sampled_from([SERVICES, SERVICES[:1], []])),
                st.lists(st.tuples(queries, st.integers(0, 3).map(client)), min_size=1, max_size=6),
            ),
            max_size=8,
        ),
        st.sampled_from(list(TRANSPORTS)),
    )
    def test_they_never_cross_between_views(self, steps: list[Any], transport: Transport) -> None:
        """Views that change in between, and a client whose view has not arrived."""
        fast, complete = (views_of(SERVICES[:1], SERVICES[1:]) for _ in range(2))
        without_shapes(complete.shared)
        for views in (fast, complete):
            views.apply(networks(3))
        for step in steps:
            if isinstance(step, list):
                agree_on_a_batch(fast, complete, step, transport)
                continue
            for views in (fast, complete):
                if isinstance(step, int):
                    views.apply(compile_state(step))
                else:
                    add_view(views, *step)


class TestMemory:
    def test_another_view_costs_under_30_kb_besides_its_names(self) -> None:
        views = views_of()
        frames = [view_frames(number, []) for number in range(1, 101)]
        packet = packet_for("web.prod")
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for one in frames:
                for frame in one:
                    views.apply(frame)
            views.apply(networks(len(frames)))
            for view in range(len(frames) + 1):
                views.answer(packet, client(view), UDP)
                views.answer_batch(packet, [len(packet)], STRIDE, [client(view)], UDP)
            used = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert used / len(frames) < 30_000

    def test_all_views_share_one_budget_of_remembered_replies(self) -> None:
        views = views_of(SERVICES[:1], SERVICES[1:], SERVICES)
        packets = [packet_for(name) for name in ("web.prod", "db.prod")]
        for view in range(4):
            for packet in packets:
                views.answer_batch(packet, [len(packet)], STRIDE, [client(view)], UDP)
        assert views.shared.budget == REMEMBERED_REPLIES - 6
        views.apply(networks(1))  # views 2 and 3 are dropped
        assert views.shared.budget == REMEMBERED_REPLIES - 3
        add_view(views, 1, SERVICES)
        views.answer_batch(packets[0], [len(packets[0])], STRIDE, [client(1)], UDP)
        assert views.shared.budget == REMEMBERED_REPLIES - 3

    def test_no_more_is_remembered_than_the_budget(self) -> None:
        views = views_of(SERVICES[:1], SERVICES[1:])
        views.shared.budget = 1
        for _ in range(2):
            for view, name in ((0, "web.prod"), (1, "web.prod"), (2, "db.prod")):
                packet = packet_for(name)
                (reply,) = views.answer_batch(packet, [len(packet)], STRIDE, [client(view)], UDP)
                assert reply == views.answer(packet, client(view), UDP)
        assert views.shared.budget == 0
