"""Actions on a running dnsd: flush, snapshot, reload, drain, and log level.

In `admin/routes/` (control plane: HTTP). Change here: what an operator can trigger.
"""

from __future__ import annotations

from typing import Any, Literal

import structlog

from dnsd.admin.context import SavesSnapshot
from dnsd.admin.routing import (
    JSON,
    Access,
    NameText,
    Parameters,
    Problem,
    Request,
    Route,
    domain_name,
)
from dnsd.observe.logging import set_level
from dnsd.settings.schema import SettingsError
from dnsd.worker.supervisor import WorkersFailed

log = structlog.get_logger(__name__)


class FlushQuery(Parameters, frozen=True):
    """`name`: flush only the replies for this name."""

    name: NameText = ""


class Drain(Parameters, frozen=True):
    """The body of /drain."""

    draining: bool = True


class Level(Parameters, frozen=True):
    """The body of /loglevel."""

    level: Literal["debug", "info", "warning", "error"]


async def flush(request: Request) -> Any:
    """Remove upstream replies from the caches of all workers."""
    name = domain_name(request.query.name) if request.query.name else None
    count = await request.context.plane.supervisor.flush(name)
    if count < 0:
        raise Problem(409, "forwarding is off, so no reply is cached")
    return {"flushed": count}


async def snapshot(request: Request) -> Any:
    """Write the snapshots of the sources now."""
    written = []
    for source in request.context.plane.sources:
        if isinstance(source, SavesSnapshot):
            try:
                written.append(await source.save())
            except OSError as error:
                problem = f"the snapshot cannot be written: {error.strerror}"
                raise Problem(507, problem) from error
    if not any(written):
        raise Problem(409, "no snapshot is kept; start dnsd with --kubernetes and --state-dir")
    return {"written": [path for path in written if path]}


async def reload(request: Request) -> Any:
    """Read the configuration and the sources again, as SIGHUP does."""
    try:
        await request.context.reload()
    except SettingsError as error:
        problem = "the configuration is invalid; the current one stays in force"
        raise Problem(422, problem, problems=error.problems) from error
    except WorkersFailed as error:
        problem = f"workers do not start with it; the current ones continue: {error}"
        raise Problem(500, problem) from error
    return {"reloaded": True}


async def drain(request: Request) -> Any:
    """Report not ready, or ready again. Queries are answered in both cases."""
    draining = request.json(Drain).draining
    request.context.draining = draining
    log.info("draining" if draining else "draining ended", by=request.identity)
    return {"draining": draining}


async def loglevel(request: Request) -> Any:
    """Set the log level until the next reload."""
    level = request.json(Level).level
    set_level(level)
    log.info("log level set", level=level, by=request.identity)
    return {"level": level}


ROUTES = (
    Route("POST", "/api/v1/cache/flush", flush, Access.WRITE, query=FlushQuery, takes=(JSON,)),
    Route("POST", "/api/v1/snapshot", snapshot, Access.WRITE, takes=(JSON,)),
    Route("POST", "/api/v1/reload", reload, Access.WRITE, takes=(JSON,)),
    Route("POST", "/api/v1/drain", drain, Access.WRITE, takes=(JSON,)),
    Route("PUT", "/api/v1/loglevel", loglevel, Access.WRITE, takes=(JSON,)),
)
