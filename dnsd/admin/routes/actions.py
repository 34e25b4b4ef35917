"""What can be done to a running dnsd: flush, snapshot, reload, drain, log level."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import structlog
from msgspec import Meta, Struct

from dnsd.admin.context import Saves
from dnsd.admin.routing import JSON, Access, Call, Problem, Route
from dnsd.explain.search_list import name_or_none
from dnsd.observe.logging import set_level
from dnsd.settings.schema import SettingsError
from dnsd.worker.supervisor import NoWorker, WorkersFailed

log = structlog.get_logger(__name__)


class FlushQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`name`: only replies for this one."""

    name: Annotated[str, Meta(max_length=255)] = ""


class Draining(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of /drain."""

    draining: bool = True


class Level(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of /loglevel."""

    level: Literal["debug", "info", "warning", "error"]


async def flush(call: Call) -> Any:
    """Forgets replies of upstreams."""
    name = None
    if call.query.name:
        name = name_or_none(call.query.name.rstrip(".") + ".")
        if name is None:
            raise Problem(400, f"name: {call.query.name!r} is no domain name")
    try:
        count = await call.context.plane.supervisor.flush(name)
    except NoWorker as error:
        raise Problem(503, str(error)) from error
    if count < 0:
        raise Problem(409, "there is no cache: nothing is forwarded")
    return {"flushed": count}


async def snapshot(call: Call) -> Any:
    """Writes the snapshot of the cluster now."""
    try:
        written = await _saved(call)
    except OSError as error:
        raise Problem(507, f"the snapshot cannot be written: {error.strerror}") from error
    if not written:
        raise Problem(409, "no snapshot is kept: that needs --kubernetes and --state-dir")
    return {"written": written}


async def _saved(call: Call) -> list[str]:
    return [
        path
        for source in call.context.plane.sources
        if isinstance(source, Saves) and (path := await source.save())
    ]


async def reload(call: Call) -> Any:
    """Reads configuration and sources again, as SIGHUP does."""
    try:
        await call.context.reload()
    except SettingsError as error:
        raise Problem(
            422, "the configuration cannot be used; the old one stays", problems=error.problems
        ) from error
    except WorkersFailed as error:
        raise Problem(500, f"workers do not start with it; the old ones stay: {error}") from error
    return {"reloaded": True}


async def drain(call: Call) -> Any:
    """Takes dnsd out of service (readiness), or back; what is asked is answered all the same."""
    order: Draining = call.json(Draining)
    call.context.draining = order.draining
    log.info("draining" if order.draining else "not draining any more", by=call.who)
    return {"draining": call.context.draining}


async def loglevel(call: Call) -> Any:
    """Logs more, or less, until the next reload."""
    order: Level = call.json(Level)
    set_level(order.level)
    log.info("log level set", level=order.level, by=call.who)
    return {"level": order.level}


ROUTES = (
    Route("POST", "/api/v1/cache/flush", flush, Access.WRITE, query=FlushQuery, takes=(JSON,)),
    Route("POST", "/api/v1/snapshot", snapshot, Access.WRITE, takes=(JSON,)),
    Route("POST", "/api/v1/reload", reload, Access.WRITE, takes=(JSON,)),
    Route("POST", "/api/v1/drain", drain, Access.WRITE, takes=(JSON,)),
    Route("PUT", "/api/v1/loglevel", loglevel, Access.WRITE, takes=(JSON,)),
)
