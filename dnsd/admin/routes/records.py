"""Records pinned by hand, over HTTP. What they are and what is refused: records.py."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from dnsd.admin.records import MAX_TTL, MAX_VALUES, Conflict, Record, key_of, name_in, record_of
from dnsd.admin.routes.zones import zone_named
from dnsd.admin.routing import JSON, Access, Call, Problem, Route, answer
from dnsd.cluster.objects import Key
from dnsd.dns.names import text_of
from dnsd.dns.rdata import BadRecord


class Given(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a PUT. `values`: zone-file text."""

    ttl: Annotated[int, Meta(ge=0, le=MAX_TTL)]
    values: Annotated[list[str], Meta(min_length=1, max_length=MAX_VALUES)]


class PutQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`force`: pin it although the name belongs to somebody else."""

    force: bool = False


async def pinned(call: Call) -> Any:
    """All pinned records."""
    context = call.context
    kept = context.records.path is not None
    return {"records": [_shown(call, one) for one in context.records.all()], "kept_on_disk": kept}


async def one(call: Call) -> Any:
    """One pinned record."""
    record = call.context.records.get(_key(call))
    if record is None:
        raise Problem(404, "no such record is pinned")
    return _shown(call, record)


async def put(call: Call) -> Any:
    """Pins a record, instead of the one of its name and type."""
    context = call.context
    given: Given = call.json(Given)
    zone = zone_named(context.pipeline.zone, call.path("zone"))
    try:
        record = record_of(
            zone,
            call.path("name"),
            call.path("type"),
            given.ttl,
            given.values,
            forced=call.query.force,
            by=call.who,
            at=time.time(),
        )
        known = context.records.get(record.key) is not None
        change, _ = context.records.put(record, context.pipeline.zone, context.place)
    except BadRecord as error:
        raise Problem(422, str(error)) from error
    except Conflict as error:
        contributors = [str(contributor) for contributor in error.contributors]
        raise Problem(409, str(error), owners=contributors, forceable=error.forceable) from error
    except OSError as error:
        raise Problem(507, f"it could not be kept, and is not pinned: {error.strerror}") from error
    serial = change.serial if change else context.pipeline.zone.serial
    return answer({**_shown(call, record), "serial": serial}, 200 if known else 201)


async def delete(call: Call) -> Any:
    """Takes a pinned record back."""
    context = call.context
    try:
        change = context.records.delete(_key(call), call.who, time.time(), context.place)
    except KeyError as error:
        raise Problem(404, "no such record is pinned") from error
    except OSError as error:
        raise Problem(507, f"it could not be taken back: {error.strerror}") from error
    return {"deleted": True, "serial": change.serial if change else context.pipeline.zone.serial}


def _key(call: Call) -> Key:
    from dnsd.dns.rdata import type_number

    zone = zone_named(call.context.pipeline.zone, call.path("zone"))
    try:
        name = name_in(zone, call.path("name"))
        return key_of(text_of(zone), text_of(name), type_number(call.path("type"))[1])
    except BadRecord as error:
        raise Problem(404, str(error)) from error


def _shown(call: Call, record: Record) -> dict[str, object]:
    others = call.context.records.conflicts(call.context.pipeline.zone, record.key)
    return {
        **msgspec.to_builtins(record),
        "conflicts": [str(contributor) for contributor in others],
    }


_PATH = "/api/v1/records/{zone}/{name}/{type}"
ROUTES = (
    Route("GET", "/api/v1/records", pinned),
    Route("GET", _PATH, one),
    Route("PUT", _PATH, put, Access.WRITE, query=PutQuery, takes=(JSON,)),
    Route("DELETE", _PATH, delete, Access.WRITE),
)
