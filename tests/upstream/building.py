"""A resolver behind a real engine, queried as by a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode

from dnsd.answer.engine import Engine
from dnsd.answer.outcome import Forward
from dnsd.answer.settings import EngineConfig
from dnsd.answer.transport import Transport
from dnsd.settings.kinds import NAME, several
from dnsd.transport.registry import UDP
from dnsd.upstream.resolver import Resolver
from dnsd.upstream.settings import HOSTS, RULES, UpstreamConfig
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.pipeline import Pipeline
from tests.answer.building import engine_of, feed, pipeline_of


def service(name: str, ip: str = "10.96.0.1", **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": ip, "ports": [{"port": 80}], **spec},
    }


def alias(name: str, target: str) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": target},
    }


_KINDS = {"forward": RULES, "hosts": HOSTS, "never_leave": several(NAME)}


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class ForwardingServer:
    """Engine and resolver, connected as in the worker."""

    def __init__(self, pipeline: Pipeline, engine: Engine, resolver: Resolver, clock: Clock):
        self.pipeline, self.engine, self.resolver, self.clock = pipeline, engine, resolver, clock

    async def send(
        self, packet: bytes, client: bytes = b"\x7f\0\0\1", transport: Transport = UDP
    ) -> bytes:
        outcome = self.engine.answer(packet, client, transport)
        if isinstance(outcome, Forward):
            return self.resolver.cached(outcome) or await self.resolver.resolve(outcome)
        assert outcome is not None
        return outcome

    async def query(
        self,
        name: str,
        type_: str = "A",
        *,
        transport: Transport = UDP,
        client: bytes = b"\x7f\0\0\1",
        edns: bool = True,
        **options: Any,
    ) -> dns.message.Message:
        query = dns.message.make_query(name, type_, use_edns=0 if edns else -1, **options)
        reply = dns.message.from_wire(await self.send(query.to_wire(), client, transport))
        assert query.is_response(reply)
        return reply

    def at_once(self, name: str, type_: str = "A", **options: Any) -> bytes | None:
        """The reply of `cached` alone."""
        query = dns.message.make_query(name, type_, **options)
        outcome = self.engine.answer(query.to_wire(), b"\x7f\0\0\1", UDP)
        assert isinstance(outcome, Forward)
        return self.resolver.cached(outcome)

    def change(self, *plains: dict[str, Any]) -> None:
        for frame in feed(self.pipeline, list(plains)):
            self.engine.apply(frame)


@asynccontextmanager
async def forwarding(
    *plains: dict[str, Any], engine: EngineConfig | None = None, **settings: Any
) -> AsyncIterator[ForwardingServer]:
    """An engine whose zone holds these objects; `settings` are those of `UpstreamConfig`.

    Names and addresses in `settings` are text.
    """
    settings.setdefault("timeout", 2.0)
    for setting in settings.keys() & _KINDS.keys():
        settings[setting] = _KINDS[setting].parse(settings[setting])
    clock = Clock()
    pipeline = pipeline_of(list(plains))
    answering = engine_of(pipeline, engine or EngineConfig(forwarding=True))
    resolver = Resolver(
        UpstreamConfig(**settings),
        answering,
        lambda name: answering.table.zone_of(name) is not None,
        clock=clock,
    )
    try:
        yield ForwardingServer(pipeline, answering, resolver, clock)
    finally:
        await resolver.close()


def texts(reply: dns.message.Message) -> list[str]:
    """The answer section, one record for each line, without TTLs and class."""
    return [
        f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in reply.answer
        for rdata in rrset
    ]


def errors(reply: dns.message.Message) -> list[int]:
    """The extended error codes."""
    return [int(option.code) for option in reply.extended_errors()]


def rcode(reply: dns.message.Message) -> str:
    return dns.rcode.to_text(reply.rcode())


__all__ = [
    "Clock",
    "ForwardingServer",
    "alias",
    "compile_all",
    "compile_change",
    "forwarding",
    "service",
]
