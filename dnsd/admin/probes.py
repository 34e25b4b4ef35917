"""Probes, metrics, status, sources: how dnsd is doing."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from aiohttp import web

from dnsd import __version__
from dnsd.admin.web import Access, Call, Route, text
from dnsd.settings import effective
from dnsd.zone.rrset import text_of


async def healthz(call: Call) -> web.Response:
    """Every process alive, event loops moving."""
    health = call.desk.healthy()
    return text(health.reason + "\n", status=200 if health.ok else 503)


async def readyz(call: Call) -> web.Response:
    """Synced, not stale, not draining."""
    health = call.desk.ready()
    return text(health.reason + "\n", status=200 if health.ok else 503)


async def metrics(call: Call) -> web.Response:
    """What Prometheus scrapes."""
    # The client library comes with a web server of its own: not before somebody scrapes.
    from dnsd.observe.metrics import exposition

    body = exposition(call.desk.facts())
    response = text(body)
    response.headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
    return response


async def status(call: Call) -> Any:
    """Everything at a glance."""
    desk = call.desk
    house, zone, now = desk.house, desk.pipeline.zone, time.time()
    healthy, ready = desk.healthy(), desk.ready()
    return {
        "version": __version__,
        "started_at": house.started_at,
        "uptime": round(now - house.started_at, 1),
        "healthy": healthy,
        "ready": ready,
        "stale": desk.stale,
        "draining": desk.draining,
        "listen": [str(one) for one in house.addresses],
        "zones": [text_of(one) for one in zone.config.zones],
        "serial": zone.serial,
        "names": len(zone),
        "objects": desk.pipeline.state.counts(),
        "services": desk.services_by_type(),
        "problems": {str(key): list(found) for key, found in _first(desk.pipeline.problems)},
        "sources": desk.sources(),
        "workers": desk.workers(),
        "upstreams": desk.servers(),
        "counters": {name: count for name, count in desk.counters().items() if count},
        "rates": desk.rates(),
        "answer_seconds": {
            "p50": desk.live.answer_seconds.quantile(0.5),
            "p99": desk.live.answer_seconds.quantile(0.99),
            "sampled": desk.live.answer_seconds.count,
        },
        "change_seconds": {
            "p50": desk.change_seconds.quantile(0.5),
            "p99": desk.change_seconds.quantile(0.99),
            "count": desk.change_seconds.count,
        },
        "history": desk.history_status,
        "settings": effective(house.settings),
    }


def _first(problems: dict[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(problems.items())[:100]


async def sources(call: Call) -> Any:
    """Each watch: state, last event, resourceVersion, relists, errors."""
    return {"sources": [msgspec.to_builtins(one) for one in call.desk.sources()]}


ROUTES = (
    Route("GET", "/healthz", healthz, Access.OPEN),
    Route("GET", "/readyz", readyz, Access.OPEN),
    Route("GET", "/metrics", metrics, Access.OPEN),
    Route("GET", "/api/v1/status", status),
    Route("GET", "/api/v1/sources", sources),
)
