"""The way to the API server: one request at a time, bytes.

Of the official `kubernetes` package's client only the REST object is touched, with its
session, TLS and credentials: the model classes, and the decoding of every field into them,
are what cost 82 MB and twenty-five times the CPU, and its `Watch` loses deletions. So a
reply leaves this module as bytes: a page in one piece, or a stream as complete lines.

Rules:

* Every wait has an end: connecting, the reply's headers, a page, and the silence within a
  stream, which is measured from line to line, so that a server that drips bytes without
  ever ending a line is silent too.
* Every size has an end: pages, lines (a longer one is skipped and counted), error bodies.
* Three errors leave here, told apart by who can mend them: `BadCredentials` (the
  configuration), `ApiError` (the server answered, and said no), `Unreachable` (it did not).
* A 401 loads the credentials again, at most every `Timing.renew` seconds, so that a token
  that was rotated works with the next request.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
import structlog
from msgspec import Struct

from dnsd import __version__
from dnsd.sources.kubernetes.credentials import Access, BadCredentials, KubeError, Timing, load

log = structlog.get_logger("dnsd.kubernetes")

MAX_PAGE = 64 * 2**20  # bytes of one page of a list; 500 objects are far below it
# The API server stores at most about 1.5 MB an object (etcd's limit); its JSON is up to
# three times that. A line beyond this is no object of a working cluster.
MAX_LINE = 16 * 2**20
MAX_CREATED = 2**20  # bytes of an object as the server took it; reviews are a few kilobytes
MAX_ERROR = 64 * 2**10
MAX_RETRY_AFTER = 300.0  # seconds; longer than this no server can mean it
# What msgspec raises for bytes that are no JSON; the second for text in it that is no UTF-8.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError)
READ_BUFFER = 64 * 2**10  # the package's 2 MB a stream would be most of a quiet dnsd's memory


class Unreachable(KubeError):
    """No answer, or an answer that broke off. Worth another try."""


class Silent(Unreachable):
    """The connection stands, and nothing comes."""


class ApiError(KubeError):
    """The server said no: `status` as in HTTP, `retry_after` seconds or 0.

    `in_stream`: it came as an ERROR event of a watch whose HTTP status was 200.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str = "",
        retry_after: float = 0.0,
        in_stream: bool = False,
    ) -> None:
        self.status, self.reason = status, reason
        self.retry_after = min(max(retry_after, 0.0), MAX_RETRY_AFTER)
        self.in_stream = in_stream
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")

    @property
    def expired(self) -> bool:
        """The resourceVersion or continue token is older than the server remembers."""
        return self.status == 410


class _Details(Struct, rename="camel"):
    retry_after_seconds: float | None = None


class _Status(Struct):
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(_Status)


def api_error(body: bytes | msgspec.Raw, *, http: int = 0, retry_after: float = 0.0) -> ApiError:
    """The error that a Status object (meta/v1), or any other body, stands for.

    `http` is the HTTP status; 0 when the Status came as an event of a stream.
    """
    try:
        status = _STATUS.decode(body)
    except NOT_JSON:
        status = _Status(message=bytes(body)[:200].decode("utf-8", "replace").strip())
    hint = status.details.retry_after_seconds if status.details else None
    return ApiError(
        http or status.code or 500,
        status.message or "without a message",
        reason=status.reason or "",
        retry_after=retry_after or hint or 0.0,
        in_stream=not http,
    )


