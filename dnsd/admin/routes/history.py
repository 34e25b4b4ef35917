"""The history of names: every change with time, serial, before, after, cause."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from dnsd.admin.records import shown
from dnsd.admin.routing import Call, Problem, Route
from dnsd.cluster.objects import Key
from dnsd.dns.names import text_of
from dnsd.dns.types import type_text
from dnsd.explain.search_list import name_or_none
from dnsd.observe.history import Entry, Place

_AGO = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|m|h|d)")
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,5})-((?:[0-9a-f]{2}){1,255})")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked for. `service`: NAMESPACE/NAME; `since`: "2h", a time, or seconds."""

    name: Annotated[str, Meta(max_length=255)] = ""
    service: Annotated[str, Meta(max_length=130)] = ""
    since: Annotated[str, Meta(max_length=40)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Annotated[str, Meta(max_length=700)] = ""


async def history(call: Call) -> Any:
    """Changes, newest first."""
    query, context = call.query, call.context
    name = None
    if query.name:
        name = name_or_none(query.name.rstrip(".") + ".")
        if name is None:
            raise Problem(400, f"name: {query.name!r} is no domain name")
    contributor = None
    if query.service:
        namespace, slash, service = query.service.partition("/")
        if not slash or not service or not namespace:
            raise Problem(400, "service: write NAMESPACE/NAME")
        contributor = Key("Service", namespace, service)
    since = moment(query.since, time.time()) if query.since else 0.0
    found = await context.history.find(
        name=name,
        contributor=contributor,
        since=since,
        behind=_place(query.cursor),
        limit=query.limit,
    )
    return {
        "changes": [shown_entry(one) for one in found],
        "next": _cursor(found[-1]) if len(found) == query.limit else None,
        "oldest": context.history_status.oldest,
    }


def _cursor(entry: Entry) -> str:
    return f"{entry.id}-{entry.type}-{entry.name.hex()}"


def _place(cursor: str) -> Place | None:
    if not cursor:
        return None
    found = _CURSOR.fullmatch(cursor)
    if not found:
        raise Problem(400, "the cursor is not one of ours")
    return int(found[1]), bytes.fromhex(found[3]), int(found[2])


def moment(text: str, now: float) -> float:
    """A time in seconds since the epoch: "90s", "2h", "1.5d" ago, ISO 8601, or a number.

    Raises Problem 400.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
            return float(text)
        parsed = datetime.fromisoformat(text)
        zoned = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return zoned.timestamp()
    except (ValueError, OverflowError) as error:
        raise Problem(400, "since: write 90s, 2h, 7d, an ISO 8601 time, or seconds") from error


def shown_entry(entry: Entry) -> dict[str, object]:
    """A change as the API shows it."""
    cause = entry.cause
    return {
        "id": entry.id,
        "at": entry.at,
        "serial": entry.serial,
        "name": text_of(entry.name),
        "type": type_text(entry.type),
        "before": shown(entry.before) if entry.before else None,
        "after": shown(entry.after) if entry.after else None,
        "owner": str(entry.contributor),
        "cause": {**cause.key._asdict(), "version": cause.version, "origin": cause.origin},
    }


ROUTES = (Route("GET", "/api/v1/history", history, query=HistoryQuery),)
