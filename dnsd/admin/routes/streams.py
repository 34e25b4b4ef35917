"""What happens while it happens: events, live queries (server-sent events), and the top.

A stream ends when whoever reads it goes away; a comment every `BEAT` seconds keeps it open
through proxies, and lets a vanished reader be noticed.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from dnsd.admin.events import Event, TooMany, change_event
from dnsd.admin.live import DIMENSIONS, Filter, TooManyListeners, bundles
from dnsd.admin.routing import Call, Problem, Route
from dnsd.dns.names import text_of

BEAT = 15.0
_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
_KEPT = 1000  # changes that one who comes back is told


class QueriesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A filter: part of a name, a client's address or network, a response code, a type."""

    name: Annotated[str, Meta(max_length=255)] = ""
    client: Annotated[str, Meta(max_length=60)] = ""
    rcode: Annotated[str, Meta(max_length=20)] = ""
    type: Annotated[str, Meta(max_length=20)] = ""


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`since`: a serial; changes after it come first, if they are remembered."""

    since: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None


class TopQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which window, and how many of each."""

    window: Literal["1m", "10m"] = "1m"
    k: Annotated[int, Meta(ge=1, le=200)] = 20


async def events(call: Call) -> web.StreamResponse:
    """Changes of the zone, and states of the sources."""
    context = call.context
    since = call.query.since
    last = call.request.headers.get("Last-Event-ID", "")
    if since is None and last.isdecimal() and int(last) < 2**32:
        since = int(last)
    try:
        with context.events.listening() as listener:
            response = await _begun(call)
            zone = context.pipeline.zone
            hello = {"serial": zone.serial, "zones": [text_of(one) for one in zone.config.zones]}
            await response.write(
                Event("hello", msgspec.json.encode(hello), str(zone.serial)).wire()
            )
            if since is not None:
                await response.write(_missed(call, since))
            lost = 0
            while True:
                try:
                    async with asyncio.timeout(BEAT):
                        event = await listener.queue.get()
                except TimeoutError:
                    await response.write(b": beat\n\n")
                    continue
                parts = [event.wire()]
                parts += [listener.queue.get_nowait().wire() for _ in range(listener.queue.qsize())]
                if listener.lost > lost:
                    lost = listener.lost
                    parts.append(Event("lost", msgspec.json.encode({"events": lost})).wire())
                await response.write(b"".join(parts))
    except TooMany as error:
        raise Problem(503, str(error)) from error


def _missed(call: Call, since: int) -> bytes:
    journal = call.context.pipeline.journal
    changes = journal.since(since) if journal is not None else None
    if changes is None or len(changes) > _KEPT:
        serial = call.context.pipeline.zone.serial
        return Event("reset", msgspec.json.encode({"serial": serial}), str(serial)).wire()
    return b"".join(change_event(one).wire() for one in changes)


async def queries(call: Call) -> web.StreamResponse:
    """Queries as they are answered, sampled above a rate."""
    query, live = call.query, call.context.live
    wanted = Filter(query.name, query.client, query.rcode, query.type)
    try:
        wanted.check()
        with live.listening(wanted) as listener:
            response = await _begun(call)
            hello = {"samples_per_second_and_worker": live.rate, "filter": wanted}
            await response.write(Event("hello", msgspec.json.encode(hello)).wire())
            lost = 0
            async for bundle in bundles(listener, BEAT):
                parts = [Event("query", msgspec.json.encode(one)).wire() for one in bundle]
                if listener.lost > lost:
                    lost = listener.lost
                    parts.append(Event("lost", msgspec.json.encode({"queries": lost})).wire())
                await response.write(b"".join(parts) or b": beat\n\n")
            return response
    except TooManyListeners as error:
        raise Problem(503, str(error)) from error
    except ValueError as error:
        raise Problem(400, f"client: {error}") from error


async def _begun(call: Call) -> web.StreamResponse:
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(call.request)
    return response


async def top(call: Call) -> Any:
    """Names, clients, NXDOMAINs, types: the most frequent ones, from samples."""
    live, query = call.context.live, call.query
    return {
        "window": query.window,
        "sampled_one_in": round(live.one_in(query.window), 2),
        "samples_per_second_and_worker": live.rate,
        **{one: live.top(query.window, one, query.k) for one in DIMENSIONS},
    }


ROUTES = (
    Route("GET", "/api/v1/events", events, query=EventsQuery, stream=True),
    Route("GET", "/api/v1/queries/stream", queries, query=QueriesQuery, stream=True),
    Route("GET", "/api/v1/queries/top", top, query=TopQuery),
)
