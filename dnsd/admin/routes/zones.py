"""Zones and their records, in pages of JSON or as a zone file.

In `admin/routes/` (control plane: HTTP). Change here: filters and formats of records.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta

from dnsd.admin.names import name_of_key
from dnsd.admin.records import shown
from dnsd.admin.routing import (
    LabelText,
    Limit,
    NameText,
    Parameters,
    Problem,
    Request,
    Route,
    TypeText,
)
from dnsd.dns.names import BadName, Name, is_below, name_from_text, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.text import rrset_text
from dnsd.dns.types import Type, type_text
from dnsd.explain.search_list import name_or_none
from dnsd.zone.zone import Zone

DNS_TEXT = "text/dns"  # RFC 4027
_STEP = 500  # names of a zone file that are written before other tasks run


class RecordsQuery(Parameters, frozen=True):
    """A filter. `name`: part of a name."""

    name: NameText = ""
    type: TypeText = ""
    namespace: LabelText = ""
    service: LabelText = ""
    limit: Limit = 100
    cursor: Annotated[str, Meta(max_length=500)] = ""
    format: Literal["json", "zone"] = "json"


async def zones(request: Request) -> Any:
    """All zones: forward zones, configured reverse zones, and generated ones."""
    context = request.context
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


async def records(request: Request) -> Any:
    """One page of the records of a zone; with format=zone, all of them as text."""
    context, query = request.context, request.query
    zone = context.pipeline.zone
    search = _Search(zone, zone_named(zone, request.path("zone")), query)
    await context.index.ready()
    if query.format == "zone":
        return await _zone_file(request, search)
    start = _after(query.cursor, search.apex)
    names, after = context.index.page(
        search.under(), start, query.limit, search.matches, search.label()
    )
    return {
        "zone": text_of(search.apex),
        "serial": zone.serial,
        "records": [
            {**shown(one), "owners": [str(key) for key in zone.contributors(one.name)]}
            for name in names
            for one in search.rrsets(name)
        ],
        "next": urlsafe_b64encode(after).decode() if after else None,
    }


async def _zone_file(request: Request, search: _Search) -> web.StreamResponse:
    index = request.context.index
    response = web.StreamResponse(headers={"Content-Type": f"{DNS_TEXT}; charset=utf-8"})
    await response.prepare(request.http)
    after = b""
    while True:
        names, after = index.page(search.apex, after, _STEP, search.matches, search.label())
        lines = [line for name in names for one in search.rrsets(name) for line in rrset_text(one)]
        if lines:
            await response.write("".join(lines).encode())
        if not after:
            await response.write_eof()
            return response
        await asyncio.sleep(0)


def zone_named(zone: Zone, text: str) -> Name:
    """The apex of that name. Raises Problem 404."""
    name = name_or_none(text.rstrip(".") + ".")
    if name is None or name not in zone.apexes():
        known = ", ".join(text_of(one) for one in zone.apexes()[:10])
        raise Problem(404, f"zone {text[:300]!r} does not exist; the zones are {known}")
    return name


class _Search:
    """The names and records of one zone that match the parameters."""

    def __init__(self, zone: Zone, apex: Name, query: RecordsQuery) -> None:
        self.zone, self.apex, self._query = zone, apex, query
        self._part = query.name.lower()

    def rrsets(self, name: Name) -> Iterator[RRset]:
        """The RRsets of a name that match the type, the SOA first."""
        for type_ in sorted(self.zone.types(name), key=lambda one: (one != Type.SOA, one)):
            found = self.zone.rrset(name, type_) if self._has_type(type_) else None
            if found is not None:
                yield found

    def _has_type(self, number: int) -> bool:
        return self._query.type.upper() in ("", type_text(number), f"TYPE{number}")

    def under(self) -> Name:
        """The smallest part of the zone that holds all matching names."""
        query = self._query
        if self.apex not in self.zone.config.zones or not query.namespace:
            return self.apex
        labels = [query.service] if query.service else []
        try:
            return name_from_text(".".join([*labels, query.namespace, "svc"]), self.apex)
        except BadName:
            return self.apex

    def matches(self, name: Name) -> bool:
        if self._part and self._part not in text_of(name):
            return False
        types = self.zone.types(name)
        if not any(map(self._has_type, types)) or self.zone.zone_of(name) != self.apex:
            return False
        namespace, service = self._query.namespace, self._query.service
        return not (namespace or service) or any(
            namespace in ("", one.namespace)
            and (not service or (one.kind, one.name) == ("Service", service))
            for one in self.zone.contributors(name)
        )

    def label(self) -> bytes:
        """Text that each matching name has in one of its labels."""
        parts = self._part.split(".")
        if self.apex in self.zone.config.zones:  # its names contain the name of their Service
            parts.append(self._query.service)
        return max(parts, key=len).encode("ascii", "replace")


def _after(cursor: str, apex: Name) -> bytes:
    """The key of a cursor; b"" for the first page. Raises Problem 400."""
    if not cursor:
        return b""
    try:
        key = urlsafe_b64decode(cursor.encode("ascii"))
        inside = is_below(name_of_key(key), apex)
    except (ValueError, Base64Error) as error:
        problem = "cursor: not one of this API; use `next` of the previous page"
        raise Problem(400, problem) from error
    if not inside or not key:
        raise Problem(400, "cursor: belongs to another zone")
    return key


ROUTES = (
    Route("GET", "/api/v1/zones", zones),
    Route("GET", "/api/v1/zones/{zone}/records", records, query=RecordsQuery),
)
