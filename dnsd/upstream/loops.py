"""Noticing that an upstream leads back to us, before it costs anything.

`resolv.conf` names ourselves, two servers name each other: a question would run in circles.
It cannot multiply (the question that comes back joins the one in flight), but it would wait
for itself until the deadline. So:

* *Suspicion* is free: our questions are spelled at random, and one that arrives here in
  exactly the spelling of one that is on its way is probably it. Others come by chance (the
  shorter the name, the likelier) or because a client spells at random too.
* *Proof* is a canary: a name nobody can guess, sent to the suspect. If it arrives here, the
  suspect leads back to us, and is left alone for a while. Its questions in flight are
  cancelled; they go to the next server, or are answered SERVFAIL.

A forwarder between us that draws its own spelling hides the circle from the first point;
therefore servers are suspected too when a question ran out of time while others had joined.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from dnsd.dns.names import MAX_NAME, Name, name_of
from dnsd.upstream.errors import UpstreamFailure
from dnsd.upstream.server import Server

_FLIGHT = 2.0  # seconds a canary may take
_MAX_CANARIES = 32
_TXT_IN = b"\x00\x10\x00\x01"
_LABELS = 22 + 11  # octets a canary adds to the suffix of its rule, with room to spare


class Loops:
    """The questions on their way, and the canaries."""

    def __init__(self) -> None:
        self.spelled: dict[bytes, Server] = {}
        self.canaries: dict[Name, Server] = {}
        self.found = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def comes_back(self, name: Name, question: bytes) -> bool:
        """Whether a question that arrived is a canary of ours: the loop is proven.

        Suspects a server when the question is spelled like one on its way. `name` is in
        lower case.
        """
        if name in self.canaries:
            self.found += 1
            self.canaries.pop(name).leads_back()
            return True
        server = self.spelled.get(question)
        if server is not None:
            self.suspect(server)
        return False

    def suspect(self, server: Server) -> None:
        """Sends a canary to a server, unless one is on its way."""
        busy = len(self.canaries) >= _MAX_CANARIES or server in self.canaries.values()
        if busy or server.loops or len(server.apex) + _LABELS > MAX_NAME:
            return
        name = name_of(secrets.token_hex(8), "loop", "dnsd", below=server.apex)
        self.canaries[name] = server
        task = asyncio.create_task(self._fly(name, server))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fly(self, name: Name, server: Server) -> None:
        """What the answer says does not matter, only whether the question comes back."""
        try:
            with suppress(UpstreamFailure, TimeoutError):
                async with asyncio.timeout(_FLIGHT):
                    await server.ask(name + _TXT_IN)
        finally:
            self.canaries.pop(name, None)

    async def close(self) -> None:
        """Ends the canaries."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
