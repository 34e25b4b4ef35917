"""What every resource of the API is made of: routes, calls, answers, problems.

A resource is a module with handlers and a tuple of `Route`s; `app.py` puts them into one
table. A handler gets a `Call`, whose query and body are checked already, and returns what
msgspec can write as JSON, or an aiohttp response of its own. What goes wrong is raised as a
`Problem` and becomes `application/problem+json` (RFC 9457).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from msgspec import Struct

if TYPE_CHECKING:
    from dnsd.admin.context import Context

JSON, YAML = "application/json", "application/yaml"
PROBLEM = "application/problem+json"
MAX_BODY = 8 << 20  # bytes, of the one route that takes manifests
SMALL_BODY = 64 << 10
MAX_QUERY = 20  # parameters


class Access(Enum):
    """Who may call a route: anybody, who has a token that may read, or write."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"


class Problem(Exception):
    """What a caller did wrong, or cannot have now (RFC 9457). `more`: further members."""

    def __init__(self, status: int, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status, self.detail, self.more = status, detail, more

    def response(self, headers: Mapping[str, str] | None = None) -> web.Response:
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return web.Response(
            status=self.status,
            body=msgspec.json.encode(body),
            content_type=PROBLEM,
            headers=headers,
        )


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A route that takes no parameters."""


class Call:
    """One request to a route. `who`: the name of its token, "" without one."""

    __slots__ = ("body", "context", "query", "request", "who")

    def __init__(
        self, request: web.Request, context: Context, query: Any, body: bytes, who: str
    ) -> None:
        self.request, self.context, self.query = request, context, query
        self.body, self.who = body, who

    def path(self, name: str) -> str:
        """A part of the path, decoded."""
        return self.request.match_info[name]

    def json(self, type_: type[Any]) -> Any:
        """The body as this type. Raises Problem."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=type_)
        except msgspec.ValidationError as error:
            raise Problem(422, f"the body: {error}") from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise Problem(400, f"the body is no JSON: {error}") from error


Handler = Callable[[Call], Awaitable[Any]]


class Route(Struct, frozen=True):
    """One line of the table. `takes`: content types of the body, none: it has no body.

    `path` is what openapi.yaml calls it; `stream`: it answers until somebody goes away.
    """

    method: str
    path: str
    handler: Handler
    access: Access = Access.READ
    query: type[Struct] = NoQuery
    takes: tuple[str, ...] = ()
    max_body: int = SMALL_BODY
    stream: bool = False


def read_query(route: Route, request: web.Request) -> Any:
    """The parameters of a request, as the route's struct. Raises Problem."""
    given: dict[str, str] = {}
    if len(request.query) > MAX_QUERY:
        raise Problem(400, f"{len(request.query)} parameters, at most {MAX_QUERY} are read")
    for name, value in request.query.items():
        if name in given:
            raise Problem(400, f"parameter {name[:100]!r} is given twice")
        given[name] = value
    try:
        return msgspec.convert(given, route.query, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(400, f"a parameter: {error}") from error


async def read_body(route: Route, request: web.Request) -> bytes:
    """The body of a request, within the route's bounds. Raises Problem."""
    if not route.takes:
        return b""
    # Asked for even where the body may be empty: no page of another site can send it
    # without asking first (CORS).
    if request.content_type.lower() not in route.takes:
        raise Problem(415, f"Content-Type must be {' or '.join(route.takes)}")
    size = request.content_length
    if size is not None and size > route.max_body:
        raise Problem(413, f"the body has {size} bytes, at most {route.max_body} are read")
    out = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        out += chunk
        if len(out) > route.max_body:
            raise Problem(413, f"the body has more than {route.max_body} bytes")
    return bytes(out)


def answer(value: Any, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(status=status, body=msgspec.json.encode(value), content_type=JSON)


def text(body: str | bytes, content_type: str = "text/plain", status: int = 200) -> web.Response:
    """A text response in UTF-8."""
    data = body.encode() if isinstance(body, str) else body
    return web.Response(status=status, body=data, content_type=content_type, charset="utf-8")
