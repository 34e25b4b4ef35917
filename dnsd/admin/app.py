"""The HTTP server of the control process: one table of routes, one gate in front of it.

What a request has to pass, in this order, before any resource sees it:

1. **Host**: an address, `localhost`, or a name of `admin_hosts`. A page of another site that
   had its name point here (DNS rebinding) is turned away.
2. **Origin** and **Sec-Fetch-Site**: no request that another site's page made.
3. **Token**: dnsd's own, or, by `admin_cluster_tokens`, the cluster's (delegated.py). By the
   table: OPEN routes (probes, metrics, the page's own files) need none, READ routes one unless
   `admin_anonymous_read`, WRITE routes one that may write. Whatever is not in the table needs
   a token to be told that it is not there.
4. **Content-Type, body, parameters**: as the route says, within its bounds.

There are no cookies: the page keeps its token in the tab and sends it as everybody does, so
there is nothing that another site could make a browser send along.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from dnsd.admin.auth import Role, Token, Tokens
from dnsd.admin.cluster_auth import CannotAsk, ClusterTokens, Person
from dnsd.admin.context import Context
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
from dnsd.admin.routing import Access, Call, Problem, Route, answer, read_body, read_query
from dnsd.sources.kubernetes.reviews import PATH

log = structlog.get_logger(__name__)

TIMEOUT = 30.0  # seconds a request may take that is no stream
_KEEP_ALIVE = 30.0
_BACKLOG = 128
# At once, streams included. One that sends no request is closed after _KEEP_ALIVE.
MAX_CONNECTIONS = 256

ROUTES: tuple[Route, ...] = (
    *probes.ROUTES,
    *zones.ROUTES,
    *services.ROUTES,
    *history.ROUTES,
    *diagnostics.ROUTES,
    *streams.ROUTES,
    *records.ROUTES,
    *actions.ROUTES,
    *static.ROUTES,
)

# Nothing of the API is meant to be shown by a browser as a page. See static.py for what is.
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
    """Who may ask what. `hosts`: names besides addresses and localhost."""

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
        """The name of whose token it is, "" for nobody's. Raises Problem."""
        self._check_host(request)
        self._check_origin(request, access)
        if access is Access.OPEN:
            return ""
        bearer = _bearer(request)
        if not bearer and access is Access.READ and self._anonymous_read:
            return ""
        person = await self._person(bearer) if bearer else None
        if person is None:
            raise Problem(401, "a token is needed: Authorization: Bearer TOKEN")
        if person.role is None:
            raise Problem(403, f"{person.name} lacks the verb get on {PATH} (RBAC)")
        if access is Access.WRITE and person.role is not Role.WRITE:
            raise Problem(403, f"the token of {person.name} may read, and not write")
        return person.name

    async def _person(self, bearer: str) -> Token | Person | None:
        """Whose token it is. dnsd's own come first: they need nobody else."""
        token = self._tokens.find(bearer)
        if token is not None or self._cluster is None:
            return token
        try:
            return await self._cluster.find(bearer)
        except CannotAsk as error:
            raise Problem(503, str(error)) from error

    def _check_host(self, request: web.Request) -> None:
        host = _host_of(request.headers.get("Host", ""))
        if _is_address(host) or host in self._hosts:
            return
        raise Problem(421, f"this server is not called {host[:255]!r} (admin_hosts)")

    def _check_origin(self, request: web.Request, access: Access) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and not _same_origin(origin, request):
            raise Problem(403, "requests of pages of other sites are not answered (Origin)")
        site = request.headers.get("Sec-Fetch-Site", "none")
        # Who follows a link to the page comes from another site, and takes nothing back.
        if access is Access.OPEN and request.headers.get("Sec-Fetch-Mode") == "navigate":
            return
        if site not in ("same-origin", "none"):
            raise Problem(403, "requests of pages of other sites are not answered (Sec-Fetch-Site)")


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _host_of(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _same_origin(origin: str, request: web.Request) -> bool:
    return origin.lower() == f"{request.scheme}://{request.headers.get('Host', '')}".lower()


# ---------------------------------------------------------------------------------------


def application(context: Context, gate: Gate, routes: Iterable[Route] = ROUTES) -> web.Application:
    """The application: every route behind the gate, every error a problem."""
    app = web.Application(middlewares=[_outermost(gate)])
    for route in routes:
        handler = _behind(route, context, gate)
        app.router.add_route(route.method, route.path, handler)
        if route.access is Access.OPEN:  # some load balancers probe with HEAD
            app.router.add_route("HEAD", route.path, handler)
    return app


def _behind(route: Route, context: Context, gate: Gate) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        who = await gate.admit(request, route.access)
        if route.stream:
            return await _call(route, request, context, who)
        try:
            async with asyncio.timeout(TIMEOUT):
                return await _call(route, request, context, who)
        except TimeoutError as error:
            raise Problem(503, f"it took longer than {TIMEOUT:.0f} s") from error

    return handle


async def _call(
    route: Route, request: web.Request, context: Context, who: str
) -> web.StreamResponse:
    query = read_query(route, request)
    body = await read_body(route, request)
    if route.access is Access.WRITE:
        log.info("asked by the API", method=route.method, path=request.path[:300], by=who)
    result = await route.handler(Call(request, context, query, body, who))
    return result if isinstance(result, web.StreamResponse) else answer(result)


def _outermost(gate: Gate) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            response = await _safely(request, handler, gate)
        except Problem as problem:
            headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else None
            response = problem.response(headers)
        if not response.prepared:
            _add_headers(response)
        return response

    return guarded


async def _safely(request: web.Request, handler: _Handler, gate: Gate) -> web.StreamResponse:
    """Runs a handler; whatever it raises becomes a Problem."""
    try:
        if request.match_info.http_exception is not None:
            # Not in the table: only who has a token learns so.
            await gate.admit(request, Access.READ)
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        raise Problem(405, f"{request.method} is not allowed here; {allowed} is") from error
    except web.HTTPException as error:
        raise Problem(error.status, f"{request.path[:300]}: {error.reason}") from error
    except (Problem, asyncio.CancelledError, ConnectionError):
        raise
    except HttpProcessingError as error:
        raise Problem(error.code, error.message) from error
    except Exception as error:
        log.exception("a request could not be answered, a bug", path=request.path[:300])
        raise Problem(500, "a bug; the log has more") from error


def _add_headers(response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = _HEADERS["Server"]


async def _on_prepare(_: web.Request, response: web.StreamResponse) -> None:
    _add_headers(response)  # streams prepare themselves before they come back


# ---------------------------------------------------------------------------------------


class _Full(asyncio.Protocol):
    """Who comes when there is no room: hung up on, so that sockets for DNS are left."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@asynccontextmanager
async def listening(
    app: web.Application, sock: socket.socket, context: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Serves the application on a listening socket for as long as the context lasts."""
    app.on_response_prepare.append(_on_prepare)
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
        assert handlers is not None  # noqa: S101 - setup has made it

        def accepted() -> asyncio.BaseProtocol:
            return handlers() if len(handlers.connections) < MAX_CONNECTIONS else _Full()

        server = await asyncio.get_running_loop().create_server(
            accepted, sock=sock, ssl=context, backlog=_BACKLOG
        )
        try:
            yield
        finally:
            server.close()
    finally:
        # Streams would be waited for otherwise; who reads one comes back.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3.0):
                await runner.cleanup()
