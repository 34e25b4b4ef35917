"""Live data: events and queries (server-sent events), and the top lists.

In `admin/routes/` (control plane: HTTP). Change here: what streams send, and when.

A stream ends when the client closes the connection. A comment every `HEARTBEAT` seconds keeps it
open through proxies, and detects a client that is gone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta

from dnsd.admin.events import Event, change_event
from dnsd.admin.listeners import Listener
from dnsd.admin.live import DIMENSIONS, Filter, Query
from dnsd.admin.routing import Parameters, Problem, Request, Route
from dnsd.dns.names import text_of

HEARTBEAT = 15.0  # seconds
_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
_MAX_MISSED = 1000  # changes that are sent to a client that reconnects


class EventsQuery(Parameters, frozen=True):
    """`since`: a serial. The changes after it are sent first, if the journal has them."""

    since: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None


class TopQuery(Parameters, frozen=True):
    """The window, and the number of items in each list."""

    window: Literal["1m", "10m"] = "1m"
    k: Annotated[int, Meta(ge=1, le=200)] = 20


async def events(request: Request) -> web.StreamResponse:
    """Changes of the zone, and state changes of the sources."""
    context, zone = request.context, request.context.pipeline.zone
    since = request.query.since
    last = request.http.headers.get("Last-Event-ID", "")
    if since is None and last.isdecimal() and int(last) < 2**32:
        since = int(last)
    with context.events.listening() as listener:
        hello = {"serial": zone.serial, "zones": [text_of(one) for one in zone.config.zones]}
        response = await _started(request, Event.of("hello", hello, str(zone.serial)))
        if since is not None:
            await response.write(_missed(request, since))
        return await _sent(response, listener, "events")


def _missed(request: Request, since: int) -> bytes:
    """The changes after a serial, or a reset if there are too many or they are not kept."""
    pipeline = request.context.pipeline
    changes = pipeline.journal.since(since) if pipeline.journal is not None else None
    if changes is None or len(changes) > _MAX_MISSED:
        serial = pipeline.zone.serial
        return Event.of("reset", {"serial": serial}, str(serial)).wire()
    return b"".join(change_event(one).wire() for one in changes)


async def queries(request: Request) -> web.StreamResponse:
    """Queries as they are answered. They are sampled above a rate."""
    live = request.context.live
    try:
        with live.listening(request.query) as listener:
            hello = {"samples_per_second_and_worker": live.rate, "filter": request.query}
            response = await _started(request, Event.of("hello", hello))
            return await _sent(response, listener, "queries")
    except ValueError as error:
        raise Problem(400, f"client: {error}") from error


async def _started(request: Request, hello: Event) -> web.StreamResponse:
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request.http)
    await response.write(hello.wire())
    return response


async def _sent(
    response: web.StreamResponse, listener: Listener[Event] | Listener[Query], noun: str
) -> web.StreamResponse:
    """Send what the listener gets, until the request is cancelled. `noun`: in event "lost"."""
    lost = 0
    while True:
        items = await listener.next(HEARTBEAT)
        sent = [one if isinstance(one, Event) else Event.of("query", one) for one in items]
        if listener.lost > lost:
            lost = listener.lost
            sent.append(Event.of("lost", {noun: lost}))
        await response.write(b"".join(one.wire() for one in sent) or b": heartbeat\n\n")


async def top(request: Request) -> Any:
    """The most frequent names, clients, NXDOMAIN names, and types, from samples."""
    live, query = request.context.live, request.query
    return {
        "window": query.window,
        "sampled_one_in": round(live.one_in(query.window), 2),
        "samples_per_second_and_worker": live.rate,
        **{one: live.top(query.window, one, query.k) for one in DIMENSIONS},
    }


ROUTES = (
    Route("GET", "/api/v1/events", events, query=EventsQuery, stream=True),
    Route("GET", "/api/v1/queries/stream", queries, query=Filter, stream=True),
    Route("GET", "/api/v1/queries/top", top, query=TopQuery),
)
