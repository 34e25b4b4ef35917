"""The HTTP server of the control process: one table of routes, and one gate in front of it.

In `admin/` (control plane: the HTTP API). Change here: the checks before a route, and HTTP limits.

A request passes these checks, in this order, before a route handles it:

1. **Host**: an address, `localhost`, or a name of `admin_hosts`. This stops DNS rebinding, where
   a page of another site changes its own name to the address of dnsd.
2. **Origin** and **Sec-Fetch-Site**: requests that pages of other sites send are refused.
3. **Token**: of the token file, of dnsd, or with `admin_cluster_tokens` of the cluster
   (cluster_auth.py). OPEN routes (probes, metrics, files of the page) require none. READ routes
   require one unless `admin_anonymous_read` is on, and WRITE routes require one that may write.
   A path that is not in the table gets 404 only with a token.
4. **Content-Type, body, and parameters**: as the route declares, within its limits.

dnsd uses no cookies. The page keeps its token in the tab and sends it in a header, so another site
cannot make a browser send it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from dnsd.admin.auth import Identity, Role, Tokens
from dnsd.admin.cluster_auth import CheckFailed, ClusterTokens
from dnsd.admin.context import Context
from dnsd.admin.listeners import TooManyListeners
from dnsd.admin.routes import (
    actions,
    diagnostics,
    history,
    probes,
    records,
    services,
    static,
    streams,
    zones,
)
from dnsd.admin.routing import (
    Access,
    Problem,
    Request,
    Route,
    json_response,
    read_body,
    read_query,
)
from dnsd.dns.addresses import is_address
from dnsd.explain.explain import BadQuestion
from dnsd.explain.plan import TooMuch
from dnsd.sources.kubernetes.reviews import PATH
from dnsd.transport.registry import UnknownTransport
from dnsd.worker.requests import NoWorker

log = structlog.get_logger(__name__)

TIMEOUT = 30.0  # seconds for a request, except for streams
_KEEP_ALIVE = 30.0  # seconds until an idle connection is closed
_BACKLOG = 128
MAX_CONNECTIONS = 256  # streams included

_MODULES = (probes, zones, services, history, diagnostics, streams, records, actions, static)
ROUTES: tuple[Route, ...] = tuple(route for module in _MODULES for route in module.ROUTES)

# A browser must not render a response of the API. static.py sets the policy of the page.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "dnsd",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Authorizes requests. `hosts`: allowed Host names besides addresses and localhost."""

    def __init__(
        self,
        tokens: Tokens,
        hosts: Iterable[str],
        anonymous_read: bool,
        cluster: ClusterTokens | None = None,
    ) -> None:
        self._tokens, self._cluster = tokens, cluster
        self._hosts = {"localhost", *(host.lower().rstrip(".") for host in hosts)}
        self._anonymous_read = anonymous_read

    async def admit(self, request: web.Request, access: Access) -> str:
        """The name of the request's identity, "" without a token. Raises Problem, CheckFailed."""
        self._check_host(request)
        self._check_origin(request, access)
        if access is Access.OPEN:
            return ""
        bearer = _bearer(request)
        if not bearer and access is Access.READ and self._anonymous_read:
            return ""
        identity = await self._identity(bearer) if bearer else None
        if identity is None:
            raise Problem(401, "a valid token is required: send Authorization: Bearer TOKEN")
        if identity.role is None:
            raise Problem(403, f"{identity.name} needs the verb get on {PATH} (RBAC)")
        if access is Access.WRITE and identity.role is not Role.WRITE:
            raise Problem(403, f"the token of {identity.name} has the role read; write is required")
        return identity.name

    async def _identity(self, bearer: str) -> Identity | None:
        """The identity of a token. dnsd's own tokens come first: they need no API server."""
        identity = self._tokens.find(bearer)
        if identity is not None or self._cluster is None:
            return identity
        return await self._cluster.find(bearer)

    def _check_host(self, request: web.Request) -> None:
        host = _host_of(request.headers.get("Host", ""))
        if host not in self._hosts and not is_address(host.partition("%")[0]):
            raise Problem(421, f"Host {host[:255]!r} is not allowed; add it to admin_hosts")

    def _check_origin(self, request: web.Request, access: Access) -> None:
        own = f"{request.scheme}://{request.headers.get('Host', '')}"
        if request.headers.get("Origin", own).lower() != own.lower():
            raise Problem(403, "requests from pages of other sites are refused (Origin)")
        site = request.headers.get("Sec-Fetch-Site", "none")
        # A link on another site may open the page; that site cannot read the response.
        if access is Access.OPEN and request.headers.get("Sec-Fetch-Mode") == "navigate":
            return
        if site not in ("same-origin", "none"):
            raise Problem(403, "requests from pages of other sites are refused (Sec-Fetch-Site)")


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _host_of(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


# ---------------------------------------------------------------------------------------


def application(context: Context, gate: Gate, routes: Iterable[Route] = ROUTES) -> web.Application:
    """The application: each route behind the gate, each error as a problem."""
    app = web.Application(middlewares=[_outermost(gate)])
    for route in routes:
        handler = _guarded(route, context, gate)
        app.router.add_route(route.method, route.path, handler)
        if route.access is Access.OPEN:  # load balancers may probe with HEAD
            app.router.add_route("HEAD", route.path, handler)
    return app


def _guarded(route: Route, context: Context, gate: Gate) -> _Handler:
    async def handle(http: web.Request) -> web.StreamResponse:
        identity = await gate.admit(http, route.access)
        try:
            async with asyncio.timeout(None if route.stream else TIMEOUT):
                query = read_query(route, http)
                body = await read_body(route, http)
                if route.access is Access.WRITE:
                    log.info(
                        "write request", method=route.method, path=http.path[:300], by=identity
                    )
                result = await route.handler(Request(http, context, query, body, identity))
        except TimeoutError as error:
            raise Problem(503, f"the request took longer than {TIMEOUT:.0f} s") from error
        return result if isinstance(result, web.StreamResponse) else json_response(result)

    return handle


def _outermost(gate: Gate) -> Middleware:
    """Run a handler. Any error becomes the response of a Problem."""

    @web.middleware
    async def respond(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            if request.match_info.http_exception is not None:
                # Not in the table: a client without a token must not learn that.
                await gate.admit(request, Access.READ)
            return await handler(request)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - `_problem` logs a bug
            return _problem(error, request).response()

    return respond


def _problem(error: Exception, request: web.Request) -> Problem:
    """The Problem of an error. An error that is not listed is a bug."""
    match error:
        case Problem():
            return error
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Problem(405, f"{request.method} is not allowed here; use {allowed}")
        case web.HTTPException():
            return Problem(error.status, f"{request.path[:300]}: {error.reason}")
        case HttpProcessingError():
            return Problem(error.code, error.message)
        case BadQuestion():
            return Problem(400, f"{error.field}: {error}")
        case UnknownTransport():
            return Problem(400, f"over: {error}")
        case TooMuch():
            return Problem(413, str(error))
        case CheckFailed() | NoWorker() | TooManyListeners():
            return Problem(503, str(error))
        case _:
            log.exception("a request failed, a bug", path=request.path[:300], exc_info=error)
            return Problem(500, "internal error, a bug; the log has the traceback")


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers, just before the response is sent."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = _HEADERS["Server"]


# ---------------------------------------------------------------------------------------


class _Refused(asyncio.Protocol):
    """A connection beyond the limit. It is closed, so that file descriptors for DNS are left."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@asynccontextmanager
async def listening(
    app: web.Application, sock: socket.socket, context: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Serve the application on a listening socket for as long as the context lasts."""
    app.on_response_prepare.append(_add_headers)
    runner = web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE,
        shutdown_timeout=1.0,
        max_line_size=8190,
        max_field_size=8190,
        handler_cancellation=True,
    )
    await runner.setup()
    try:
        handlers = runner.server
        assert handlers is not None  # noqa: S101 - setup sets it

        def accepted() -> asyncio.BaseProtocol:
            return handlers() if len(handlers.connections) < MAX_CONNECTIONS else _Refused()

        server = await asyncio.get_running_loop().create_server(
            accepted, sock=sock, ssl=context, backlog=_BACKLOG
        )
        try:
            yield
        finally:
            server.close()
    finally:
        # Do not wait for streams: their clients reconnect.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3.0):
                await runner.cleanup()
