"""The front door: the API's socket, its tokens, and the time at which it opens.

The socket is bound with the others, so that a busy port is known at once and nobody is
refused who knocks early; the rest (an HTTP server is a tenth of a second of imports, which
the tables would have to share the interpreter with) waits until the workers answer, or for
`PATIENCE`, because answering DNS comes first.

Pinned records are applied before, with or without an API: they are part of the zone.
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
from dnsd.control.plane import ControlPlane
from dnsd.dns.addresses import Address, Endpoint
from dnsd.settings.schema import Settings, SettingsError
from dnsd.transport.listener import reason_of
from dnsd.transport.registry import TCP
from dnsd.worker.supervisor import WorkersFailed

if TYPE_CHECKING:
    from dnsd.admin.cluster_auth import ClusterTokens
    from dnsd.admin.context import Context
    from dnsd.admin.records import Records
    from dnsd.observe.history import History

log = structlog.get_logger(__name__)

PATIENCE = 3.0  # seconds that the API waits for the workers
_AGAIN = 5.0  # seconds before a follower that failed is run again
_BACKLOG = 128
_RECORDS = "records.json"  # dnsd.admin.records.FILE, without importing what writes records


class AdminServer:
    """The API of one run, closed, open, or `off` by the settings."""

    def __init__(self, settings: Settings) -> None:
        """Binds the socket, finds the tokens, reads the records. Raises SettingsError."""
        self.settings = settings
        self.url = ""  # with the token in it when dnsd made it
        self._context: Context | None = None
        self._socket: socket.socket | None = None
        self._records = _records(settings)
        if settings.admin_cluster_tokens and not settings.kubernetes:
            who = settings.named("admin_cluster_tokens")
            raise SettingsError(f"{who}: is of no use without kubernetes")
        if settings.admin is None:
            return
        self._tls = _tls(settings)
        self._socket = _bind(settings, settings.admin)
        try:
            self._prepare(settings)
        except BaseException:
            self._socket.close()
            raise

    def _prepare(self, settings: Settings) -> None:
        assert self._socket is not None  # noqa: S101 - its only caller has made it
        host, port = self._socket.getsockname()[:2]
        self.address = Address(host, port)
        token = "" if settings.admin_tokens else _own_token(settings, port)
        try:
            self._tokens = Tokens(settings.admin_tokens, token)
        except BadTokens as error:
            raise SettingsError(f"{settings.named('admin_tokens')}: {error}") from error
        self.url = _url(self.address, token, self._tls is not None)

    def apply_records(self, plane: ControlPlane) -> None:
        """Puts the pinned records into the zone; before anything is answered."""
        if self._records is not None:
            self._records.apply(plane.place)

    def drain(self) -> None:
        """dnsd is stopping: not ready any more, and served on until `run` is cancelled."""
        if self._context is not None:
            self._context.draining = True

    async def run(self, plane: ControlPlane, reload: Callable[[], Awaitable[None]]) -> None:
        """Serve until cancelled. Does nothing when the API is off."""
        if self._socket is None:
            await asyncio.Event().wait()
            return
        # Who does not come up is the server's to tell.
        with contextlib.suppress(TimeoutError, WorkersFailed):
            async with asyncio.timeout(PATIENCE):
                await plane.synced.wait()
                await plane.supervisor.opened()
        try:
            await self._serve(plane, reload, self._socket)
        except Exception:
            log.exception("the admin API ended, a bug; names are answered on")
            await asyncio.Event().wait()
        finally:
            self._socket.close()

    async def _serve(
        self, plane: ControlPlane, reload: Callable[[], Awaitable[None]], sock: socket.socket
    ) -> None:
        # In a thread: probes may wait, batches of the sources should not.
        await asyncio.to_thread(import_module, "dnsd.admin.app")
        from dnsd.admin.app import Gate, application, listening
        from dnsd.admin.context import Context
        from dnsd.admin.records import Records

        settings = self.settings
        history = _history(settings)
        records = self._records or Records(settings.state_dir)
        context = self._context = Context(plane, history, records, reload)
        hosts = (*settings.admin_hosts, *([settings.admin.host] if settings.admin else []))
        cluster = await _cluster_tokens(settings)
        gate = Gate(self._tokens, hosts, settings.admin_anonymous_read, cluster)
        try:
            async with listening(application(context, gate), sock, self._tls):
                await _for_ever(context)
        finally:
            await history.close()
            if cluster is not None:
                await cluster.close()


async def _cluster_tokens(settings: Settings) -> ClusterTokens | None:
    """What asks the API server about tokens, None when that is off; contacts nobody yet."""
    if not settings.admin_cluster_tokens:
        return None
    from dnsd.admin.cluster_auth import ClusterTokens
    from dnsd.sources.kubernetes.client import connect
    from dnsd.sources.kubernetes.credentials import Access, BadCredentials

    try:
        return ClusterTokens(await connect(Access(settings.kubeconfig, settings.context)))
    except BadCredentials as error:  # the source could use them a moment ago
        log.error("tokens of the cluster are not taken", problem=str(error))  # noqa: TRY400
        return None


def _history(settings: Settings) -> History:
    """The history; in memory when the disk does not take it: it is no reason not to answer."""
    from dnsd.observe.history import History

    age, size = settings.history_max_age, settings.history_max_size
    try:
        return History(settings.state_dir, max_age=age, max_bytes=size)
    except (OSError, sqlite3.Error) as error:
        log.error(  # noqa: TRY400 - a full disk needs no traceback
            "the history cannot be kept on disk, and ends with this run",
            directory=settings.state_dir,
            problem=str(error),
        )
        return History("", max_age=age, max_bytes=size)


async def _for_ever(context: Context) -> None:
    """Follow; a bug in that must cost neither the API nor DNS."""
    while True:
        try:
            await context.run()
        except Exception:
            log.exception("the admin API stopped following, and begins again")
        await asyncio.sleep(_AGAIN)


def _records(settings: Settings) -> Records | None:
    if not settings.state_dir or not Path(settings.state_dir, _RECORDS).exists():
        return None
    from dnsd.admin.records import Records  # half of a start without any
    from dnsd.dns.rdata import BadRecord

    try:
        return Records(settings.state_dir)
    except BadRecord as error:
        raise SettingsError(f"{settings.named('state_dir')}: {error}") from error


def _bind(settings: Settings, address: Address) -> socket.socket:
    """The listening socket. A default port that is taken gives way to a free one."""
    try:
        return _listen(address)
    except OSError as error:
        who = settings.named("admin")
        if error.errno == errno.EADDRINUSE and "admin" not in settings.origins:
            log.warning("the port of the admin API is taken; using a free one", taken=str(address))
            return _listen(Address(address.host, 0))
        why = reason_of(error)
        if any(Endpoint(address, TCP.name).overlaps(one) for one in settings.listen):
            why = "that is where DNS is answered; give another port, or off"
        raise SettingsError(f"{who}: cannot listen on {address}: {why}") from error


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
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
        who = settings.named("state_dir")
        raise SettingsError(
            f"{who}: no token can be kept in {path.parent}: {error.strerror};"
            " give --admin-tokens FILE, or --admin off"
        ) from error


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.admin_tls_cert:
        if settings.admin_tls_key:
            raise SettingsError(
                f"{settings.named('admin_tls_key')}: is of no use without admin_tls_cert"
            )
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.admin_tls_cert, settings.admin_tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{settings.named('admin_tls_cert')}: cannot be used: {error}"
        ) from error
    return context


def _url(address: Address, token: str, tls: bool) -> str:
    # In the fragment, which no browser sends anywhere and no log has.
    tail = f"#token={token}" if token else ""
    return f"{'https' if tls else 'http'}://{address.reachable()}/{tail}"
