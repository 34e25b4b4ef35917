"""The building blocks of the API: routes, requests, parameters, and problems.

In `admin/` (control plane: the HTTP API). Change here: how requests are read.

A module in `routes/` has handlers and a tuple of `Route`s; `app.py` joins them to one table. A
handler gets a `Request` with its query and body checked. It returns an object that msgspec encodes
as JSON, or an aiohttp response. An error is raised as a `Problem` and becomes
`application/problem+json` (RFC 9457).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from dnsd.dns.names import Name
from dnsd.explain.search_list import name_or_none

if TYPE_CHECKING:
    from dnsd.admin.context import Context

JSON, YAML = "application/json", "application/yaml"
PROBLEM = "application/problem+json"
MAX_BODY = 8 << 20  # bytes, for the route that takes manifests
SMALL_BODY = 64 << 10  # bytes
MAX_PARAMETERS = 20

NameText = Annotated[str, Meta(max_length=255)]
LabelText = Annotated[str, Meta(max_length=63)]
TypeText = Annotated[str, Meta(max_length=20)]
Limit = Annotated[int, Meta(ge=1, le=1000)]


class Access(Enum):
    """Which token a route requires: none, one that may read, or one that may write."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"


class Problem(Exception):
    """The error response to a request (RFC 9457). `more`: additional members."""

    def __init__(self, status: int, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status, self.detail, self.more = status, detail, more

    def response(self) -> web.Response:
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
            headers={"WWW-Authenticate": "Bearer"} if self.status == 401 else None,
        )


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a route; subclasses add fields. Also the bodies of requests."""


class Request(NamedTuple):
    """One request to a route. `identity`: the name of its token, "" without one."""

    http: web.Request
    context: Context
    query: Any
    body: bytes
    identity: str

    def path(self, name: str) -> str:
        """A part of the path, decoded."""
        return self.http.match_info[name]

    def json(self, type_: type[Any]) -> Any:
        """The body as this type. Raises Problem."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=type_)
        except msgspec.ValidationError as error:
            raise Problem(422, f"the body: {error}") from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise Problem(400, f"the body is not JSON: {error}") from error


Handler = Callable[[Request], Awaitable[Any]]


class Route(Struct, frozen=True):
    """One row of the table. `path` is as in openapi.yaml.

    `takes`: content types of the body, empty for a route without one. `stream`: the response
    ends when the client closes the connection.
    """

    method: str
    path: str
    handler: Handler
    access: Access = Access.READ
    query: type[Struct] = Parameters
    takes: tuple[str, ...] = ()
    max_body: int = SMALL_BODY
    stream: bool = False


def read_query(route: Route, http: web.Request) -> Any:
    """The parameters of a request as the route's struct. Raises Problem."""
    if len(http.query) > MAX_PARAMETERS:
        raise Problem(400, f"{len(http.query)} parameters; send at most {MAX_PARAMETERS}")
    for name in http.query:
        if len(http.query.getall(name)) > 1:
            raise Problem(400, f"parameter {name[:100]!r} occurs twice; send it once")
    try:
        return msgspec.convert(dict(http.query), route.query, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(400, f"a parameter: {error}") from error


async def read_body(route: Route, http: web.Request) -> bytes:
    """The body of a request, within the limit of the route. Raises Problem."""
    if not route.takes:
        return b""
    # Also required where the body may be empty: a page of another site cannot send this
    # content type without a preflight request (CORS), which is refused.
    if http.content_type.lower() not in route.takes:
        raise Problem(415, f"Content-Type must be {' or '.join(route.takes)}")
    too_large = Problem(413, f"the body exceeds {route.max_body} bytes")
    if (http.content_length or 0) > route.max_body:
        raise too_large
    out = bytearray()
    async for chunk in http.content.iter_chunked(1 << 16):
        out += chunk
        if len(out) > route.max_body:
            raise too_large
    return bytes(out)


def domain_name(text: str) -> Name:
    """The absolute name that a parameter gives, with or without a trailing dot. Raises Problem."""
    name = name_or_none(text.rstrip(".") + ".")
    if name is None:
        raise Problem(400, f"name: {text!r} is not a domain name")
    return name


def json_response(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type=JSON)
