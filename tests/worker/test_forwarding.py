"""The forwarding of a worker: the stage in front, and the handler of each kind."""

from __future__ import annotations

import dns.message
import pytest

from dnsd.answer.engine import Engine
from dnsd.answer.outcome import Deferred, Forward
from dnsd.answer.settings import EngineConfig
from dnsd.cluster.objects import Pod
from dnsd.dns.names import name_from_text
from dnsd.dns.networks import EVERYONE
from dnsd.transport.registry import UDP
from dnsd.upstream.clients import compile_clients
from dnsd.upstream.completing import Search, SearchStage
from dnsd.upstream.settings import UpstreamConfig
from dnsd.worker.forwarding import Forwarding
from tests.answer.building import engine_of, pipeline_of
from tests.cases.cluster import service
from tests.helpers import eventually

POD = b"\x0a\xf4\0\7"
CONFIG = EngineConfig(forwarding=True, allow_recursion=EVERYONE)
COMPLETING = UpstreamConfig(
    search_completion=True, search_zones=(name_from_text("cluster.local."),)
)


def forwarding(config: UpstreamConfig) -> tuple[Engine, Forwarding]:
    engine = engine_of(pipeline_of([service("web", "10.96.0.1")]), CONFIG)
    return engine, Forwarding(config, engine, CONFIG.udp_size)


def packet_for(name: str) -> bytes:
    return dns.message.make_query(name, "A").to_wire()


def test_without_search_completion_the_stage_is_the_engine() -> None:
    engine, made = forwarding(UpstreamConfig())
    assert made.stage is engine


def test_with_search_completion_the_search_stage_is_in_front() -> None:
    _, made = forwarding(COMPLETING)
    assert isinstance(made.stage, SearchStage)
    pod = Pod("prod", "p", (POD,), "Running")
    made.clients.apply(compile_clients({pod.key: pod}))
    denied = made.stage.answer(packet_for("a.example.prod.svc.cluster.local."), POD, UDP)
    assert isinstance(denied, Search)


@pytest.mark.parametrize("kind", [Forward, Search])
def test_every_kind_of_a_deferred_query_has_a_handler(kind: type[Deferred]) -> None:
    _, made = forwarding(COMPLETING)
    assert kind.kind in made.handlers


async def test_a_handler_sends_the_reply_once() -> None:
    """`localhost.` is a special-use name (RFC 6761), so no upstream server is needed."""
    _, made = forwarding(COMPLETING)
    outcome = made.stage.answer(packet_for("localhost."), POD, UDP)
    assert isinstance(outcome, Forward)
    replies: list[bytes | None] = []
    made.handlers[outcome.kind](outcome, replies.append)
    await eventually(lambda: replies)
    assert [dns.message.from_wire(one or b"").rcode() for one in replies] == [0]
    await made.forwarder.close()
