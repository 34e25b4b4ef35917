"""Sends requests to the API server, one at a time, and returns decoded pages or lines of a stream.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: how a request is
sent, and how the credentials are renewed.

Rules
* Every wait has a limit: connecting, the headers of the reply, a page, and the silence within a
  stream. That silence is measured from line to line, so a server that sends bytes without ever
  ending a line is silent too.
* Every size has a limit: pages, lines (a longer line is skipped and counted), and error bodies.
* Errors differ by the party at fault; see `errors.py`.
* After a 401 the client loads the credentials again, at most every `Timing.renew` seconds. So a
  rotated token works with the next request. It also loads them again before they expire. If that
  fails, the current credentials stay in use, and the server decides whether they are valid.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
import structlog

from dnsd import __version__
from dnsd.runtime.tasks import Tasks
from dnsd.sources.kubernetes.credentials import Access, Credentials, Timing, load
from dnsd.sources.kubernetes.errors import (
    NOT_JSON,
    ApiError,
    BadCredentials,
    Silent,
    Unreachable,
    api_error,
)
from dnsd.sources.kubernetes.package import authorization, rest_client

log = structlog.get_logger("dnsd.kubernetes")

MAX_PAGE = 64 * 2**20  # bytes of one page of a list; 500 objects are far below it
# etcd limits an object to about 1.5 MB, and its JSON is up to three times as large. A longer line
# is not an object of a working cluster.
MAX_LINE = 16 * 2**20
MAX_ERROR = 64 * 2**10
EXPIRY_MARGIN = 300.0  # credentials are renewed so many seconds before they expire, as in client-go

T = TypeVar("T")


class Client:
    """One API server and the credentials for it. `connect` creates it; `close` it after use."""

    def __init__(self, access: Access, timing: Timing, credentials: Credentials) -> None:
        """Raises OSError for a certificate or key that cannot be read."""
        self.access, self.timing = access, timing
        self._credentials = credentials
        self._rest = rest_client(credentials.configuration)
        # Read now, because the files may be removed later.
        self._tls = _tls(credentials.configuration)
        self._loaded_at = time.monotonic()
        self._loads = Tasks()  # of the credentials; at most one runs

    @property
    def host(self) -> str:
        """The URL of the server, for messages."""
        return str(self._credentials.configuration.host)

    @property
    def endpoint(self) -> str:
        """A digest of the URL of the server and of its CA: hexadecimal SHA-256.

        Two clusters at one address have different CAs, so this is the best way to distinguish them
        without a request.
        """
        host, ca, *_ = self._tls
        return hashlib.sha256(host.encode() + ca).hexdigest()

    async def close(self) -> None:
        """Close all connections, and end an exec plugin that is running."""
        await self._loads.close()
        await self._rest.close()

    async def fetch(
        self,
        path: str,
        type_: type[T],
        params: Mapping[str, str] | None = None,
        *,
        plain: Mapping[str, Any] | None = None,
        limit: int = MAX_PAGE,
    ) -> T:
        """The decoded body of one GET, or of the reply to one POST of the object `plain`.

        Raises ApiError, and Unreachable (also for a body of more than `limit` bytes).
        """
        url = f"{self.host}{path}"
        with _unreachable(url, f"no page in {self.timing.page} s"):
            async with asyncio.timeout(self.timing.page):
                reply = await self._send(path, params or {}, plain)
                body = bytearray()  # grows in place, so that the body is in memory once
                try:
                    async for part in reply.content.iter_any():
                        body += part
                        if len(body) > limit:
                            problem = f"more than {limit} bytes in one page; lower page_size"
                            raise Unreachable(f"{url}: {problem}")
                finally:
                    reply.close()  # after a complete body the connection stays in the pool
        try:
            return msgspec.json.decode(body, type=type_)
        except NOT_JSON as error:
            raise Unreachable(f"{url}: the answer is not a {type_.__name__}: {error}") from error

    async def lines(
        self, path: str, params: Mapping[str, str], idle: Callable[[], float]
    ) -> AsyncGenerator[list[bytes], None]:
        """The complete lines of one GET as they arrive. The first item is `[]`, after the headers.

        The first pause of `Timing.quiet` seconds yields `[]` again. `idle()`: how many seconds the
        next line may take. Ends when the server ends it. Raises ApiError, Unreachable, and Silent.
        """
        reply = await self._send(path, params)
        try:
            yield []
            splitter = LineSplitter()
            quiet: float | None = self.timing.quiet
            deadline = time.monotonic() + idle()
            while True:
                chunk = await self._read(reply, path, deadline, quiet)
                if chunk == b"":
                    return
                if chunk is None:
                    quiet = None
                    yield []
                    continue
                if lines := splitter.feed(chunk):
                    yield lines
                    deadline = time.monotonic() + idle()
                if splitter.skipped:
                    log.error("a line is too long and is skipped", path=path, limit=MAX_LINE)
                    splitter.skipped = 0
        finally:
            reply.close()

    async def _read(
        self, reply: aiohttp.ClientResponse, path: str, deadline: float, quiet: float | None
    ) -> bytes | None:
        """The next bytes; b"" at the end; None after a pause of `quiet` seconds."""
        left = deadline - time.monotonic()
        pause = quiet is not None and quiet < left
        with _unreachable(f"{self.host}{path}", "no complete line in time", Silent):
            try:
                async with asyncio.timeout(quiet if pause else left):
                    return await reply.content.readany()
            except TimeoutError:
                if pause:
                    return None
                raise

    async def _send(
        self, path: str, params: Mapping[str, str], plain: Mapping[str, Any] | None = None
    ) -> aiohttp.ClientResponse:
        """The reply to a GET, or to a POST of `plain`. Its body is unread.

        Raises ApiError and Unreachable.
        """
        if self._credentials.expires - time.time() < EXPIRY_MARGIN:
            await self._renew(self.timing.refresh)
        url = self.host + path + ("?" + urlencode(params, quote_via=quote) if params else "")
        headers = {
            "Accept": "application/json",
            # The server is near: compression costs both sides more CPU time than it saves on the
            # network. Without it the size of a page is also bounded.
            "Accept-Encoding": "identity",
            "User-Agent": f"dnsd/{__version__}",
        }
        if token := await authorization(self._credentials.configuration):
            headers["Authorization"] = token
        with _unreachable(self.host, "no answer in time"):
            async with asyncio.timeout(self.timing.reply):
                result = await self._rest.request(
                    "GET" if plain is None else "POST",
                    url,
                    headers=headers,
                    body=plain,
                    # Explicit: the default of the package ends every stream after 300 s.
                    _request_timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=self.timing.connect
                    ),
                )
            reply: aiohttp.ClientResponse = result.response
            if reply.status == 200 or (plain is not None and reply.status == 201):
                return reply
            raise await self._refusal(reply)

    async def _refusal(self, reply: aiohttp.ClientResponse) -> ApiError:
        try:
            async with asyncio.timeout(self.timing.reply):
                body = await reply.content.read(MAX_ERROR)
        finally:
            reply.close()
        if reply.status == 401:
            await self._renew(self.timing.renew)
        after = seconds_of(reply.headers.get("Retry-After", ""), time.time())
        return api_error(body, http=reply.status, retry_after=after)

    async def _renew(self, interval: float) -> None:
        """Load the credentials again, unless that is under way or was less than `interval` s ago.

        One request waits for the load, for a while; others continue with the current credentials.
        If that request is canceled the load continues, because its result serves all requests.
        """
        if not self._loads and time.monotonic() - self._loaded_at >= interval:
            self._loaded_at = time.monotonic()
            loading = self._loads.start(self._load(), "load the credentials again")
            await asyncio.wait({loading}, timeout=self.timing.connect)

    async def _load(self) -> None:
        try:
            credentials = await load(self.access, self.timing)
            tls, rest = _tls(credentials.configuration), None
            if tls != self._tls:
                rest = rest_client(credentials.configuration)
        except (BadCredentials, OSError) as error:
            log.warning("the credentials cannot be renewed", problem=str(error))
            return
        self._credentials, self._tls = credentials, tls
        if rest is not None:
            # Streams of the old session break, and are resumed.
            old, self._rest = self._rest, rest
            await old.close()
        log.info("the credentials are renewed", server=self.host)


async def connect(access: Access, timing: Timing | None = None) -> Client:
    """A client for `access`. Loads the credentials, and sends nothing. Raises BadCredentials."""
    timing = timing or Timing()
    credentials = await load(access, timing)
    try:
        return Client(access, timing, credentials)
    except OSError as error:  # also ssl.SSLError: a certificate or key that cannot be read
        host = credentials.configuration.host
        raise BadCredentials(f"TLS of {host}: {error}") from error


def _tls(configuration: Any) -> tuple[Any, ...]:
    """Everything that requires a new session if it changes: the URL, the CA, and the rest."""
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    contents = tuple(Path(path).read_bytes() if path else b"" for path in files)
    return (str(configuration.host), *contents, configuration.verify_ssl, configuration.proxy)


@contextmanager
def _unreachable(url: str, late: str, type_: type[Unreachable] = Unreachable) -> Iterator[None]:
    """Raise Unreachable for an error of the connection, and `type_(late)` after a time limit.

    A ValueError is such an error: a header cannot carry a token whose file is half written.
    """
    try:
        yield
    except TimeoutError as error:
        raise type_(f"{url}: {late}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(f"{url}: {str(error) or type(error).__name__}") from error


def seconds_of(retry_after: str, now: float) -> float:
    """Retry-After (RFC 9110 10.2.3), a number or an HTTP date, as seconds from `now`.

    0.0 for anything else, and for a time in the past.
    """
    from email.utils import parsedate_to_datetime

    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), 10**9))
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


class LineSplitter:
    r"""Splits bytes in any pieces into complete lines, without their `\n` and without empty lines.

    A line of more than `limit` bytes is skipped and counted in `skipped`. The cost is linear in the
    number of bytes, however small the pieces are.
    """

    __slots__ = ("_limit", "_parts", "_size", "skipped")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []  # of the line that is not complete
        self._size = 0  # of that line, with the bytes that are dropped
        self.skipped = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes."""
        *complete, last = chunk.split(b"\n")
        lines = []
        for piece in complete:
            self._add(piece)
            lines.append(b"".join(self._parts))
            self._parts, self._size = [], 0
        self._add(last)
        return [line for line in lines if line]

    def _add(self, piece: bytes) -> None:
        fits, self._size = self._size <= self._limit, self._size + len(piece)
        if self._size <= self._limit:
            self._parts.append(piece)
        elif fits:
            self.skipped += 1
            self._parts = []
