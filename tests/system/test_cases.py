"""The query tables over the engine alone. `test_everywhere.py` runs them over all transports."""

from __future__ import annotations

import pytest

from dnsd.answer.engine import Engine
from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import Shared
from dnsd.answer.transport import Transport
from dnsd.cluster.objects import from_plain
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text
from dnsd.sources.source import Batch
from dnsd.transport.registry import TRANSPORTS
from dnsd.zone.compile import compile_all
from dnsd.zone.frame import FRESH, compile_state
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import ExternalConfig, ExternalZone, SchemaConfig
from tests.cases import Case, tables
from tests.cases.cluster import objects

ENGINE = EngineConfig(version_text="dnsd test", id_text="here", nsid=b"test-nsid")
OUT = ExternalZone(
    name_from_text("k8s.example.com."),
    ((name_from_text("ns1.k8s.example.com."), (pack_address("192.0.2.53"),)),),
    30,
)
SCHEMA = SchemaConfig(
    zones=(name_from_text("cluster.local."),),
    ns_addresses=(b"\x7f\0\0\1",),
    external=ExternalConfig(
        (OUT,), ("nodes", "ingresses", "routes", "dnsendpoints"), node_pointers=True
    ),
)


def build() -> Engine:
    """An engine with the names of the cluster of the tables."""
    pipeline = Pipeline(SCHEMA, 1)
    events = [event for plain in objects() for event in from_plain(plain)]
    pipeline.feed(Batch(tuple(events), synced=True), 0.0)
    engine = Engine(Shared(ENGINE, TRANSPORTS))
    for frame in compile_all(pipeline.zone):
        engine.apply(frame)
    engine.apply(compile_state(FRESH))
    return engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build()


ALL = [
    pytest.param(case, transport, id=f"{transport.name}-{case.where}-{case.question}")
    for case in tables()
    for transport in TRANSPORTS
    if case.runs_over(transport)
]


@pytest.mark.parametrize(("case", "transport"), ALL)
def test_the_engine_gives_the_reply_of_the_table(
    engine: Engine, case: Case, transport: Transport
) -> None:
    query = case.query()
    reply = engine.answer(query.to_wire(), b"", transport)
    assert isinstance(reply, bytes)
    case.check(query, reply)
