"""Zones and their records, page by page, as JSON or as a zone file."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Callable
from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta, Struct

from dnsd.admin.names import name_of_key
from dnsd.admin.records import shown
from dnsd.admin.routing import Call, Problem, Route
from dnsd.dns.names import BadName, Name, is_below, name_from_text, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.text import rrset_text
from dnsd.dns.types import Type, type_text
from dnsd.zone.zone import Zone

DNS_TEXT = "text/dns"  # RFC 4027
_A_STEP = 500  # names of a zone file between which the event loop has its turn


class RecordsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked for. `name`: part of a name."""

    name: Annotated[str, Meta(max_length=255)] = ""
    type: Annotated[str, Meta(max_length=20)] = ""
    namespace: Annotated[str, Meta(max_length=63)] = ""
    service: Annotated[str, Meta(max_length=63)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Annotated[str, Meta(max_length=500)] = ""
    format: Literal["json", "zone"] = "json"


async def zones(call: Call) -> Any:
    """All zones: forward, configured reverse ones, those taken as needed."""
    context = call.context
    await context.index.ready()
    zone = context.pipeline.zone
    forward = (*zone.config.zones, *zone.external)
    return {
        "zones": [
            {
                "name": text_of(apex),
                "kind": "forward" if apex in forward else "reverse",
                "serial": zone.serial,
                "names": context.index.count(apex),
            }
            for apex in zone.apexes()
        ]
    }


async def records(call: Call) -> Any:
    """One page of a zone's records; with format=zone all of them, as text."""
    context, query = call.context, call.query
    zone = context.pipeline.zone
    apex = zone_named(zone, call.path("zone"))
    wanted = _wanted(zone, apex, query)
    await context.index.ready()
    if query.format == "zone":
        return await _zone_file(call, apex, wanted)
    under = _under(zone, apex, query)
    start = _after(query.cursor, apex)
    names, after = context.index.page(under, start, query.limit, wanted, _label(zone, apex, query))
    return {
        "zone": text_of(apex),
        "serial": zone.serial,
        "records": [
            {
                **shown(one),
                "owners": [str(contributor) for contributor in zone.contributors(one.name)],
            }
            for name in names
            for one in _sets(zone, name, query.type)
        ],
        "next": urlsafe_b64encode(after).decode() if after else None,
    }


async def _zone_file(call: Call, apex: Name, wanted: Callable[[Name], bool]) -> web.StreamResponse:
    zone, index = call.context.pipeline.zone, call.context.index
    response = web.StreamResponse(headers={"Content-Type": f"{DNS_TEXT}; charset=utf-8"})
    await response.prepare(call.request)
    after = b""
    while True:
        names, after = index.page(apex, after, _A_STEP, wanted, _label(zone, apex, call.query))
        lines = [
            line
            for name in names
            for one in _sets(zone, name, call.query.type)
            for line in rrset_text(one)
        ]
        if lines:
            await response.write("".join(lines).encode())
        if not after:
            await response.write_eof()
            return response
        await asyncio.sleep(0)


def zone_named(zone: Zone, text: str) -> Name:
    """The apex of that name. Raises Problem 404."""
    try:
        name = name_from_text(text.rstrip(".") + ".") if text.rstrip(".") else b""
    except BadName as error:
        raise Problem(404, f"{text[:300]!r} is no domain name: {error}") from error
    if name not in zone.apexes():
        there = ", ".join(text_of(one) for one in zone.apexes()[:10])
        raise Problem(404, f"there is no zone {text[:300]!r}; there are {there}")
    return name


def _sets(zone: Zone, name: Name, type_: str) -> list[RRset]:
    """The RRsets of a name, of one type if it is given, the SOA first."""
    types = sorted(zone.types(name), key=lambda one: (one != Type.SOA, one))
    found = [zone.rrset(name, one) for one in types if not type_ or _is(one, type_)]
    return [one for one in found if one is not None]


def _is(number: int, text: str) -> bool:
    return text.upper() in (type_text(number), f"TYPE{number}")


def _under(zone: Zone, apex: Name, query: RecordsQuery) -> Name:
    """The smallest part of the zone that holds all that is looked for."""
    if apex not in zone.config.zones or not query.namespace:
        return apex
    labels = [query.service] if query.service else []
    try:
        return name_from_text(".".join([*labels, query.namespace, "svc"]), apex)
    except BadName:
        return apex


def _wanted(zone: Zone, apex: Name, query: RecordsQuery) -> Callable[[Name], bool]:
    part = query.name.lower()

    def wanted(name: Name) -> bool:
        if part and part not in text_of(name):
            return False
        if not zone.types(name) or zone.zone_of(name) != apex:
            return False
        if query.type and not any(_is(one, query.type) for one in zone.types(name)):
            return False
        if not (query.namespace or query.service):
            return True
        return any(
            (not query.namespace or contributor.namespace == query.namespace)
            and (
                not query.service
                or (contributor.kind, contributor.name) == ("Service", query.service)
            )
            for contributor in zone.contributors(name)
        )

    return wanted


def _label(zone: Zone, apex: Name, query: RecordsQuery) -> bytes:
    """What every name that is looked for has in one of its labels."""
    parts = query.name.lower().split(".")
    if apex in zone.config.zones:  # where names of a Service have its name in them
        parts.append(query.service)
    return max(parts, key=len).encode("ascii", "replace")


def _after(cursor: str, apex: Name) -> bytes:
    if not cursor:
        return b""
    try:
        key = urlsafe_b64decode(cursor.encode("ascii"))
        inside = is_below(name_of_key(key), apex)
    except (ValueError, BadBase64) as error:
        raise Problem(400, "the cursor is not one of ours") from error
    if not inside or not key:
        raise Problem(400, "the cursor is of another zone")
    return key


ROUTES = (
    Route("GET", "/api/v1/zones", zones),
    Route("GET", "/api/v1/zones/{zone}/records", records, query=RecordsQuery),
)
