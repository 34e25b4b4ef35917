"""One upstream server: its queries, its transports, and its defects.

In `upstream/` (data plane: external names). Change here: how one server is queried.

`query` sends one question and returns the reply that passed all checks. A server given as `udp://`
is queried over UDP first, and over TCP after a truncated or untrustworthy reply. Two defects of old
servers are remembered for a while: an error as the reply to EDNS (then queries have no EDNS, RFC
6891 6.2.2), and a reply that changes the case of the name (then queries use TCP).
"""

from __future__ import annotations

import asyncio
import secrets
import ssl

import structlog

from dnsd.dns.message import Option, Rcode, option
from dnsd.dns.message import query as query_packet
from dnsd.dns.names import Name
from dnsd.dns.records import Reply
from dnsd.runtime.tasks import Tasks
from dnsd.upstream import datagram
from dnsd.upstream.errors import NoReply, UpstreamFailure
from dnsd.upstream.health import Health
from dnsd.upstream.spec import ServerSpec
from dnsd.upstream.stream import Stream

log = structlog.get_logger(__name__)

_REMEMBERED = 600.0  # seconds that a defect of a server is remembered
_BLOCK = 128  # RFC 8467 4.1
_PROBE_TIMEOUT = 2.0
_NS_IN = b"\x00\x02\x00\x01"
_NO_EDNS = (Rcode.FORMERR, Rcode.NOTIMP, Rcode.BADVERS)
LOOP_PAUSE = 60.0  # seconds without queries to a server that forwards back to this server


class Server:
    """One server of one rule.

    `suffix` is that of the rule; a probe queries its NS. `in_flight` is shared by all servers: the
    questions that wait for a reply, in their exact case, with the server (see `loops.py`).
    `tasks` are the queries that others wait for; they are cancelled if the server is in a loop.
    """

    def __init__(
        self,
        spec: ServerSpec,
        suffix: Name,
        tls: ssl.SSLContext | None,
        random_case: bool,
        in_flight: dict[bytes, Server],
    ) -> None:
        self.spec = spec
        self.suffix = suffix
        self.health = Health()
        self.tasks: set[asyncio.Task[Reply]] = set()
        self._loops_until = 0.0  # event loop's time
        self._in_flight = in_flight
        self._random_case = random_case
        self._tls = tls if spec.scheme == "tls" else None
        self._stream = Stream(spec, self._tls)
        self._plain_until = self._tcp_until = 0.0
        self._probing: asyncio.Task[None] | None = None

    def usable(self, now: float) -> bool:
        """Whether to query it: it is not down and not in a forwarding loop."""
        return not self.health.down and now >= self._loops_until

    @property
    def loops(self) -> bool:
        """Whether it was found in a forwarding loop a moment ago."""
        return asyncio.get_running_loop().time() < self._loops_until

    def mark_loop(self) -> None:
        """Stops queries to it for a while, because it forwards them back to this server."""
        log.warning("upstream forwards queries back to this server", server=str(self.spec))
        self._loops_until = asyncio.get_running_loop().time() + LOOP_PAUSE
        for task in self.tasks:
            task.cancel()

    async def query(self, question: bytes, do: bool = False, cd: bool = False) -> Reply:
        """The reply to a question (name in lower case, type, class). Waits until cancelled.

        Raises `UpstreamFailure`.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        cased = recase(question) if self._random_case else question
        self._in_flight[cased] = self
        try:
            reply = await self._query(cased, do, cd, edns=start >= self._plain_until)
        except UpstreamFailure:
            self.failed()
            raise
        finally:
            self._in_flight.pop(cased, None)
        if self.health.down:
            log.info("upstream replies again", server=str(self.spec))
        self.health.answered(loop.time() - start)
        return reply

    async def _query(self, cased: bytes, do: bool, cd: bool, edns: bool) -> Reply:
        reply = await self._exchange(cased, do, cd, edns)
        if reply.rcode in _NO_EDNS and edns:
            reply = await self._exchange(cased, do, cd, edns=False)
            if reply.rcode not in _NO_EDNS:
                self._plain_until = asyncio.get_running_loop().time() + _REMEMBERED
        return reply

    async def _exchange(self, cased: bytes, do: bool, cd: bool, edns: bool) -> Reply:
        options = _padding(len(cased)) if self._tls else b""

        def build(query_id: bytes) -> bytes:
            size = 1232 if edns else 0
            return query_packet(query_id, cased, do=do, cd=cd, size=size, options=options)

        now = asyncio.get_running_loop().time()
        recased = False
        if self.spec.scheme == "udp" and now >= self._tcp_until:
            try:
                return await datagram.query(self.spec, build(secrets.token_bytes(2)), cased)
            except datagram.UseTcp as reason:
                recased = str(reason) == datagram.CASE_NOT_KEPT
        if self.spec.scheme == "udp" and (recased or now < self._tcp_until):
            # The server does not keep the case; over TCP the source of the reply is certain anyway.
            cased = cased[:-4].lower() + cased[-4:]
        reply = await self._stream.query(build, cased)
        if recased:
            self._tcp_until = now + _REMEMBERED
        return reply

    def failed(self) -> None:
        """Counts a failure; from the third in a row on, probes test the server."""
        self.health.failed()
        if self.health.suspect and self._probing is None:
            self._probing = Tasks().start(self._probe(), "probe an upstream server")

    async def _probe(self) -> None:
        """Queries until there is a reply, so that no query of a client is the test."""
        try:
            while self.health.suspect:
                wait = 0.0
                try:
                    await self.query_within(self.suffix + _NS_IN, _PROBE_TIMEOUT)
                except UpstreamFailure as error:
                    if not self.health.down:
                        log.warning("upstream is down", server=str(self.spec), cause=str(error))
                    wait = self.health.probe_failed()
                await asyncio.sleep(wait)
        finally:
            self._probing = None

    async def query_within(self, question: bytes, timeout: float) -> Reply:  # noqa: ASYNC109
        """Like `query`, for `timeout` seconds; raises `NoReply` after them."""
        try:
            async with asyncio.timeout(timeout):
                return await self.query(question)
        except TimeoutError:
            self.health.failed()
            raise NoReply(f"{self.spec}: no reply within {timeout} s") from None

    async def close(self) -> None:
        """Cancels the probes and closes the connection."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._stream.close()


def recase(question: bytes) -> bytes:
    """The question with the case of its letters drawn at random (draft-vixie-dnsext-dns0x20).

    Length octets are below 64, and digits have no case, so only letters match.
    """
    bits = secrets.randbits(len(question))
    out = bytearray(question)
    for position in range(len(question) - 4):
        octet = out[position] | 0x20
        if bits >> position & 1 and out[position] >= 65 and 97 <= octet <= 122:
            out[position] ^= 0x20
    return bytes(out)


def _padding(question: int) -> bytes:
    """The padding option that fills a query up to a whole block (RFC 7830, RFC 8467 4.1)."""
    size = 12 + question + 11 + 4
    return option(Option.PADDING, bytes(-size % _BLOCK))
