"""What is answered, why, and what would be: resolve, explain, plan."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dnsd.admin.routing import JSON, MAX_BODY, YAML, Call, Problem, Route
from dnsd.dns.addresses import pack_address
from dnsd.dns.message import Rcode, opt_record
from dnsd.dns.names import Name
from dnsd.dns.rdata import BadRecord
from dnsd.dns.types import Type, type_text
from dnsd.explain.explain import BadQuestion, Question, explain, read
from dnsd.explain.plan import Mode, TooMuch, plan, read_manifests
from dnsd.explain.search_list import name_or_none
from dnsd.transport.registry import UnknownTransport, named
from dnsd.worker.supervisor import NoWorker

YAML_TYPES = (YAML, "text/yaml", "application/x-yaml", "text/x-yaml")


class ResolveQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A question. `client`: the address it is asked from, as far as policies care."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    type: Annotated[str, Meta(max_length=20)] = "A"
    client: Annotated[str, Meta(min_length=2, max_length=45)] = "127.0.0.1"
    over: Annotated[str, Meta(max_length=20)] = "tcp"


class ExplainQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A question; `namespace` of the Pod that asks, when its address does not tell."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    type: Annotated[str, Meta(max_length=20)] = "A"
    client: Annotated[str, Meta(max_length=45)] = ""
    namespace: Annotated[str, Meta(max_length=63)] = "default"


class PlanQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How the manifests are meant; see dnsd.explain.plan."""

    mode: Literal["apply", "delete", "whole"] = "apply"


async def resolve(call: Call) -> Any:
    """The very engine's answer: a worker is asked."""
    query = call.query
    name = name_or_none(query.name.rstrip(".") + ".")
    if name is None:
        raise Problem(400, f"name: {query.name!r} is no domain name")
    type_ = type_of(query.type)
    try:
        transport = named(query.over)
    except UnknownTransport as error:
        raise Problem(400, f"over: {error}") from error
    packet = question(name, type_)
    try:
        reply = await call.context.plane.supervisor.probe(packet, _client(query.client), transport)
    except NoWorker as error:
        raise Problem(503, str(error)) from error
    if reply is None:
        return {"query": packet.hex(), "reply": None}
    return {"query": packet.hex(), "reply": reply.hex(), **decoded(reply)}


def question(name: Name, type_: int) -> bytes:
    """A query packet: RD, EDNS with 1232 octets."""
    fixed = secrets.token_bytes(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
    return fixed + name + type_.to_bytes(2, "big") + b"\x00\x01" + opt_record(1232, False)


def decoded(reply: bytes) -> dict[str, object]:
    """A reply in words: response code, flags, sections in zone-file text."""
    from dnslib import DNSRecord  # not before somebody asks

    message = DNSRecord.parse(reply)
    head = message.header
    flags = ("aa", "tc", "rd", "ra", "ad", "cd")
    sections = {"answer": message.rr, "authority": message.auth, "additional": message.ar}
    return {
        "rcode": _rcode(reply),
        "flags": [flag for flag in flags if getattr(head, flag)],
        **{
            section: [_record(one) for one in records if one.rtype != Type.OPT]
            for section, records in sections.items()
        },
    }


def _rcode(reply: bytes) -> str:
    try:
        return Rcode(reply[3] & 15).name
    except ValueError:
        return f"RCODE{reply[3] & 15}"


def _record(record: Any) -> dict[str, object]:
    return {
        "name": str(record.rname),
        "type": type_text(record.rtype),
        "ttl": record.ttl,
        "value": str(record.rdata),
    }


async def why(call: Call) -> Any:
    """The verdict and everything it rests on."""
    query, context = call.query, call.context
    asked = Question(query.name, type_of(query.type), _client(query.client), query.namespace)
    try:
        reading = read(context.pipeline, asked)
    except BadQuestion as error:
        raise Problem(400, f"name: {error}") from error
    entries = await context.history.find(name=reading.name, limit=1)
    around = await context.circumstances(reading.name, asked.type)
    return explain(context.pipeline, reading, around, entries)


async def what_if(call: Call) -> Any:
    """What manifests would do. Nothing is applied."""
    kind = call.request.content_type
    file = "manifests.json" if kind == JSON else "manifests.yaml"
    manifests = await asyncio.to_thread(read_manifests, call.body, file)
    if not manifests.objects and manifests.problems:
        raise Problem(422, manifests.problems[0], problems=list(manifests.problems[:100]))
    asked = call.context.live.asked() if call.context.live.base_rate else None
    try:
        found = plan(call.context.pipeline, manifests, Mode(call.query.mode), asked)
    except TooMuch as error:
        raise Problem(413, str(error)) from error
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    return {"verdict": found.verdict, "breaks": found.breaks, **fields}


def type_of(text: str) -> int:
    """The number of a type in text. Raises Problem 400."""
    upper = text.upper()
    for one in Type:
        if one.name == upper:
            return int(one)
    from dnsd.dns.rdata import type_number

    try:
        return type_number(upper)[0]
    except BadRecord as error:
        raise Problem(400, f"type: {text!r} is no record type") from error


def _client(text: str) -> bytes:
    if not text:
        return b""
    try:
        return pack_address(text)
    except ValueError as error:
        raise Problem(400, f"client: {text!r} is no IP address") from error


ROUTES = (
    Route("GET", "/api/v1/resolve", resolve, query=ResolveQuery),
    Route("GET", "/api/v1/explain", why, query=ExplainQuery),
    Route(
        "POST",
        "/api/v1/plan",
        what_if,
        query=PlanQuery,
        takes=(JSON, *YAML_TYPES),
        max_body=MAX_BODY,
    ),
)
