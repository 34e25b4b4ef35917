"""The history of names: each change with time, serial, records before and after, and cause.

In `admin/routes/` (control plane: HTTP). Change here: filters and pages of the history.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

from dnsd.admin.records import shown, shown_cause
from dnsd.admin.routing import Limit, NameText, Parameters, Problem, Request, Route, domain_name
from dnsd.cluster.objects import Key
from dnsd.dns.names import text_of
from dnsd.dns.types import type_text
from dnsd.observe.history import Entry, Position

_AGO = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|m|h|d)")
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,5})-((?:[0-9a-f]{2}){1,255})")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class HistoryQuery(Parameters, frozen=True):
    """A filter. `service`: NAMESPACE/NAME; `since`: "2h", a time, or seconds."""

    name: NameText = ""
    service: Annotated[str, Meta(max_length=130)] = ""
    since: Annotated[str, Meta(max_length=40)] = ""
    limit: Limit = 100
    cursor: Annotated[str, Meta(max_length=700)] = ""


async def history(request: Request) -> Any:
    """A page of changes, newest first."""
    query, context = request.query, request.context
    namespace, _, service = query.service.partition("/")
    if query.service and not (namespace and service):
        raise Problem(400, "service: write NAMESPACE/NAME")
    found = await context.history.find(
        name=domain_name(query.name) if query.name else None,
        contributor=Key("Service", namespace, service) if query.service else None,
        since=moment(query.since, time.time()) if query.since else 0.0,
        behind=_position(query.cursor),
        limit=query.limit,
    )
    return {
        "changes": [shown_entry(one) for one in found],
        "next": _cursor(found[-1]) if len(found) == query.limit else None,
        "oldest": context.history_status.oldest,
    }


def _cursor(entry: Entry) -> str:
    return f"{entry.id}-{entry.type}-{entry.name.hex()}"


def _position(cursor: str) -> Position | None:
    if not cursor:
        return None
    found = _CURSOR.fullmatch(cursor)
    if not found:
        raise Problem(400, "cursor: not one of this API; use `next` of the previous page")
    return int(found[1]), bytes.fromhex(found[3]), int(found[2])


def moment(text: str, now: float) -> float:
    """A time in seconds since the epoch: "90s", "2h", or "1.5d" ago, ISO 8601, or a number.

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
    return {
        "id": entry.id,
        "at": entry.at,
        "serial": entry.serial,
        "name": text_of(entry.name),
        "type": type_text(entry.type),
        "before": shown(entry.before) if entry.before else None,
        "after": shown(entry.after) if entry.after else None,
        "owner": str(entry.contributor),
        "cause": shown_cause(entry.cause),
    }


ROUTES = (Route("GET", "/api/v1/history", history, query=HistoryQuery),)
