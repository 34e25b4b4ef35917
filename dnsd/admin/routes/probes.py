"""Probes, metrics, status, and sources.

In `admin/routes/` (control plane: HTTP). Change here: what dnsd reports about itself.
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from dnsd import __version__
from dnsd.admin.context import Health
from dnsd.admin.routing import Access, Request, Route
from dnsd.dns.names import text_of
from dnsd.observe.histogram import Histogram
from dnsd.transport.listener import endpoints

_PROBLEMS = 100  # objects with problems in the status


async def healthz(request: Request) -> web.Response:
    """Whether each process is alive and its event loop runs."""
    return _probe(request.context.healthy())


async def readyz(request: Request) -> web.Response:
    """Whether clients should send queries: synced, not stale, and not draining."""
    return _probe(request.context.ready())


def _probe(health: Health) -> web.Response:
    return web.Response(text=health.reason + "\n", status=200 if health.ok else 503)


async def metrics(request: Request) -> web.Response:
    """The metrics in the text format of Prometheus."""
    # The client library imports a web server of its own, so it is imported at the first scrape.
    from dnsd.observe.metrics import CONTENT_TYPE, exposition

    body = exposition(request.context.facts())
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def status(request: Request) -> Any:
    """The state of dnsd in one document."""
    context = request.context
    plane, zone = context.plane, context.pipeline.zone
    problems = sorted(context.pipeline.problems.items())[:_PROBLEMS]
    return {
        "version": __version__,
        "started_at": plane.started_at,
        "uptime": round(time.monotonic() - plane.started, 1),
        "healthy": context.healthy(),
        "ready": context.ready(),
        "stale": context.stale,
        "draining": context.draining,
        "listen": [str(one) for one in endpoints(plane.listeners)],
        "zones": [text_of(one) for one in zone.config.zones],
        "serial": zone.serial,
        "names": len(zone),
        "objects": context.pipeline.state.counts(),
        "services": context.services_by_type(),
        "problems": {str(key): list(found) for key, found in problems},
        "sources": context.sources(),
        "workers": context.workers(),
        "upstreams": context.servers(),
        "counters": {name: count for name, count in context.counters().items() if count},
        "rates": context.rates(),
        "answer_seconds": _quantiles(context.live.answer_seconds, "sampled"),
        "change_seconds": _quantiles(context.change_seconds, "count"),
        "history": context.history_status,
        "settings": plane.settings.effective(),
    }


def _quantiles(histogram: Histogram, count: str) -> dict[str, float]:
    return {
        "p50": histogram.quantile(0.5),
        "p99": histogram.quantile(0.99),
        count: histogram.count,
    }


async def sources(request: Request) -> Any:
    """Each source: state, last event, resourceVersion, relists, and errors."""
    return {"sources": request.context.sources()}


ROUTES = (
    Route("GET", "/healthz", healthz, Access.OPEN),
    Route("GET", "/readyz", readyz, Access.OPEN),
    Route("GET", "/metrics", metrics, Access.OPEN),
    Route("GET", "/api/v1/status", status),
    Route("GET", "/api/v1/sources", sources),
)
