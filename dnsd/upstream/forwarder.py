"""Handlers of deferred queries: each `Forward` and each `Search` gets its reply, once.

In `upstream/` (data plane: external names). Change here: what happens between engine and resolver.

The forwarder answers from the cache at once. Every other query gets a task, and `max_in_flight`
bounds their number. The forwarder checks the files of pinned names (`hosts_files`) every few
seconds, and reads them again off the event loop if one has changed. A file that cannot be read
leaves the pinned names as they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import Callable, Coroutine, Set

import structlog

from dnsd.answer.outcome import Forward
from dnsd.dns.names import Name
from dnsd.runtime.tasks import Tasks
from dnsd.upstream.completing import Search
from dnsd.upstream.hosts import load
from dnsd.upstream.resolver import Resolver
from dnsd.upstream.settings import UpstreamConfig
from dnsd.upstream.spec import BadUpstream

log = structlog.get_logger(__name__)

_CHECK = 5.0  # seconds between two checks of the files of pinned names
_OTHER_FILES = 4_096  # files that a worker may have open besides sockets to upstream servers

Send = Callable[[bytes | None], None]


class Forwarder:
    """The handlers of the kinds `forward` and `search`.

    `interval`: seconds between two checks of the files of pinned names; `checks` counts them.
    """

    def __init__(self, resolver: Resolver, interval: float = _CHECK) -> None:
        self.resolver = resolver
        self.checks = 0
        self._interval = interval
        self._tasks = Tasks()
        self._zones: frozenset[Name] = frozenset()

    def set_zones(self, names: Set[Name]) -> None:
        """Sets the zones of dnsd. The cache drops its replies for names in new zones.

        Reverse zones come and go with the networks that Services use. Names of a zone that has
        gone are not in the cache, because the engine answered for them.
        """
        if new := names - self._zones:
            self.resolver.cache.flush_zones(new)
        self._zones = frozenset(names)

    def start(self) -> None:
        """Starts to follow the files of pinned names, on the running event loop."""
        if self.resolver.config.hosts_files:
            self._tasks.start(self._follow(), "follow the files of pinned names")

    def forward(self, outcome: Forward, send: Send) -> None:
        """Sends the reply to a `Forward`, now or later."""
        reply = self.resolver.cached(outcome)
        if reply is not None:
            send(reply)
        else:
            self._start(self.resolver.resolve(outcome), send)

    def search(self, outcome: Search, send: Send) -> None:
        """Sends the reply to a `Search`, later."""
        completed = self.resolver.complete(outcome.forward, outcome.denial, outcome.candidates)
        self._start(completed, send)

    def _start(self, reply: Coroutine[None, None, bytes], send: Send) -> None:
        self._tasks.start(self._later(reply, send), "forward a query")

    async def _later(self, coming: Coroutine[None, None, bytes], send: Send) -> None:
        reply = None
        try:
            reply = await coming
        except Exception:
            log.exception("forwarding a query failed; the client gets no reply")
        finally:
            send(reply)

    async def _follow(self) -> None:
        config = self.resolver.config
        # Files may have changed since the start read them, so the first check reads them again.
        seen: tuple[tuple[int, int, int] | None, ...] = ()
        while True:
            await asyncio.sleep(self._interval)
            now = _stamps(config)
            self.checks += 1
            if now == seen:
                continue
            seen = now
            try:
                hosts = await asyncio.to_thread(
                    load, config.hosts, config.hosts_files, config.hosts_ttl
                )
            except BadUpstream as error:
                log.warning("pinned names not read, the previous ones stay", problem=str(error))
                continue
            if hosts != self.resolver.hosts:
                self.resolver.pin(hosts)
                log.info("pinned names read again", names=len(hosts.addresses))

    async def close(self) -> None:
        """Cancels all tasks; queries without a reply so far get no reply."""
        await self._tasks.close()
        await self.resolver.close()


def _stamps(config: UpstreamConfig) -> tuple[tuple[int, int, int] | None, ...]:
    """Inode, size, and time of change of each file; None for a file that is missing."""
    out: list[tuple[int, int, int] | None] = []
    for path in config.hosts_files:
        try:
            stat = os.stat(path)
            out.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError:
            out.append(None)
    return tuple(out)


def raise_file_limit(config: UpstreamConfig) -> None:
    """Raises the soft limit of open files to what `max_in_flight` may need, if allowed.

    A query has up to two sockets. Beyond the limit only queries to upstream servers fail.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * config.max_in_flight + _OTHER_FILES
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and limit > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
