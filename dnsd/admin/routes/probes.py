"""Probes, metrics, status, sources: how dnsd is doing."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from aiohttp import web

from dnsd import __version__
from dnsd.admin.routing import Access, Call, Route, text
from dnsd.dns.names import text_of
from dnsd.settings.schema import effective
from dnsd.transport.listener import endpoints


async def healthz(call: Call) -> web.Response:
    """Every process alive, event loops moving."""
    health = call.context.healthy()
    return text(health.reason + "\n", status=200 if health.ok else 503)


async def readyz(call: Call) -> web.Response:
    """Synced, not stale, not draining."""
    health = call.context.ready()
    return text(health.reason + "\n", status=200 if health.ok else 503)


async def metrics(call: Call) -> web.Response:
    """What Prometheus scrapes."""
    # The client library comes with a web server of its own: not before somebody scrapes.
    from dnsd.observe.metrics import exposition

    body = exposition(call.context.facts())
    response = text(body)
    response.headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
    return response


async def status(call: Call) -> Any:
    """Everything at a glance."""
    context = call.context
    plane, zone, now = context.plane, context.pipeline.zone, time.time()
    healthy, ready = context.healthy(), context.ready()
    return {
        "version": __version__,
        "started_at": plane.started_at,
        "uptime": round(now - plane.started_at, 1),
        "healthy": healthy,
        "ready": ready,
        "stale": context.stale,
        "draining": context.draining,
        "listen": [str(one) for one in endpoints(plane.listeners)],
        "zones": [text_of(one) for one in zone.config.zones],
        "serial": zone.serial,
        "names": len(zone),
        "objects": context.pipeline.state.counts(),
        "services": context.services_by_type(),
        "problems": {str(key): list(found) for key, found in _first(context.pipeline.problems)},
        "sources": context.sources(),
        "workers": context.workers(),
        "upstreams": context.servers(),
        "counters": {name: count for name, count in context.counters().items() if count},
        "rates": context.rates(),
        "answer_seconds": {
            "p50": context.live.answer_seconds.quantile(0.5),
            "p99": context.live.answer_seconds.quantile(0.99),
            "sampled": context.live.answer_seconds.count,
        },
        "change_seconds": {
            "p50": context.change_seconds.quantile(0.5),
            "p99": context.change_seconds.quantile(0.99),
            "count": context.change_seconds.count,
        },
        "history": context.history_status,
        "settings": effective(plane.settings),
    }


def _first(problems: dict[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(problems.items())[:100]


async def sources(call: Call) -> Any:
    """Each watch: state, last event, resourceVersion, relists, errors."""
    return {"sources": [msgspec.to_builtins(one) for one in call.context.sources()]}


ROUTES = (
    Route("GET", "/healthz", healthz, Access.OPEN),
    Route("GET", "/readyz", readyz, Access.OPEN),
    Route("GET", "/metrics", metrics, Access.OPEN),
    Route("GET", "/api/v1/status", status),
    Route("GET", "/api/v1/sources", sources),
)
