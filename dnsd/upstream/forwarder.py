"""Between the transports and the resolver: each `Forward` gets its reply, sooner or later, once.

What can be answered at once is; for the rest there is a task, whose number `max_in_flight`
bounds. The files of pinned names are looked at every few seconds and read again, off the
event loop, when they have changed; one that cannot be read leaves the pins as they were.
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
from dnsd.upstream.completing import Completable
from dnsd.upstream.config import BadUpstream, UpstreamConfig
from dnsd.upstream.hosts import load
from dnsd.upstream.resolver import Resolver

log = structlog.get_logger(__name__)

_LOOK = 5.0  # seconds between two looks at the files of pinned names
_OTHER_FILES = 4_096  # what a worker may have open besides the sockets of questions

Send = Callable[[bytes | None], None]


class Forwarder:
    """Takes the engine's third outcome and the way back to the client.

    `look`: seconds between two looks at the files of pinned names; `looked` counts them.
    """

    def __init__(self, resolver: Resolver, look: float = _LOOK) -> None:
        self.resolver = resolver
        self.looked = 0
        self._look = look
        self._tasks: set[asyncio.Task[None]] = set()
        self._following: asyncio.Task[None] | None = None
        self._zones: frozenset[Name] = frozenset()

    def zones_are(self, names: Set[Name]) -> None:
        """These are the zones of dnsd now. Replies cached for names in new zones are forgotten.

        Reverse zones come and go with the networks that Services use. Names of a zone that has
        gone are not in the cache, because the engine answered for them.
        """
        if new := names - self._zones:
            self.resolver.cache.flush_zones(new)
        self._zones = frozenset(names)

    def start(self) -> None:
        """Begins to follow the files of pinned names, on the running event loop."""
        if self.resolver.config.hosts_files:
            self._following = asyncio.create_task(self._follow())

    def __call__(self, ask: object, send: Send) -> None:
        """Replies to `ask`, now or later. `ask` is an `Forward` or a `Completable`."""
        resolver = self.resolver
        if isinstance(ask, Completable):
            waiting = resolver.complete(ask.ask, ask.plain, ask.completion)
        else:
            assert isinstance(ask, Forward)  # noqa: S101 - there is no further outcome
            reply = resolver.cached(ask)
            if reply is not None:
                send(reply)
                return
            waiting = resolver.resolve(ask)
        task = asyncio.create_task(self._later(waiting, send))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, waiting: Coroutine[None, None, bytes], send: Send) -> None:
        reply = None
        try:
            reply = await waiting
        except Exception:
            log.exception("a question for the upstreams failed")
        finally:
            send(reply)

    async def _follow(self) -> None:
        config = self.resolver.config
        # Nothing is known of when the pins in place were read: the first look reads again.
        seen: tuple[tuple[int, int, int] | None, ...] = ()
        while True:
            await asyncio.sleep(self._look)
            now = _stamps(config)
            self.looked += 1
            if now == seen:
                continue
            seen = now
            try:
                hosts = await asyncio.to_thread(
                    load, config.hosts, config.hosts_files, config.hosts_ttl
                )
            except BadUpstream as error:
                log.warning("pinned names stay as they were", problem=str(error))
                continue
            if hosts != self.resolver.hosts:
                self.resolver.pin(hosts)
                log.info("pinned names read again", names=len(hosts.addresses))

    async def close(self) -> None:
        """Ends everything under way; questions without a reply so far get none."""
        tasks = [*self._tasks, *([self._following] if self._following else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.resolver.close()


def _stamps(config: UpstreamConfig) -> tuple[tuple[int, int, int] | None, ...]:
    """What tells that a file is another one: inode, size, time of change."""
    out: list[tuple[int, int, int] | None] = []
    for path in config.hosts_files:
        try:
            stat = os.stat(path)
            out.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError:
            out.append(None)
    return tuple(out)


def make_room(config: UpstreamConfig) -> None:
    """Raises the soft limit of open files to what `max_in_flight` may need, if allowed.

    A question has up to two sockets. Beyond the limit questions fail, nothing else does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * config.max_in_flight + _OTHER_FILES
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and limit > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
