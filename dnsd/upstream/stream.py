"""Queries over TCP and TLS: one connection to each server, kept and shared (RFC 7766, RFC 7858).

In `upstream/` (data plane: external names). Change here: how connections to upstreams are kept.

Queries are pipelined. Replies come in any order and are matched by ID and question. The first query
opens the connection. It is closed after an idle time, and given up if a query on it gets no reply
(the server may have dropped it without a FIN). Queries on a kept connection that the server closed
are sent once more on a new one.

TLS: at least 1.2. The certificate is verified with the authorities of the system (or `tls_ca`) and
the name of the server. Queries are padded to blocks of 128 octets (RFC 8467 4.1).
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable

from dnsd.dns.framing import PREFIX, frame, read_frame
from dnsd.dns.message import Malformed, is_reply_to
from dnsd.dns.records import Reply, read_reply
from dnsd.runtime.tasks import Tasks
from dnsd.upstream.errors import NetworkError
from dnsd.upstream.spec import BadUpstream, ServerSpec

_IDLE = 10.0  # seconds; RFC 7766 6.2.3 recommends "the order of a few seconds"
_MAX_MISMATCHES = 100
_ID_DRAWS = 64

Build = Callable[[bytes], bytes]  # the query for an ID


def tls_context(ca_file: str) -> ssl.SSLContext:
    """A client context that verifies; raises `BadUpstream` if the file cannot be used.

    The text begins with the file; the caller adds the name of the setting.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise BadUpstream(f"{ca_file} has no certificates in PEM format: {error}") from error
    except OSError as error:
        raise BadUpstream(f"{ca_file} cannot be read: {error.strerror}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["dot"])
    return context


class Stream:
    """The connection to one server. `tls` is None for plain TCP; `idle` in seconds."""

    def __init__(self, spec: ServerSpec, tls: ssl.SSLContext | None, idle: float = _IDLE) -> None:
        self.spec = spec
        self._tls = tls
        self._idle = idle
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()

    async def query(self, build: Build, question: bytes) -> Reply:
        """The reply to the query that `build` makes. Waits until cancelled.

        Raises `NetworkError`.
        """
        connection, kept = await self._open()
        try:
            return await connection.query(build, question)
        except NetworkError:
            if not kept:
                raise
        connection, _ = await self._open()
        return await connection.query(build, question)

    async def close(self) -> None:
        """Closes the connection; the queries on it fail."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _open(self) -> tuple[_Connection, bool]:
        """The connection, and whether it was open before."""
        async with self._opening:
            connection = self._connection
            if connection is not None and connection.usable:
                return connection, True
            try:
                reader, writer = await asyncio.open_connection(
                    self.spec.address,
                    self.spec.port,
                    ssl=self._tls,
                    server_hostname=self.spec.tls_name if self._tls else None,
                )
            except OSError as error:  # ssl.SSLError is one
                raise NetworkError(f"{self.spec}: {error}") from error
            self._connection = _Connection(self.spec, reader, writer, self._idle)
            return self._connection, False


class _Connection:
    """An open connection, the queries that wait on it, and the task that reads."""

    def __init__(
        self,
        spec: ServerSpec,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        idle: float,
    ) -> None:
        self.spec = spec
        self._idle = idle
        self.usable = True
        self._reader, self._writer = reader, writer
        self._waiting: dict[bytes, tuple[bytes, asyncio.Future[Reply]]] = {}
        self._received = 0  # messages read
        self._task = Tasks().start(self._read(), "read from an upstream server")

    async def query(self, build: Build, question: bytes) -> Reply:
        query_id = self._free_id()
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[query_id] = question, future
        packet = build(query_id)
        received = self._received
        try:
            self._writer.write(frame(packet))
            return await future
        finally:
            del self._waiting[query_id]
            if future.cancelled() and self._received == received:
                self.usable = False  # no message since: the connection may be dead
            if not self.usable and not self._waiting:
                self._task.cancel()

    def _free_id(self) -> bytes:
        for _ in range(_ID_DRAWS):
            query_id = secrets.token_bytes(2)
            if query_id not in self._waiting:
                return query_id
        raise NetworkError(f"{self.spec}: too many queries on one connection")

    async def _read(self) -> None:
        """Passes replies to the queries until the connection ends or is idle."""
        problem = "closed by the server"
        try:
            await self._messages()
        except (OSError, asyncio.IncompleteReadError) as error:
            problem = f"closed by the server ({type(error).__name__})"
        except TimeoutError:
            problem = "idle"
        finally:
            self.usable = False
            self._writer.close()
            for _, future in self._waiting.values():
                if not future.done():
                    future.set_exception(NetworkError(f"{self.spec}: {problem}"))

    async def _messages(self) -> None:
        mismatches = 0
        while mismatches < _MAX_MISMATCHES:
            data = await read_frame(self._reader.readexactly, await self._prefix())
            self._received += 1
            question, future = self._waiting.get(data[:2], (b"", None))
            if future is None or future.done() or not is_reply_to(data, data[:2], question):
                mismatches += future is not None
                continue
            try:
                future.set_result(read_reply(data))
            except Malformed:
                mismatches += 1

    async def _prefix(self) -> bytes:
        """The length field of the next message; raises TimeoutError if the connection is idle."""
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    return await self._reader.readexactly(PREFIX)
            except TimeoutError:
                if not self._waiting:
                    raise

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
