"""Engines over a given zone, without files or processes."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
from hypothesis import strategies as st

from dnsd.answer.engine import Engine
from dnsd.answer.fast import Shapes, ShapeTable
from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import Shared
from dnsd.answer.transport import Transport
from dnsd.answer.views import Views
from dnsd.cluster.objects import from_plain
from dnsd.dns.names import name_from_text
from dnsd.sources.source import Batch
from dnsd.transport.registry import TRANSPORTS, UDP
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.frame import FRESH, NOT_READY, compile_state
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
    engine = Engine(Shared(config or EngineConfig(), TRANSPORTS))
    for frame in compile_all(pipeline.zone):
        engine.apply(frame)
    engine.apply(compile_state(state))
    return engine


class NoShapes(Shapes):
    """Shapes that no query has, so that every query takes the complete path."""

    def of(self, state: int) -> tuple[ShapeTable, ...]:
        return super().of(NOT_READY)


def without_shapes(shared: Shared) -> None:
    """Leaves only the complete path to the engines that share this."""
    shared.shapes = NoShapes(shared.config, shared.transports)


# Queries that differ in name, flags, size and DO of the OPT record, and EDNS options. No name has
# several addresses, whose order would change from reply to reply.
queries = st.builds(
    lambda name, type_, flags, size, do, options: _query(name, type_, flags, size, do, options),
    st.sampled_from(["web.prod", "WEB.prod", "nope.prod", "_http._tcp.web.prod", "prod"]),
    st.sampled_from(["A", "SRV"]),
    st.sampled_from([0, 0x100, 0x110, 0x120, 0x130, 0x20]),
    st.sampled_from([None, 512, 1232, 1233, 4096]),
    st.booleans(),
    st.sampled_from([(), ((10, b"12345678"),), ((12, bytes(60)),), ((12, b""), (10, bytes(24)))]),
)


def _query(
    name: str,
    type_: str,
    flags: int,
    size: int | None,
    do: bool,
    options: tuple[tuple[int, bytes], ...],
) -> bytes:
    query = dns.message.make_query(f"{name}.svc.cluster.local.", type_)
    query.flags = dns.flags.Flag(flags)
    if size is not None:
        generic = [dns.edns.GenericOption(code, data) for code, data in options]
        query.use_edns(0, dns.flags.EDNSFlag.DO if do else 0, size, options=generic)
    return query.to_wire()


def agree_on_a_batch(
    fast: Engine | Views,
    complete: Engine | Views,
    batch: list[tuple[bytes, bytes]],
    transport: Transport,
) -> None:
    """Packets of clients get the same replies, and counts, in a batch as alone; twice."""
    packets, clients = [packet for packet, _ in batch], [client for _, client in batch]
    stride = max(map(len, packets), default=0)
    blob = b"".join(packet.ljust(stride, b"\0") for packet in packets)
    for _ in range(2):  # the second time some replies are remembered
        alone = [complete.answer(packet, client, transport) for packet, client in batch]
        outcomes = fast.answer_batch(blob, [*map(len, packets)], stride, clients, transport)
        assert outcomes == alone
        assert fast.counters() == complete.counters()


def reply_to(
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
