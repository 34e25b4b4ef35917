"""The files of the page, and the description of the API.

The page is plain files in `ui/`, all read at the first request and served by name from a
dictionary, so no path of a request ever touches the file system. Everything it loads is its
own: the policy below lets a browser load nothing else.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from aiohttp import web
from msgspec import Struct

from dnsd.admin.routing import YAML, Access, Call, Problem, Route

UI = Path(__file__).parent.parent / "ui"
OPENAPI = Path(__file__).parent.parent / "openapi.yaml"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}
_NO_PAGE = (
    "<!doctype html><html lang=en><title>dnsd</title><p>dnsd answers. Its API is described at"
    " <a href=/api/v1/openapi.yaml>/api/v1/openapi.yaml</a>.</p></html>"
)


class File(Struct, frozen=True):
    """A file of the page."""

    body: bytes
    type: str
    etag: str


@lru_cache(maxsize=1)
def files() -> dict[str, File]:
    """Every file of the page by its path below `ui/`."""
    found = {}
    for path in sorted(UI.rglob("*")):
        kind = _TYPES.get(path.suffix)
        if kind and path.is_file():
            found[path.relative_to(UI).as_posix()] = _file(path.read_bytes(), kind)
    found.setdefault("index.html", _file(_NO_PAGE.encode(), "text/html"))
    return found


def _file(body: bytes, kind: str) -> File:
    return File(body, kind, f'"{sha256(body).hexdigest()[:32]}"')


async def index(call: Call) -> web.Response:
    """The page."""
    return _served(call, "index.html")


async def asset(call: Call) -> web.Response:
    """A file of the page."""
    return _served(call, call.path("file"))


async def openapi(call: Call) -> web.Response:  # noqa: ARG001 - every handler has a call
    """The description of the API."""
    return web.Response(body=OPENAPI.read_bytes(), content_type=YAML, charset="utf-8")


def _served(call: Call, name: str) -> web.Response:
    file = files().get(name)
    if file is None:
        raise Problem(404, f"there is no {name[:200]!r}")
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    if call.request.headers.get("If-None-Match") == file.etag:
        return web.Response(status=304, headers=headers)
    text = file.type.startswith("text/")
    return web.Response(
        body=file.body, content_type=file.type, charset="utf-8" if text else None, headers=headers
    )


ROUTES = (
    Route("GET", "/", index, Access.OPEN),
    Route("GET", "/ui/{file:.+}", asset, Access.OPEN),
    Route("GET", "/api/v1/openapi.yaml", openapi),
)
