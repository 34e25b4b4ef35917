"""The API of a running dnsd, from the command line's side.

Plain `http.client`: no session, no redirect (a token must not wander), no proxy from the
environment, every wait and every size bounded. What goes wrong is a `Failure` in one line
that says where it was tried and what to do: nobody there, a token that is not known, a URL
of something else.

A token that was found on this machine is dnsd's own, and is only ever sent to this machine.
One that was given goes where it was told to.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from dnsd.commands import Failure

API = "/api/v1"
JSON, YAML = "application/json", "application/yaml"
_TIMEOUT = 10.0  # seconds for each step: connect, send, every read
_MAX_ANSWER = 64 << 20  # bytes of one JSON document
_CHUNK = 1 << 16
_PORTS = {"http": 80, "https": 443}
# What an answer must have to be dnsd's, by the last part of the route. Whatever else answers
# with JSON at some URL is told apart by this.
_SIGNS = {
    "explain": "verdict",
    "history": "changes",
    "plan": "verdict",
    "records": "records",
    "resolve": "reply",
    "status": "workers",
    "top": "nxdomains",
    "zones": "zones",
}


class Place(Struct, frozen=True):
    """Where an API is. `base`: path in front of every route, without a slash at its end."""

    scheme: str
    host: str
    port: int
    base: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.base}"

    @property
    def here(self) -> bool:
        """Whether it is this machine, whoever else listens there."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False


def place_of(url: str) -> Place:
    """The place of a URL. Raises ValueError, with a sentence, for what is none."""
    hint = "write it like http://127.0.0.1:8053"
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL; {hint}") from error
    if parts.scheme not in _PORTS or not host or not url.isprintable() or " " in url:
        raise ValueError(f"{url!r} is no URL; {hint}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a URL of a server has no user, ? or #; a token goes into --token-file")
    default = _PORTS[parts.scheme] if "//" in url else 8053
    return Place(parts.scheme, host, port or default, parts.path.rstrip("/"))


class Client:
    """One API. `token` may be empty; `told`: where the token came from, for complaints."""

    def __init__(self, place: Place, token: str = "", told: str = "", ca: str = "") -> None:
        self.place = place
        self._token, self._told, self._ca = token, told, ca

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """The JSON of a route below /api/v1; parameters that are "" or None are left out.

        Raises Failure, as everything here does.
        """
        return self._json("GET", path, query, b"", "")

    def post(self, path: str, body: bytes, content_type: str, **query: object) -> dict[str, Any]:
        """What a route answers to a body."""
        return self._json("POST", path, query, body, content_type)

    def text(self, path: str, **query: object) -> Iterator[bytes]:
        """What a route answers that is not JSON, piece by piece."""
        connection, response = self._asked("GET", path, query, b"", "")
        try:
            yield from self._pieces(response)
        finally:
            connection.close()

    def _json(self, method: str, path: str, query: Any, body: bytes, kind: str) -> dict[str, Any]:
        connection, response = self._asked(method, path, query, body, kind)
        data = bytearray()
        try:
            for piece in self._pieces(response):
                data += piece
                if len(data) > _MAX_ANSWER:
                    raise Failure(f"{self.place}: the answer has more than {_MAX_ANSWER >> 20} MiB")
        finally:
            connection.close()
        try:
            answer = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Failure(f"{self.place} is no dnsd: its answer is no JSON") from error
        if not isinstance(answer, dict) or _SIGNS[path.rpartition("/")[2]] not in answer:
            raise Failure(f"{self.place} is no dnsd: its answer is JSON of something else")
        return answer

    def _pieces(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := response.read(_CHUNK):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"{self.place}: the answer broke off: {_reason(error)}") from error
        if response.length:  # http.client does not mind
            raise Failure(
                f"{self.place}: the answer broke off: {response.length} bytes are missing"
            )

    def _asked(
        self, method: str, path: str, query: dict[str, object], body: bytes, kind: str
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        given = {name: value for name, value in query.items() if value not in ("", None)}
        target = self.place.base + API + path + (f"?{urlencode(given)}" if given else "")
        headers = {"Accept": "*/*", "User-Agent": "dnsd"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body or kind:
            headers["Content-Type"] = kind
        connection = self._connection()
        try:
            connection.request(method, target, body or None, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        if response.status != 200:
            with_problem = self._refused(response)
            connection.close()
            raise with_problem
        return connection, response

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.place.host, self.place.port
        if self.place.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
        try:
            context = ssl.create_default_context(cafile=self._ca or None)
        except OSError as error:
            raise Failure(f"--ca: {self._ca}: {error.strerror or error}") from error
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)

    def _unreachable(self, error: Exception) -> Failure:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Failure(f"{self.place}: {error.verify_message}; --ca names who to trust")
        if isinstance(error, ssl.SSLError):
            return Failure(f"{self.place} speaks no TLS; is it http://?")
        if isinstance(error, http.client.HTTPException):
            return Failure(f"{self.place} is no dnsd: it does not speak HTTP, or only over https")
        reason = _reason(error)
        return Failure(f"no dnsd at {self.place}: {reason}; is it running, and is that its admin?")

    def _refused(self, response: http.client.HTTPResponse) -> Failure:
        """What a status other than 200 means."""
        problem = _problem(response)
        if response.status == 401:
            if self._token:
                return Failure(f"{self.place} does not know the token {self._told}")
            return Failure(
                f"{self.place} wants a token, and none was found; give --token-file FILE,"
                " DNSD_TOKEN, or --state-dir DIR of that dnsd"
            )
        if not problem:
            return Failure(
                f"{self.place} is no dnsd: it answers {response.status} {response.reason}"
            )
        return Failure(problem)


def path_part(text: str) -> str:
    """Text as one part of a path."""
    return quote(text, safe="")


def _problem(response: http.client.HTTPResponse) -> str:
    """The sentence of an RFC 9457 problem; "" when it is none."""
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
        return "there is no such host"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
