"""Diagnostics: resolve a name, explain its answer, and plan manifests.

In `admin/routes/` (control plane: HTTP). Change here: the HTTP side of resolve, explain, and plan.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

from msgspec import Meta

from dnsd.admin.routing import (
    JSON,
    MAX_BODY,
    YAML,
    LabelText,
    Parameters,
    Problem,
    Request,
    Route,
    TypeText,
    domain_name,
)
from dnsd.dns.message import Rcode, opt_record
from dnsd.dns.names import Name
from dnsd.dns.types import Type, type_text
from dnsd.explain.explain import Question, client_of, explain, interpret, type_of
from dnsd.explain.plan import Mode, plan, read_manifests
from dnsd.transport.registry import named

YAML_TYPES = (YAML, "text/yaml", "application/x-yaml", "text/x-yaml")
RequiredName = Annotated[str, Meta(min_length=1, max_length=255)]


class ResolveQuery(Parameters, frozen=True):
    """A question. `client`: the address of the client, for policies and views."""

    name: RequiredName
    type: TypeText = "A"
    client: Annotated[str, Meta(min_length=2, max_length=45)] = "127.0.0.1"
    over: Annotated[str, Meta(max_length=20)] = "tcp"


class ExplainQuery(Parameters, frozen=True):
    """A question. `namespace`: of the client's Pod, if its address does not identify one."""

    name: RequiredName
    type: TypeText = "A"
    client: Annotated[str, Meta(max_length=45)] = ""
    namespace: LabelText = "default"


class PlanQuery(Parameters, frozen=True):
    """How the manifests are read; see dnsd.explain.plan."""

    mode: Mode = "apply"


async def resolve_name(request: Request) -> Any:
    """The answer of the engine, from a worker."""
    query, supervisor = request.query, request.context.plane.supervisor
    packet = query_packet(domain_name(query.name), type_of(query.type))
    reply = await supervisor.probe(packet, client_of(query.client), named(query.over))
    if reply is None:
        return {"query": packet.hex(), "reply": None}
    return {"query": packet.hex(), "reply": reply.hex(), **decoded(reply)}


def query_packet(name: Name, type_: int) -> bytes:
    """A query with RD and EDNS (1232 octets)."""
    header = secrets.token_bytes(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
    return header + name + type_.to_bytes(2, "big") + b"\x00\x01" + opt_record(1232, False)


def decoded(reply: bytes) -> dict[str, object]:
    """A reply as text: response code, flags, and the sections as zone-file text."""
    from dnslib import DNSRecord  # imported at the first use

    message = DNSRecord.parse(reply)
    rcode = reply[3] & 15
    flags = ("aa", "tc", "rd", "ra", "ad", "cd")
    sections = {"answer": message.rr, "authority": message.auth, "additional": message.ar}
    return {
        "rcode": Rcode(rcode).name if rcode in set(Rcode) else f"RCODE{rcode}",
        "flags": [flag for flag in flags if getattr(message.header, flag)],
        **{
            section: [
                {
                    "name": str(one.rname),
                    "type": type_text(one.rtype),
                    "ttl": one.ttl,
                    "value": str(one.rdata),
                }
                for one in records
                if one.rtype != Type.OPT
            ]
            for section, records in sections.items()
        },
    }


async def explain_name(request: Request) -> Any:
    """The verdict and the facts behind it."""
    query, context = request.query, request.context
    client = client_of(query.client)
    question = Question(query.name, type_of(query.type), client, query.namespace)
    meant = interpret(context.pipeline, question)
    entries = await context.history.find(name=meant.name, limit=1)
    runtime = await context.runtime(meant.name, question.type)
    return explain(context.pipeline, meant, runtime, entries)


async def plan_manifests(request: Request) -> Any:
    """What manifests would change. Nothing is applied."""
    context = request.context
    file = "manifests.json" if request.http.content_type == JSON else "manifests.yaml"
    manifests = await asyncio.to_thread(read_manifests, (file, request.body))
    if not manifests.objects and manifests.problems:
        raise Problem(422, manifests.problems[0], problems=list(manifests.problems[:100]))
    counts = context.live.query_counts() if context.live.base_rate else None
    return plan(context.pipeline, manifests, request.query.mode, counts).fields()


ROUTES = (
    Route("GET", "/api/v1/resolve", resolve_name, query=ResolveQuery),
    Route("GET", "/api/v1/explain", explain_name, query=ExplainQuery),
    Route(
        "POST",
        "/api/v1/plan",
        plan_manifests,
        query=PlanQuery,
        takes=(JSON, *YAML_TYPES),
        max_body=MAX_BODY,
    ),
)
