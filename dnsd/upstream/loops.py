"""Forwarding loops: detecting that an upstream server forwards queries back to this server.

In `upstream/` (data plane: external names). Change here: how loops are suspected and proven.

`resolv.conf` names this server itself, or two servers name each other: a query would go in circles.
It cannot multiply (the query that comes back joins the one in flight), but it would wait for itself
until the timeout. Therefore:

* *Suspicion* costs nothing: dnsd sends queries in random case, and an incoming query with exactly
  the case of a query in flight is probably that query. It may also match by chance (the shorter the
  name, the likelier) or because a client uses random case too.
* *Proof* is a canary: a query with an unguessable name, sent to the suspect. If the canary arrives
  here, the server is in a loop and is not queried for a while. Its queries in flight are cancelled;
  they move to the next server, or get SERVFAIL.

A forwarder in between that draws its own random case hides the loop from the first point. Therefore
a server is suspected too if a query timed out while other queries had joined it.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from dnsd.dns.names import MAX_NAME, Name, name_of
from dnsd.runtime.tasks import Tasks
from dnsd.upstream.errors import UpstreamFailure
from dnsd.upstream.server import Server

_CANARY_TIMEOUT = 2.0  # seconds
_MAX_CANARIES = 32
_TXT_IN = b"\x00\x10\x00\x01"
_LABELS = 22 + 11  # octets a canary adds to the suffix of its rule, with room to spare


class Loops:
    """The queries in flight, and the canaries."""

    def __init__(self) -> None:
        self.in_flight: dict[bytes, Server] = {}
        self.canaries: dict[Name, Server] = {}
        self.found = 0
        self._tasks = Tasks()

    def is_loop(self, name: Name, question: bytes) -> bool:
        """Whether an incoming question is a canary, which proves a loop.

        Suspects a server if the question has the exact case of one in flight. `name` is in
        lower case.
        """
        if name in self.canaries:
            self.found += 1
            self.canaries.pop(name).mark_loop()
            return True
        server = self.in_flight.get(question)
        if server is not None:
            self.suspect(server)
        return False

    def suspect(self, server: Server) -> None:
        """Sends a canary to a server, unless one is in flight."""
        busy = len(self.canaries) >= _MAX_CANARIES or server in self.canaries.values()
        if busy or server.loops or len(server.suffix) + _LABELS > MAX_NAME:
            return
        name = name_of(secrets.token_hex(8), "loop", "dnsd", below=server.suffix)
        self.canaries[name] = server
        self._tasks.start(self._send_canary(name, server), "send a canary")

    async def _send_canary(self, name: Name, server: Server) -> None:
        """The reply is irrelevant; only the arrival of the canary at this server counts."""
        try:
            with suppress(UpstreamFailure, TimeoutError):
                async with asyncio.timeout(_CANARY_TIMEOUT):
                    await server.query(name + _TXT_IN)
        finally:
            self.canaries.pop(name, None)

    async def close(self) -> None:
        """Cancels the canaries."""
        await self._tasks.close()
