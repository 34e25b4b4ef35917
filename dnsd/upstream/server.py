"""One upstream server: what it is asked, over what, and what it cannot take.

`ask` puts one question to it and gives the reply that can be believed. Over UDP first where
the server was given as `udp://`; TCP on TC or when UDP could not be trusted. Two habits of
old servers are remembered for a while: that EDNS is answered with an error (then without,
RFC 6891 6.2.2), and that the case of a name is not kept (then by TCP).
"""

from __future__ import annotations

import asyncio
import secrets
import ssl

import structlog

from dnsd.dns.message import Rcode, option, query
from dnsd.dns.names import Name
from dnsd.dns.records import Reply
from dnsd.upstream import datagram
from dnsd.upstream.config import ServerSpec
from dnsd.upstream.errors import NoReply, UpstreamFailure
from dnsd.upstream.health import Health
from dnsd.upstream.stream import Stream

log = structlog.get_logger(__name__)

_REMEMBERED = 600.0  # seconds that a server's habit is taken for granted
_BLOCK = 128  # RFC 8467 4.1
_PADDING = 12
_PROBE_TIMEOUT = 2.0
_NS_IN = b"\x00\x02\x00\x01"
_NO_EDNS = (Rcode.FORMERR, Rcode.NOTIMP, Rcode.BADVERS)
MAX_LOOP_TIME = 60.0  # seconds that a server which leads back to us is left alone


class Server:
    """One server of one rule.

    `apex` is the suffix of the rule: what a probe asks for. `spelled` is shared by all
    servers: the questions on their way, as spelled, with who was asked (see `loops.py`).
    `tasks` are the questions others wait for; they are cancelled when it leads back to us.
    """

    def __init__(
        self,
        spec: ServerSpec,
        apex: Name,
        tls: ssl.SSLContext | None,
        random_case: bool,
        spelled: dict[bytes, Server],
    ) -> None:
        self.spec = spec
        self.apex = apex
        self.health = Health()
        self.tasks: set[asyncio.Task[Reply]] = set()
        self._loops_until = 0.0  # event loop's time
        self._spelled = spelled
        self._random_case = random_case
        self._tls = tls if spec.scheme == "tls" else None
        self._stream = Stream(spec, self._tls)
        self._plain_until = self._tcp_until = 0.0
        self._probing: asyncio.Task[None] | None = None

    def usable(self, now: float) -> bool:
        """Whether it is worth a question: not down, not leading back to us."""
        return not self.health.down and now >= self._loops_until

    @property
    def loops(self) -> bool:
        """Whether it was found to lead back to us a moment ago."""
        return asyncio.get_running_loop().time() < self._loops_until

    def leads_back(self) -> None:
        """Leaves it alone for a while: what it is asked comes back to us."""
        log.warning("upstream leads back to this server", server=str(self.spec))
        self._loops_until = asyncio.get_running_loop().time() + MAX_LOOP_TIME
        for task in self.tasks:
            task.cancel()

    async def ask(self, question: bytes, do: bool = False, cd: bool = False) -> Reply:
        """The reply to a question (name in lower case, type, class). Waits until cancelled.

        Raises `UpstreamFailure`.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        spelled = recase(question) if self._random_case else question
        self._spelled[spelled] = self
        try:
            reply = await self._ask(spelled, do, cd, edns=start >= self._plain_until)
        except UpstreamFailure:
            self.failed()
            raise
        finally:
            self._spelled.pop(spelled, None)
        if self.health.down:
            log.info("upstream answers again", server=str(self.spec))
        self.health.answered(loop.time() - start)
        return reply

    async def _ask(self, spelled: bytes, do: bool, cd: bool, edns: bool) -> Reply:
        reply = await self._exchange(spelled, do, cd, edns)
        if reply.rcode in _NO_EDNS and edns:
            reply = await self._exchange(spelled, do, cd, edns=False)
            if reply.rcode not in _NO_EDNS:
                self._plain_until = asyncio.get_running_loop().time() + _REMEMBERED
        return reply

    async def _exchange(self, spelled: bytes, do: bool, cd: bool, edns: bool) -> Reply:
        options = _padding(len(spelled)) if self._tls else b""

        def build(query_id: bytes) -> bytes:
            size = 1232 if edns else 0
            return query(query_id, spelled, do=do, cd=cd, size=size, options=options)

        now = asyncio.get_running_loop().time()
        recased = False
        if self.spec.scheme == "udp" and now >= self._tcp_until:
            try:
                return await datagram.ask(self.spec, build(secrets.token_bytes(2)), spelled)
            except datagram.UseTcp as reason:
                recased = str(reason) == datagram.CASE_NOT_KEPT
        if self.spec.scheme == "udp" and (recased or now < self._tcp_until):
            # It spells as it likes; TCP is proof enough of where the reply comes from.
            spelled = spelled[:-4].lower() + spelled[-4:]
        reply = await self._stream.ask(build, spelled)
        if recased:
            self._tcp_until = now + _REMEMBERED
        return reply

    def failed(self) -> None:
        """Notes a failure; from the third in a row on, probes find out what is the matter."""
        self.health.failed()
        if self.health.suspect and self._probing is None:
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Asks until there is an answer, so that no client has to be the one who tries."""
        try:
            while self.health.suspect:
                wait = 0.0
                try:
                    await self.within(self.apex + _NS_IN, _PROBE_TIMEOUT)
                except UpstreamFailure as error:
                    if not self.health.down:
                        log.warning("upstream is down", server=str(self.spec), cause=str(error))
                    wait = self.health.probe_failed()
                await asyncio.sleep(wait)
        finally:
            self._probing = None

    async def within(self, question: bytes, timeout: float) -> Reply:  # noqa: ASYNC109
        """Like `ask`, for so many seconds; raises `NoReply` after them."""
        try:
            async with asyncio.timeout(timeout):
                return await self.ask(question)
        except TimeoutError:
            self.health.failed()
            raise NoReply(f"{self.spec}: silent for {timeout} s") from None

    async def close(self) -> None:
        """Ends the probes and the connection."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._stream.close()


def recase(question: bytes) -> bytes:
    """The question with its letters' case drawn at random (draft-vixie-dnsext-dns0x20).

    Octets of length are below 64 and digits have no case, so only letters match.
    """
    bits = secrets.randbits(len(question))
    out = bytearray(question)
    for position in range(len(question) - 4):
        octet = out[position] | 0x20
        if bits >> position & 1 and out[position] >= 65 and 97 <= octet <= 122:
            out[position] ^= 0x20
    return bytes(out)


def _padding(question: int) -> bytes:
    """The padding option that fills a query up to a whole block (RFC 7830)."""
    size = 12 + question + 11 + 4
    return option(_PADDING, bytes(-size % _BLOCK))
