"""The files of the web page, and the OpenAPI description.

In `admin/routes/` (control plane: HTTP). Change here: how the page is served, and its policy.

The page is plain files in `ui/`. The first request reads all of them into a dictionary by name, so
the path of a request never reaches the file system. The policy below allows a browser to load
nothing from another host.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from aiohttp import web
from msgspec import Struct

from dnsd.admin.routing import YAML, Access, Problem, Request, Route

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
_WITHOUT_PAGE = (
    "<!doctype html><html lang=en><title>dnsd</title><p>dnsd runs. Its API is described at"
    " <a href=/api/v1/openapi.yaml>/api/v1/openapi.yaml</a>.</p></html>"
)


class File(Struct, frozen=True):
    """A file of the page."""

    body: bytes
    type: str
    etag: str


@lru_cache(maxsize=1)
def files() -> dict[str, File]:
    """Each file of the page by its path below `ui/`."""
    found = {}
    for path in sorted(UI.rglob("*")):
        kind = _TYPES.get(path.suffix)
        if kind and path.is_file():
            found[path.relative_to(UI).as_posix()] = _file(path.read_bytes(), kind)
    found.setdefault("index.html", _file(_WITHOUT_PAGE.encode(), "text/html"))
    return found


def _file(body: bytes, kind: str) -> File:
    return File(body, kind, f'"{sha256(body).hexdigest()[:32]}"')


async def index(request: Request) -> web.Response:
    """The page."""
    return _served(request, "index.html")


async def asset(request: Request) -> web.Response:
    """A file of the page."""
    return _served(request, request.path("file"))


async def openapi(request: Request) -> web.Response:  # noqa: ARG001 - every handler has a request
    """The OpenAPI description of the API."""
    return web.Response(body=OPENAPI.read_bytes(), content_type=YAML, charset="utf-8")


def _served(request: Request, name: str) -> web.Response:
    file = files().get(name)
    if file is None:
        raise Problem(404, f"file {name[:200]!r} does not exist")
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    if request.http.headers.get("If-None-Match") == file.etag:
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
