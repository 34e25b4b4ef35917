"""The admin API of one run: its socket, its tokens, and when it opens.

In `admin/` (control plane: the HTTP API). Change here: how the API starts and stops.

The socket is bound with the DNS sockets, so a busy port is reported at once, and early connections
wait in the backlog. The HTTP server starts when the workers answer, or after `OPEN_TIMEOUT`:
answering DNS has priority, and importing the HTTP server takes a tenth of a second.

Pinned records are part of the zone. They are applied first, with or without an API.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sqlite3
import ssl
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from dnsd.admin.auth import BadTokens, Tokens, own_token, private, token_path
from dnsd.admin.settings import Settings
from dnsd.dns.addresses import Address, Endpoint
from dnsd.settings.schema import SettingsError
from dnsd.transport.listener import reason_of
from dnsd.transport.registry import TCP
from dnsd.worker.supervisor import WorkersFailed

if TYPE_CHECKING:
    from dnsd.admin.cluster_auth import ClusterTokens
    from dnsd.admin.context import Context, ControlPlane
    from dnsd.admin.records import Records
    from dnsd.observe.history import History

log = structlog.get_logger(__name__)

OPEN_TIMEOUT = 3.0  # seconds that the API waits for the workers
_RETRY = 5.0  # seconds before `Context.run` starts again after it failed
_BACKLOG = 128
_RECORDS = "records.json"  # dnsd.admin.records.FILE, without the import


class AdminServer:
    """The API of one run. It does nothing if the settings turn it off."""

    def __init__(self, settings: Settings) -> None:
        """Bind the socket, and read the tokens and records. Raises SettingsError."""
        self.settings = settings
        self.url = ""  # includes the token if dnsd created it
        self._context: Context | None = None
        self._socket: socket.socket | None = None
        self._records = _records(settings)
        if settings.admin.cluster_tokens and not settings.kubernetes.on:
            raise SettingsError(f"{settings.named('admin_cluster_tokens')}: requires kubernetes")
        if settings.admin.listen is None:
            return
        self._tls = _tls(settings)
        self._socket = _bind(settings, settings.admin.listen)
        try:
            self._prepare(settings)
        except BaseException:
            self._socket.close()
            raise

    def _prepare(self, settings: Settings) -> None:
        assert self._socket is not None  # noqa: S101 - the constructor sets it
        host, port = self._socket.getsockname()[:2]
        self.address = Address(host, port)
        token = "" if settings.admin.tokens else _own_token(settings, port)
        try:
            self._tokens = Tokens(settings.admin.tokens, token)
        except BadTokens as error:
            raise SettingsError(f"{settings.named('admin_tokens')}: {error}") from error
        self.url = _url(self.address, token, self._tls is not None)

    def apply_records(self, plane: ControlPlane) -> None:
        """Put the pinned records into the zone, before the workers answer."""
        if self._records is not None:
            self._records.apply(plane.place)

    def drain(self) -> None:
        """Report not ready, because dnsd stops. The API stays open until `run` is cancelled."""
        if self._context is not None:
            self._context.draining = True

    async def run(self, plane: ControlPlane, reload: Callable[[], Awaitable[None]]) -> None:
        """Serve until cancelled. Waits if the API is off."""
        if self._socket is None:
            await asyncio.Event().wait()
            return
        # The control process reports workers that do not start.
        with contextlib.suppress(TimeoutError, WorkersFailed):
            async with asyncio.timeout(OPEN_TIMEOUT):
                await plane.synced.wait()
                await plane.supervisor.opened()
        try:
            await self._serve(plane, reload, self._socket)
        except Exception:
            log.exception("the admin API ended, a bug; dnsd continues to answer DNS")
            await asyncio.Event().wait()
        finally:
            self._socket.close()

    async def _serve(
        self, plane: ControlPlane, reload: Callable[[], Awaitable[None]], sock: socket.socket
    ) -> None:
        # In a thread, because the import must not delay batches of the sources.
        await asyncio.to_thread(import_module, "dnsd.admin.app")
        from dnsd.admin.app import Gate, application, listening
        from dnsd.admin.context import Context
        from dnsd.admin.records import Records

        settings = self.settings
        history = _history(settings)
        records = self._records or Records(settings.state_dir)
        context = self._context = Context(plane, history, records, reload)
        own = settings.admin.listen
        hosts = (*settings.admin.hosts, *([own.host] if own else []))
        cluster = await _cluster_tokens(settings)
        gate = Gate(self._tokens, hosts, settings.admin.anonymous_read, cluster)
        try:
            async with listening(application(context, gate), sock, self._tls):
                await _run_forever(context)
        finally:
            await history.close()
            if cluster is not None:
                await cluster.close()


async def _cluster_tokens(settings: Settings) -> ClusterTokens | None:
    """The checker of cluster tokens; None if it is off. Sends nothing yet."""
    if not settings.admin.cluster_tokens:
        return None
    from dnsd.admin.cluster_auth import ClusterTokens
    from dnsd.sources.kubernetes.client import connect
    from dnsd.sources.kubernetes.credentials import Access
    from dnsd.sources.kubernetes.errors import BadCredentials

    try:
        access = Access(settings.kubernetes.kubeconfig, settings.kubernetes.context)
        return ClusterTokens(await connect(access))
    except BadCredentials as error:  # the source used them a moment ago
        log.error("cluster tokens are not accepted", problem=str(error))  # noqa: TRY400
        return None


def _history(settings: Settings) -> History:
    """The history; in memory if the disk fails, because dnsd must answer DNS in any case."""
    from dnsd.observe.history import History

    age, size = settings.history.max_age, settings.history.max_size
    try:
        return History(settings.state_dir, max_age=age, max_bytes=size)
    except (OSError, sqlite3.Error) as error:
        log.error(  # noqa: TRY400 - a full disk needs no traceback
            "the history cannot be saved to disk, and ends with this run",
            directory=settings.state_dir,
            problem=str(error),
        )
        return History("", max_age=age, max_bytes=size)


async def _run_forever(context: Context) -> None:
    """Run the context. A bug in it must stop neither the API nor DNS."""
    while True:
        try:
            await context.run()
        except Exception:
            log.exception("the observers of the admin API failed, a bug; they start again")
        await asyncio.sleep(_RETRY)


def _records(settings: Settings) -> Records | None:
    if not settings.state_dir or not Path(settings.state_dir, _RECORDS).exists():
        return None
    from dnsd.admin.records import Records  # imported only if there are records
    from dnsd.dns.rdata import BadRecord

    try:
        return Records(settings.state_dir)
    except BadRecord as error:
        raise SettingsError(f"{settings.named('state_dir')}: {error}") from error


def _bind(settings: Settings, address: Address) -> socket.socket:
    """The listening socket. If the default port is busy, a free port is used."""
    try:
        return _listen(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and "admin" not in settings.origins:
            log.warning("the port of the admin API is busy; using a free one", busy=str(address))
            return _listen(Address(address.host, 0))
        why = reason_of(error)
        if any(Endpoint(address, TCP.name).overlaps(one) for one in settings.transport.listen):
            why = "dnsd answers DNS there; give another port, or off"
        problem = f"{settings.named('admin')}: cannot listen on {address}: {why}"
        raise SettingsError(problem) from error


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    sock.setblocking(False)
    return sock


def _own_token(settings: Settings, port: int) -> str:
    path = token_path(settings.state_dir, port)
    try:
        if settings.state_dir:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        else:
            private(path.parent)
        return own_token(path)
    except OSError as error:
        raise SettingsError(
            f"{settings.named('state_dir')}: cannot save a token in {path.parent}:"
            f" {error.strerror}; give --admin-tokens FILE, or --admin off"
        ) from error


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.admin.tls_cert:
        if settings.admin.tls_key:
            raise SettingsError(f"{settings.named('admin_tls_key')}: requires admin_tls_cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.admin.tls_cert, settings.admin.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{settings.named('admin_tls_cert')}: cannot be used: {error}"
        ) from error
    return context


def _url(address: Address, token: str, tls: bool) -> str:
    # In the fragment, which browsers do not send and servers do not log.
    tail = f"#token={token}" if token else ""
    return f"{'https' if tls else 'http'}://{address.reachable()}/{tail}"