class Client:
    """One API server, as somebody. Made by `connect`; `close` it."""

    def __init__(self, access: Access, timing: Timing, configuration: Any, loader: Any) -> None:
        self.access, self.timing = access, timing
        self._configuration, self._loader = configuration, loader
        self._rest = _rest(configuration)
        # Names the server and the CA it is held to. Read now: the files may go away later.
        self.endpoint, self._tls = endpoint_of(configuration), _tls(configuration)
        self._renewed = self._refreshed = time.monotonic()
        self._plugin: asyncio.Task[str] | None = None  # the last run
        self._lock = asyncio.Lock()

    @property
    def host(self) -> str:
        """The server's URL, for messages."""
        return str(self._configuration.host)

    async def close(self) -> None:
        if self._plugin is not None:
            self._plugin.cancel()
            await asyncio.wait({self._plugin})
        await self._rest.close()

    async def page(self, path: str, params: Mapping[str, str], limit: int = MAX_PAGE) -> bytearray:
        """The body of one GET. Raises ApiError, Unreachable (also when it exceeds `limit`)."""
        return await self._whole(path, params, limit, None)

    async def create(
        self, path: str, plain: Mapping[str, Any], limit: int = MAX_CREATED
    ) -> bytearray:
        """The body of the answer to one POST of an object. Raises as `page` does."""
        return await self._whole(path, {}, limit, plain)

    async def _whole(
        self, path: str, params: Mapping[str, str], limit: int, plain: Mapping[str, Any] | None
    ) -> bytearray:
        try:
            async with asyncio.timeout(self.timing.page):
                reply = await self._send(path, params, plain)
                try:
                    return await _body(reply, limit, f"{self.host}{path}")
                finally:
                    reply.close()  # at the end of the body the connection is back in the pool
        except TimeoutError as error:
            raise Unreachable(f"{self.host}{path}: no page in {self.timing.page} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.host}{path}: {_why(error)}") from error

    async def lines(
        self, path: str, params: Mapping[str, str], idle: Callable[[], float]
    ) -> AsyncGenerator[list[bytes], None]:
        """The complete lines of one GET, as they come: first `[]` when the headers are there.

        `[]` again at the first pause of `Timing.quiet` seconds. `idle()` is how
        long the next line may take. Ends when the server ends it; raises ApiError,
        Unreachable, Silent.
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
                    log.error("a line is too long and was skipped", path=path, limit=MAX_LINE)
                    splitter.skipped = 0
        finally:
            reply.close()

    async def _read(
        self, reply: aiohttp.ClientResponse, path: str, deadline: float, quiet: float | None
    ) -> bytes | None:
        """What came; b"" at the end; None when `quiet` seconds passed and the rest is to come."""
        rest = deadline - time.monotonic()
        pause = quiet is not None and quiet < rest
        try:
            async with asyncio.timeout(quiet if pause else rest):
                return await reply.content.readany()
        except TimeoutError as error:
            if pause:
                return None
            raise Silent(f"{self.host}{path}: no complete line came in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.host}{path}: {_why(error)}") from error

    async def _send(
        self, path: str, params: Mapping[str, str], plain: Mapping[str, Any] | None = None
    ) -> aiohttp.ClientResponse:
        """A GET, or a POST of `plain`, that succeeds; body unread. Raises ApiError, Unreachable."""
        url = self.host + path
        if params:
            url += "?" + urlencode(params, quote_via=quote)
        headers = await self._headers()
        try:
            async with asyncio.timeout(self.timing.reply):
                result = await self._rest.request(
                    "GET" if plain is None else "POST",
                    url,
                    headers=headers,
                    body=plain,
                    # Explicit: the package's default cuts every stream at 300 s.
                    _request_timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=self.timing.connect
                    ),
                )
            reply: aiohttp.ClientResponse = result.response
            if reply.status == 200 or (plain is not None and reply.status == 201):
                return reply
            raise await self._refusal(reply)
        except TimeoutError as error:
            raise Unreachable(f"{self.host}: no answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: a token that no header can carry, cut short while it is replaced.
            raise Unreachable(f"{self.host}: {_why(error)}") from error

    async def _refusal(self, reply: aiohttp.ClientResponse) -> ApiError:
        try:
            async with asyncio.timeout(self.timing.reply):
                body = await reply.content.read(MAX_ERROR)
        finally:
            reply.close()
        if reply.status == 401:
            await self._renew()
        after = seconds_of(reply.headers.get("Retry-After", ""), time.time())
        return api_error(body, http=reply.status, retry_after=after)

    async def _headers(self) -> dict[str, str]:
        from kubernetes.aio.config.config_exception import ConfigException

        await self._refresh()
        headers = {
            "Accept": "application/json",
            # Uncompressed: the server is near, and compressing costs both sides more CPU
            # than the network costs time. It also bounds what a page can grow to.
            "Accept-Encoding": "identity",
            "User-Agent": f"dnsd/{__version__}",
        }
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken")
        except (ConfigException, OSError) as error:
            # A token file that is just being replaced: gone for a moment, or empty.
            raise Unreachable(f"the service account's token: {error}") from error
        if token:
            headers["Authorization"] = token.strip()
        return headers

    async def _refresh(self) -> None:
        """Run the exec plugin again when what it gave is about to expire.

        One request waits for it, for a while, and others go on with what there is. When that
        one is given up the plugin is not: its credentials are for all.
        """
        if self._loader is None or not hasattr(self._loader, "exec_plugin_expiry"):
            return
        running = self._plugin is not None and not self._plugin.done()
        if running or time.monotonic() - self._refreshed < self.timing.refresh:
            return
        self._refreshed = time.monotonic()
        self._plugin = asyncio.create_task(self._run_plugin(self._loader))
        done, _ = await asyncio.wait({self._plugin}, timeout=self.timing.connect)
        if done and (problem := self._plugin.result()):
            raise Unreachable(problem)

    async def _run_plugin(self, loader: Any) -> str:
        """Takes in what the exec plugin says now; why it did not, if so."""
        before = (vars(loader).get("cert_file"), vars(loader).get("key_file"))
        try:
            async with asyncio.timeout(self.timing.exec):
                await loader.load_from_exec_plugin()
        except TimeoutError:
            problem = f"the exec plugin did not end in {self.timing.exec} s"
            log.warning("credentials cannot be renewed", problem=problem)
            return problem
        loader._set_config(self._configuration)
        after = (vars(loader).get("cert_file"), vars(loader).get("key_file"))
        if before != after:
            await self._replace(self._configuration)
        return ""

    async def _renew(self) -> None:
        """Load the credentials again after a 401: the file, or what a plugin gives, changed."""
        async with self._lock:
            if time.monotonic() - self._renewed < self.timing.renew:
                return
            self._renewed = time.monotonic()
            try:
                configuration, loader = await load(self.access, self.timing)
                before, self._tls = self._tls, _tls(configuration)
            except (BadCredentials, OSError) as error:
                log.warning("credentials cannot be loaded again", problem=str(error))
                return
            self._configuration, self._loader = configuration, loader
            self.endpoint = endpoint_of(configuration)
            if before != self._tls:
                await self._replace(configuration)
            log.info("credentials loaded again", server=self.host)

    async def _replace(self, configuration: Any) -> None:
        """A new session with new TLS. Streams of the old one break and are resumed."""
        old, self._rest = self._rest, _rest(configuration)
        await old.close()


async def connect(access: Access, timing: Timing | None = None) -> Client:
    """A client for `access`. Loads credentials, contacts nobody. Raises BadCredentials."""
    timing = timing or Timing()
    configuration, loader = await load(access, timing)
    try:
        return Client(access, timing, configuration, loader)
    except OSError as error:  # ssl.SSLError is one: a certificate or key that cannot be read
        raise BadCredentials(f"TLS of {configuration.host}: {error}") from error


def endpoint_of(configuration: Any) -> str:
    """Names a server and the CA it is held to: hexadecimal SHA-256.

    Two clusters at one address have different CAs, so this tells clusters apart as well as
    it can be done without asking. Raises OSError when the CA cannot be read.
    """
    digest = hashlib.sha256(str(configuration.host).encode())
    if configuration.ssl_ca_cert:
        digest.update(Path(configuration.ssl_ca_cert).read_bytes())
    return digest.hexdigest()


def _rest(configuration: Any) -> Any:
    from kubernetes.aio.client.rest import RESTClientObject

    configuration.client_session_kwargs = {"read_bufsize": READ_BUFFER}
    return RESTClientObject(configuration)


def _tls(configuration: Any) -> tuple[Any, ...]:
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    contents = tuple(Path(path).read_bytes() if path else b"" for path in files)
    return (configuration.host, configuration.verify_ssl, configuration.proxy, *contents)


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _body(reply: aiohttp.ClientResponse, limit: int, url: str) -> bytearray:
    """The whole body; grown in place, so that it is there once and not in parts too."""
    body = bytearray()
    async for part in reply.content.iter_any():
        body += part
        if len(body) > limit:
            raise Unreachable(f"{url}: more than {limit} bytes in one page; lower page_size")
    return body


def seconds_of(retry_after: str, now: float) -> float:
    """Retry-After (RFC 9110 10.2.3) as seconds from `now`: a number, or an HTTP date.

    0.0 for anything else, and for a moment that has passed.
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
    r"""Bytes in, in any pieces; complete lines out, without their `\n`, empty ones left out.

    A line over `limit` bytes is skipped and counted in `skipped`. Cost is linear in the
    bytes, however finely a long line is cut.
    """

    __slots__ = ("_dropping", "_limit", "_parts", "_size", "skipped")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._dropping = False
        self.skipped = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        head, newline, tail = chunk.partition(b"\n")
        self._keep(head)
        if not newline:
            return []
        lines = tail.split(b"\n")
        last = lines.pop()
        first = b"".join(self._parts)
        if not self._dropping:
            lines.insert(0, first)
        self._parts.clear()
        self._size, self._dropping = 0, False
        self._keep(last)
        fitting = [line for line in lines if len(line) <= self._limit]
        self.skipped += len(lines) - len(fitting)
        return [line for line in fitting if line]

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._limit:
            if part:
                self._parts.append(part)
            return
        if not self._dropping:
            self._dropping = True
            self.skipped += 1
        self._parts.clear()
