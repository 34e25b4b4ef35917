"""A client of the API of a running dnsd.

In `commands/` (the command line). Change here: how commands send requests, and their error texts.

It uses plain `http.client`: no session, no redirect (which could leak a token), no proxy from the
environment, and a limit on each wait and size. An error is a `Failure` of one line that names the
URL and the remedy.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from dnsd.commands import Failure

API = "/api/v1"
JSON, YAML = "application/json", "application/yaml"
_TIMEOUT = 10.0  # seconds for each step: connect, send, and each read
MAX_RESPONSE = 64 << 20  # bytes of one JSON document
_CHUNK = 1 << 16
_PORTS = {"http": 80, "https": 443}
# A member that the response of dnsd has, by the last part of the route. Another server at the URL
# may also answer with JSON.
_MEMBERS = {
    "explain": "verdict",
    "history": "changes",
    "plan": "verdict",
    "records": "records",
    "resolve": "reply",
    "status": "workers",
    "top": "nxdomains",
    "zones": "zones",
}


class ApiUrl(Struct, frozen=True):
    """The URL of an API. `base`: the path in front of each route, without a trailing slash."""

    scheme: str
    host: str
    port: int
    base: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.base}"

    @property
    def local(self) -> bool:
        """Whether it is a loopback address."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False


def api_url(url: str) -> ApiUrl:
    """The parts of a URL. Raises ValueError with the reason."""
    invalid = f"{url!r} is not a URL; write it like http://127.0.0.1:8053"
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(invalid) from error
    if parts.scheme not in _PORTS or not host or not url.isprintable() or " " in url:
        raise ValueError(invalid)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("the URL has a user, ?, or #; give the token with --token-file")
    default = _PORTS[parts.scheme] if "//" in url else 8053
    return ApiUrl(parts.scheme, host, port or default, parts.path.rstrip("/"))


class Client:
    """A client of one API. `token` may be empty; `token_source` names its origin in errors."""

    def __init__(self, url: ApiUrl, token: str = "", token_source: str = "", ca: str = "") -> None:
        self.url, self.token = url, token
        self._token_source, self._ca = token_source, ca

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """The JSON of a route below /api/v1. Parameters that are "" or None are left out.

        All methods raise Failure.
        """
        return self._json("GET", path, query, b"", "")

    def post(self, path: str, body: bytes, content_type: str, **query: object) -> dict[str, Any]:
        """The JSON response to a body."""
        return self._json("POST", path, query, body, content_type)

    def text(self, path: str, **query: object) -> Iterator[bytes]:
        """The response as bytes, chunk by chunk."""
        with self._response("GET", path, query, b"", "") as response:
            yield from self._chunks(response)

    def _json(self, method: str, path: str, query: Any, body: bytes, kind: str) -> dict[str, Any]:
        data = bytearray()
        with self._response(method, path, query, body, kind) as response:
            for chunk in self._chunks(response):
                data += chunk
                if len(data) > MAX_RESPONSE:
                    limit = MAX_RESPONSE >> 20
                    raise Failure(f"{self.url}: the response exceeds {limit} MiB")
        try:
            found = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._not_dnsd("its response is not JSON") from error
        if not isinstance(found, dict) or _MEMBERS[path.rpartition("/")[2]] not in found:
            raise self._not_dnsd("its response is other JSON")
        return found

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        incomplete = f"{self.url}: the response is incomplete"
        try:
            while chunk := response.read(_CHUNK):
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"{incomplete}: {_reason(error)}") from error
        if response.length:  # http.client does not check it
            raise Failure(f"{incomplete}: {response.length} bytes are missing")

    @contextmanager
    def _response(
        self, method: str, path: str, query: dict[str, object], body: bytes, kind: str
    ) -> Iterator[http.client.HTTPResponse]:
        """The response with status 200 to a request. Closes the connection in any case."""
        given = {name: value for name, value in query.items() if value not in ("", None)}
        target = self.url.base + API + path + (f"?{urlencode(given)}" if given else "")
        headers = {"Accept": "*/*", "User-Agent": "dnsd"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if kind:
            headers["Content-Type"] = kind
        with closing(self._connection()) as connection:
            try:
                connection.request(method, target, body or None, headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from error
            if response.status != 200:
                raise self._refused(response)
            yield response

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.url.host, self.url.port
        if self.url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
        try:
            context = ssl.create_default_context(cafile=self._ca or None)
        except OSError as error:
            raise Failure(f"--ca: {self._ca}: {error.strerror or error}") from error
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)

    def _not_dnsd(self, reason: str) -> Failure:
        return Failure(f"{self.url} is not a dnsd: {reason}")

    def _unreachable(self, error: Exception) -> Failure:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Failure(
                f"{self.url}: {error.verify_message}; give its certificate with --ca FILE"
            )
        if isinstance(error, ssl.SSLError):
            return Failure(f"{self.url} does not use TLS; try http://")
        if isinstance(error, http.client.HTTPException):
            return self._not_dnsd("it does not use HTTP, or only https")
        return Failure(
            f"no dnsd at {self.url}: {_reason(error)}; start it, or check the admin address"
        )

    def _refused(self, response: http.client.HTTPResponse) -> Failure:
        """The error of a status other than 200."""
        problem = _problem(response)
        if response.status == 401 and self.token:
            return Failure(f"{self.url} does not accept the token {self._token_source}")
        if response.status == 401:
            return Failure(
                f"{self.url} requires a token, and none was found; give --token-file FILE,"
                " DNSD_TOKEN, or --state-dir DIR of that dnsd"
            )
        if not problem:
            return self._not_dnsd(f"it answers {response.status} {response.reason}")
        return Failure(problem)


def path_part(text: str) -> str:
    """Text as one part of a path."""
    return quote(text, safe="")


def _problem(response: http.client.HTTPResponse) -> str:
    """The detail of an RFC 9457 problem; "" for another response."""
    if response.headers.get_content_type() != "application/problem+json":
        return ""
    try:
        found = msgspec.json.decode(response.read(1 << 20))
    except (OSError, http.client.HTTPException, msgspec.DecodeError, RecursionError):
        return ""
    detail = found.get("detail") if isinstance(found, dict) else None
    return " ".join(detail.split()) if isinstance(detail, str) else ""


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT:.0f} s"
    if isinstance(error, socket.gaierror):
        return "the host name does not resolve"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
