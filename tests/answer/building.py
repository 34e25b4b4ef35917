"""Engines over a given zone, without files or processes."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.message

from dnsd.answer.engine import Engine
from dnsd.answer.settings import EngineConfig
from dnsd.answer.transport import Transport
from dnsd.cluster.objects import from_plain
from dnsd.dns.names import name_from_text
from dnsd.sources.source import Batch
from dnsd.transport.registry import TRANSPORTS, UDP
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.frame import FRESH, compile_state
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import SchemaConfig

ZONE = name_from_text("cluster.local.")
SCHEMA = SchemaConfig(zones=(ZONE,), ns_addresses=(b"\x7f\0\0\1",))


def pipeline_of(plains: list[dict[str, Any]], schema: SchemaConfig = SCHEMA) -> Pipeline:
    pipeline = Pipeline(schema, 1)
    feed(pipeline, plains)
    return pipeline


def feed(pipeline: Pipeline, plains: list[dict[str, Any]]) -> list[bytes]:
    """The frames of what these objects change."""
    frames: list[bytes] = []
    follower = lambda change: frames.append(compile_change(change, pipeline.zone))  # noqa: E731
    pipeline.on_change.append(follower)
    events = [event for plain in plains for event in from_plain(plain)]
    pipeline.feed(Batch(tuple(events), synced=True), 0.0)
    pipeline.on_change.remove(follower)
    return frames


def engine_of(pipeline: Pipeline, config: EngineConfig | None = None, state: int = FRESH) -> Engine:
    engine = Engine(config or EngineConfig(), TRANSPORTS)
    for frame in compile_all(pipeline.zone):
        engine.apply(frame)
    engine.apply(compile_state(state))
    return engine


def ask(
    engine: Engine,
    name: str,
    type_: str = "A",
    transport: Transport = UDP,
    client: bytes = b"",
    **options: Any,
) -> dns.message.Message:
    """The engine's reply, parsed by dnspython."""
    query = dns.message.make_query(name, type_, **options)
    reply = engine.answer(query.to_wire(), client, transport)
    assert isinstance(reply, bytes)
    parsed = dns.message.from_wire(reply)
    assert query.is_response(parsed) or parsed.rcode()
    return parsed


def ede_of(reply: dns.message.Message) -> list[int]:
    """The extended errors of a reply (RFC 8914)."""
    return [one.code for one in reply.options if one.otype == dns.edns.OptionType.EDE]


def query_with(name: str, options: list[tuple[int, bytes]] | None, type_: str = "A") -> bytes:
    """A query for a name in svc.cluster.local.; `options` None: without an OPT record."""
    query = dns.message.make_query(f"{name}.svc.cluster.local.", type_)
    if options is not None:
        query.use_edns(
            payload=1232, options=[dns.edns.GenericOption(code, data) for code, data in options]
        )
    return query.to_wire()
