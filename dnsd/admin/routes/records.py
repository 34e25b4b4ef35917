"""Records pinned by hand. `dnsd.admin.records` has the rules.

In `admin/routes/` (control plane: HTTP). Change here: the HTTP side of pinned records.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from dnsd.admin.records import (
    MAX_TTL,
    MAX_VALUES,
    Conflict,
    Record,
    conflicts,
    key_of,
    name_in,
    record_of,
)
from dnsd.admin.routes.zones import zone_named
from dnsd.admin.routing import JSON, Access, Parameters, Problem, Request, Route, json_response
from dnsd.cluster.objects import Key
from dnsd.dns.names import text_of
from dnsd.dns.rdata import BadRecord, type_number


class PutBody(Parameters, frozen=True):
    """The body of a PUT. `values`: zone-file text (RFC 1035 5)."""

    ttl: Annotated[int, Meta(ge=0, le=MAX_TTL)]
    values: Annotated[list[str], Meta(min_length=1, max_length=MAX_VALUES)]


class PutQuery(Parameters, frozen=True):
    """`force`: pin the record even if the name belongs to another object."""

    force: bool = False


async def pinned(request: Request) -> Any:
    """All pinned records."""
    records = request.context.records
    shown = [_shown(request, one) for one in records.all()]
    return {"records": shown, "kept_on_disk": records.path is not None}


async def one(request: Request) -> Any:
    """One pinned record."""
    record = request.context.records.get(_key(request))
    if record is None:
        raise Problem(404, "this record is not pinned")
    return _shown(request, record)


async def put(request: Request) -> Any:
    """Pin a record. It replaces the pinned record of this name and type."""
    context = request.context
    body: PutBody = request.json(PutBody)
    zone = zone_named(context.pipeline.zone, request.path("zone"))
    try:
        record = record_of(
            zone,
            request.path("name"),
            request.path("type"),
            body.ttl,
            body.values,
            forced=request.query.force,
            by=request.identity,
            at=time.time(),
        )
        known = context.records.get(record.key) is not None
        context.records.put(record, context.pipeline.zone, context.plane.place)
    except BadRecord as error:
        raise Problem(422, str(error)) from error
    except Conflict as error:
        contributors = [str(one) for one in error.contributors]
        raise Problem(409, str(error), owners=contributors, forceable=error.forceable) from error
    except OSError as error:
        raise Problem(507, f"not pinned: it cannot be saved: {error.strerror}") from error
    shown = {**_shown(request, record), "serial": context.pipeline.zone.serial}
    return json_response(shown, 200 if known else 201)


async def delete(request: Request) -> Any:
    """Remove a pinned record."""
    context = request.context
    try:
        key, now = _key(request), time.time()
        context.records.delete(key, request.identity, now, context.plane.place)
    except KeyError as error:
        raise Problem(404, "this record is not pinned") from error
    except OSError as error:
        raise Problem(507, f"not removed: the file cannot be saved: {error.strerror}") from error
    return {"deleted": True, "serial": context.pipeline.zone.serial}


def _key(request: Request) -> Key:
    zone = zone_named(request.context.pipeline.zone, request.path("zone"))
    try:
        name = name_in(zone, request.path("name"))
        return key_of(text_of(zone), text_of(name), type_number(request.path("type"))[1])
    except BadRecord as error:
        raise Problem(404, str(error)) from error


def _shown(request: Request, record: Record) -> dict[str, object]:
    others = map(str, conflicts(request.context.pipeline.zone, record))
    return {**msgspec.to_builtins(record), "conflicts": [*others]}


_PATH = "/api/v1/records/{zone}/{name}/{type}"
ROUTES = (
    Route("GET", "/api/v1/records", pinned),
    Route("GET", _PATH, one),
    Route("PUT", _PATH, put, Access.WRITE, query=PutQuery, takes=(JSON,)),
    Route("DELETE", _PATH, delete, Access.WRITE),
)
