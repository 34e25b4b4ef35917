"""`dnsd serve`: builds the house, starts it, and stops it as asked.

The order at the start is the order of what can go wrong and whose fault it is: sockets
first (a busy port must not cost the time of reading 10,000 manifests), then the worker
processes, which start while the sources are read, then the sources. When all that exists
has been said (`synced`), or after `PATIENCE`, the workers get their tables and answer; what
is not synced by then is answered with SERVFAIL, never NXDOMAIN. The admin API, whose socket is
bound before the sources are read, opens once the workers answer, and so do readiness and
metrics: at the latest after a patience of its own (`dnsd.admin.server`), for who is not synced
for long must be able to say so.

At the end: SIGTERM or SIGINT lets the workers finish (`drain_quiet`, `drain_limit`), a
second one does not wait for that. SIGHUP reads the configuration and the sources again;
what cannot be used is logged, and the old goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from dnsd import __version__
from dnsd.admin.server import AdminServer
from dnsd.control.plane import ControlPlane
from dnsd.control.resolve import wants_uvloop
from dnsd.control.serial import SerialFile
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address
from dnsd.dns.names import name_from_text, text_of
from dnsd.dns.types import Type
from dnsd.observe import logging
from dnsd.runtime.loop import loop_factory, uvloop_is_here
from dnsd.runtime.memory import give_back, share_one_heap
from dnsd.runtime.priority import give_way
from dnsd.settings.schema import SettingsError, changed, keep
from dnsd.sources.source import Source, SourceError
from dnsd.transport.listener import CannotListen, Listener, bind_group, close
from dnsd.transport.registry import transports_of
from dnsd.worker.process import starter
from dnsd.worker.supervisor import WorkersFailed

log = structlog.get_logger(__name__)

PATIENCE = 3.0  # seconds the workers wait for the sources before they answer SERVFAIL
# An API server may be away for hours; who asks meanwhile should be told, not left waiting.
REMOTE_PATIENCE = 3.0
_PAUSE = 5.0  # seconds before a source that failed is run again


class ServeFailed(Exception):
    """dnsd could not go on, and the configuration is not to blame."""


def serve(settings: Settings, reread: Callable[[], Settings], say: Callable[[str], None]) -> None:
    """Serve until told to stop.

    `reread` gives the settings anew (SIGHUP); `say` prints a line for whoever started dnsd.
    Raises SettingsError when the configuration does not work out (a busy port, a source
    that cannot be read), ServeFailed when anything else keeps dnsd from starting.
    """
    logging.configure(settings.log.level, settings.log.format)
    share_one_heap()
    gc.disable()  # see _settle_memory
    with asyncio.Runner(loop_factory=loop_factory(wants_uvloop(settings))) as runner:
        runner.run(Serve(settings, reread, say).run())


class Serve:
    """One run: the house, the signals, and what runs beside."""

    def __init__(
        self, settings: Settings, reread: Callable[[], Settings], say: Callable[[str], None]
    ) -> None:
        self.settings, self.reread, self.say = settings, reread, say
        self.begun = time.monotonic()
        self.stop, self.hurry = asyncio.Event(), asyncio.Event()
        self.reloads: set[asyncio.Task[None]] = set()
        self.reloading = asyncio.Lock()

    async def run(self) -> None:
        plane = await build(self.settings)
        try:
            self.front = AdminServer(self.settings)
        except SettingsError:
            await plane.supervisor.stop()
            raise
        self.front.apply_records(plane)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGINT, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload, plane)
        plane.supervisor.start()
        stopped = loop.create_task(self.stop.wait())
        started = loop.create_task(self._start(plane))
        admin = loop.create_task(self.front.run(plane, lambda: self._reload_now(plane)))
        sources = [
            loop.create_task(self._follow(plane, source, cluster))
            for source, cluster in zip(plane.sources, plane.clusters, strict=False)
        ]
        try:
            await _first_of(stopped, started, admin, *sources)
            await _first_of(stopped, admin, *sources)
            log.info("stopping")
        finally:
            self.front.drain()
            await _cancelled(started, *sources, *self.reloads)
            await self._finish(plane)
            await _cancelled(stopped, admin)

    async def _start(self, plane: ControlPlane) -> None:
        with contextlib.suppress(TimeoutError):
            remote = plane.settings.kubernetes.on
            async with asyncio.timeout(REMOTE_PATIENCE if remote else PATIENCE):
                await plane.synced.wait()
        if not plane.synced.is_set():
            log.warning("not all is known yet; what is asked until then gets SERVFAIL")
            gc.enable()  # it may be long, and what fails meanwhile leaves garbage
        plane.supervisor.release()
        try:
            await plane.supervisor.opened()
        except WorkersFailed as error:
            raise ServeFailed(f"no process to answer could be started: {error}") from error
        await plane.synced.wait()
        await plane.supervisor.caught_up()
        self.say(greeting(plane, time.monotonic() - self.begun))
        if self.front.url:
            self.say(f"admin: {self.front.url}")
        give_way(but={starter()})
        for _ in plane.pipeline.compact_all():
            await asyncio.sleep(0)
        _settle_memory()

    async def _follow(self, plane: ControlPlane, source: Source, cluster: str) -> None:
        """Run a source for ever. Only before anything is served may it end the process."""
        while True:
            try:
                await source.run(lambda batch: plane.publish(batch, cluster))
            except SourceError as error:
                if not plane.synced.is_set():
                    raise SettingsError(str(error)) from error
                log.exception("a source ended; what it said last is served on")
            except Exception:
                if not plane.synced.is_set():
                    raise
                log.exception("a source failed; what it said last is served on")
            await asyncio.sleep(_PAUSE)

    async def _finish(self, plane: ControlPlane) -> None:
        """Let the workers finish, unless nothing was answered yet or somebody is in a hurry."""
        supervisor, settings = plane.supervisor, plane.settings
        if self.stop.is_set():
            hurried = asyncio.create_task(self.hurry.wait())
            draining = asyncio.create_task(
                supervisor.drain(settings.worker.drain_quiet, settings.worker.drain_limit)
            )
            await asyncio.wait((hurried, draining), return_when=asyncio.FIRST_COMPLETED)
            await _cancelled(hurried, draining)
        await supervisor.stop()
        plane.close()
        # The loop removes its handlers when it closes, and a signal would then kill the process.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    # -- signals ---------------------------------------------------------------------------

    def _asked_to_stop(self) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()

    def _asked_to_reload(self, plane: ControlPlane) -> None:
        task = asyncio.get_running_loop().create_task(self._reload(plane))
        self.reloads.add(task)
        task.add_done_callback(self.reloads.discard)

    async def _reload(self, plane: ControlPlane) -> None:
        try:
            await self._reload_now(plane)
        except SettingsError as error:
            for problem in error.problems:
                log.error("the new configuration is not used", problem=problem)  # noqa: TRY400
        except WorkersFailed as error:
            log.error(  # noqa: TRY400
                "the new configuration is not used",
                problem=f"the processes that answer do not start with it: {error}",
            )
        except Exception:
            log.exception("the reload failed, which is a bug; names are answered on")

    async def _reload_now(self, plane: ControlPlane) -> None:
        """Raises SettingsError or WorkersFailed; then all goes on as it was."""
        async with self.reloading:  # one after the other
            await reload(plane, self.reread())


async def reload(plane: ControlPlane, settings: Settings) -> None:
    """Take in what of `settings` can change in a running house, and read the sources again.

    Raises SettingsError or WorkersFailed; then nothing has changed, nor is it read again.
    """
    now, later = changed(plane.settings, settings)
    settings = keep(plane.settings, settings, later)
    await plane.reconfigure(settings)
    logging.configure(settings.log.level, settings.log.format)
    for source in plane.sources:
        source.reload()
    if later:
        log.warning("these settings wait for a restart", settings=later)
    log.info("reloaded", changed=now)


async def build(settings: Settings) -> ControlPlane:
    """The house of these settings, its sockets bound, nothing running.

    Raises SettingsError for what is wrong with them in this place and at this time.
    """
    if settings.worker.uvloop == "on" and not uvloop_is_here():
        raise SettingsError(f"{settings.named('uvloop')}: on, but uvloop is not installed")
    source = await make_source(settings)
    try:
        serials = SerialFile(settings.state_dir)
    except OSError as error:
        who = settings.named("state_dir")
        raise SettingsError(
            f"{who}: {settings.state_dir} cannot be made: {error.strerror}"
        ) from error
    return ControlPlane(settings, bind(settings), [source], serials)


async def make_source(settings: Settings) -> Source:
    """The source that the settings name. Raises SettingsError when that is none, or two."""
    if settings.manifests.directory and settings.kubernetes.on:
        raise SettingsError(
            f"{settings.named('manifests')} and {settings.named('kubernetes')}: "
            "give one source, not both"
        )
    if settings.kubernetes.on:
        from dnsd.control.sources import open_link

        return await open_link(settings)
    if not settings.manifests.directory:
        raise SettingsError("no source of Services; give --manifests DIR or --kubernetes")
    from dnsd.sources.manifests.source import Manifests

    return Manifests(settings.manifests.directory, service_cidrs=settings.manifests.service_cidr)


def bind(settings: Settings) -> list[list[Listener]]:
    """The listeners of each worker, on every address. Raises SettingsError."""
    slots: list[list[Listener]] = [[] for _ in range(settings.worker.count)]
    try:
        for endpoint in settings.transport.listen:
            transports = transports_of(endpoint)
            groups = bind_group(endpoint.address, transports, settings.worker.count)
            for slot, group in zip(slots, groups, strict=True):
                slot += group
    except CannotListen as error:
        close(listener for slot in slots for listener in slot)
        raise SettingsError(f"{settings.named('listen')}: {error.strerror}") from error
    return slots


# ---------------------------------------------------------------------------------------
# The first line.


def greeting(plane: ControlPlane, seconds: float) -> str:
    """What `serve` prints when it answers: where, what, and a command to try."""
    services = plane.pipeline.state.counts()["Service"]
    what = f"{_count(services, 'Service')}, {_count(len(plane.pipeline.zone), 'name')}"
    if not services:
        what += " (no Services yet, only the zone itself)"
    return (
        f"dnsd {__version__} answers on {_places(plane.listeners)}: {what}, in {seconds:.2f} s\n"
        f"try: {_try(plane)}"
    )


def _places(listeners: Sequence[Listener]) -> str:
    """The addresses, and over which transports: `127.0.0.1:53, [::1]:53 (UDP and TCP)`."""
    found: dict[Address, list[str]] = {}
    for listener in listeners:
        found.setdefault(listener.address, []).append(listener.transport.label)
    labels = {address: f"({' and '.join(names)})" for address, names in found.items()}
    if len(set(labels.values())) == 1:
        return f"{', '.join(map(str, labels))} {labels.popitem()[1]}"
    return ", ".join(f"{address} {names}" for address, names in labels.items())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _try(plane: ControlPlane) -> str:
    first = next((one for one in plane.listeners if one.transport.datagram), plane.listeners[0])
    option = "" if first.transport.datagram else f"+{first.transport.name} "
    address = first.address.reachable()
    return f"dig {option}-p {address.port} @{address.host} {_example(plane)}"


def _example(plane: ControlPlane) -> str:
    """A question that has an answer: the first Service with an address, else the zone's SOA."""
    primary, zone = text_of(plane.settings.schema.zones[0])[:-1], plane.pipeline.zone
    for service in plane.pipeline.state.services():
        text = f"{service.name}.{service.namespace}.svc.{primary}"
        name = name_from_text(text)
        if zone.rrset(name, Type.A):
            return text
        if zone.rrset(name, Type.AAAA):
            return f"{text} AAAA"
    return f"{primary} SOA"


# ---------------------------------------------------------------------------------------
# Memory and tasks.


def _settle_memory() -> None:
    """After the start: what is there now mostly stays, what was needed to read it does not.

    Until here the garbage collector was off: it would have walked every object that was
    read, again and again, to find none to free. What exists now is not looked at any more
    (gc.freeze), and memory that reading took goes back to the system.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()
    give_back()


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    """Wait until one of the tasks is done; raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
