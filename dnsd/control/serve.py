"""`dnsd serve`: starts the control process, stops it on SIGTERM, and reloads it on SIGHUP.

In `control/` (control process). Change here: the order of the start and of the stop.

The start: first the sockets, because a busy port must be reported before 10,000 manifests are
read. Then the worker processes, which start while the sources are read. When the sources are
synced, or after `SYNC_TIMEOUT`, the workers get their table and answer. Without synced sources the
answer is SERVFAIL, never NXDOMAIN. The admin API opens when the workers answer, or after a timeout
of its own (dnsd.admin.server), so that it can report that the sources are not synced.

The stop: SIGTERM or SIGINT lets the workers finish (`drain_quiet`, `drain_limit`). A second signal
ends them at once. SIGHUP reads the configuration and the sources again. If a new configuration
cannot be used, dnsd logs the reason and continues with the former one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from dnsd.admin.server import AdminServer
from dnsd.control.greeting import greeting
from dnsd.control.plane import ControlPlane
from dnsd.control.resolve import wants_uvloop
from dnsd.control.serial import SerialFile
from dnsd.control.settings import Settings
from dnsd.control.sources import make_source
from dnsd.observe import logging
from dnsd.runtime.loop import loop_factory, uvloop_is_here
from dnsd.runtime.memory import give_back, share_one_heap
from dnsd.runtime.priority import give_way
from dnsd.runtime.tasks import Tasks
from dnsd.settings.schema import SettingsError, changed, keep
from dnsd.sources.source import Source, SourceError
from dnsd.transport.listener import CannotListen, Listener, bind_group, close
from dnsd.transport.registry import transports_of
from dnsd.worker.process import starter
from dnsd.worker.supervisor import WorkersFailed

log = structlog.get_logger(__name__)

# Seconds that the workers wait for the sources before they answer SERVFAIL. An API server may be
# away for hours, and a client should not wait for it.
SYNC_TIMEOUT = 3.0
_RETRY = 5.0  # seconds before a source that failed runs again
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ServeFailed(Exception):
    """dnsd cannot start or continue, for a reason that is not the configuration."""


def serve(settings: Settings, reread: Callable[[], Settings], say: Callable[[str], None]) -> None:
    """Serve until a signal stops dnsd.

    `reread` returns the settings anew (SIGHUP). `say` prints a line of output. Raises SettingsError
    if the configuration cannot be used (a busy port, a source that cannot be read), and ServeFailed
    if anything else prevents the start.
    """
    logging.configure(settings.log.level, settings.log.format)
    share_one_heap()
    gc.disable()  # see _settle_memory
    with asyncio.Runner(loop_factory=loop_factory(wants_uvloop(settings))) as runner:
        runner.run(Serve(settings, reread, say).run())


class Serve:
    """One run: the control plane, the signals, the sources, and the admin API."""

    def __init__(
        self, settings: Settings, reread: Callable[[], Settings], say: Callable[[str], None]
    ) -> None:
        self.settings, self.reread, self.say = settings, reread, say
        self._begun = time.monotonic()
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._reloads = Tasks()
        self._reloading = asyncio.Lock()

    async def run(self) -> None:
        """Start, serve, and stop. Raises SettingsError and ServeFailed."""
        plane = await build(self.settings)
        try:
            admin = AdminServer(self.settings)
        except SettingsError:
            await plane.supervisor.stop()
            raise
        admin.apply_records(plane)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGINT, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGHUP, self.request_reload, plane)
        gc.freeze()  # the modules, so that `_settle_memory` takes half as long
        plane.supervisor.start()
        stopped = loop.create_task(self._stop.wait())
        started = loop.create_task(self._start(plane, admin))
        api = loop.create_task(admin.run(plane, partial(self.reload, plane)))
        sources = [
            loop.create_task(_run_source(plane, source, cluster))
            for source, cluster in zip(plane.sources, plane.clusters, strict=False)
        ]
        try:
            await _first_of(stopped, started, api, *sources)
            await _first_of(stopped, api, *sources)
            log.info("stopping")
        finally:
            admin.drain()
            await self._reloads.close()
            await _cancelled(started, *sources)
            await self._finish(plane)
            await _cancelled(stopped, api)

    async def _start(self, plane: ControlPlane, admin: AdminServer) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SYNC_TIMEOUT):
                await plane.synced.wait()
        if not plane.synced.is_set():
            log.warning("the sources are not synced yet; until then every answer is SERVFAIL")
            gc.enable()  # this may last, and retries leave garbage
        plane.supervisor.release()
        try:
            await plane.supervisor.opened()
        except WorkersFailed as error:
            raise ServeFailed(f"no worker process could be started: {error}") from error
        await plane.synced.wait()
        await plane.supervisor.caught_up()
        self.say(greeting(plane, time.monotonic() - self._begun))
        if admin.url:
            self.say(f"admin: {admin.url}")
        give_way(but={starter()})
        for _ in plane.pipeline.zone.compact_all():
            await asyncio.sleep(0)
        _settle_memory()

    async def _finish(self, plane: ControlPlane) -> None:
        """Let the workers finish, unless dnsd did not start or a second signal came."""
        supervisor, settings = plane.supervisor, plane.settings.worker
        if self._stop.is_set():
            hurry = asyncio.create_task(self._hurry.wait())
            drain = asyncio.create_task(
                supervisor.drain(settings.drain_quiet, settings.drain_limit)
            )
            await asyncio.wait((hurry, drain), return_when=asyncio.FIRST_COMPLETED)
            await _cancelled(hurry, drain)
        await supervisor.stop()
        plane.close()
        # The loop removes its handlers when it closes, and a signal would then kill the process.
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _on_stop_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def request_reload(self, plane: ControlPlane) -> None:
        """Start a reload, and log its failure."""
        self._reloads.start(self._reload(plane), "reload the configuration")

    async def _reload(self, plane: ControlPlane) -> None:
        try:
            await self.reload(plane)
        except SettingsError as error:
            for problem in error.problems:
                log.error("the new configuration is not used", problem=problem)  # noqa: TRY400
        except WorkersFailed as error:
            problem = f"the workers do not start with it: {error}"
            log.error("the new configuration is not used", problem=problem)  # noqa: TRY400

    async def reload(self, plane: ControlPlane) -> None:
        """Apply the settings that can change while dnsd runs, and read the sources again.

        Raises SettingsError or WorkersFailed; then nothing has changed.
        """
        async with self._reloading:
            settings = self.reread()
            now, later = changed(plane.settings, settings)
            settings = keep(plane.settings, settings, later)
            await plane.reconfigure(settings)
            logging.configure(settings.log.level, settings.log.format)
            for source in plane.sources:
                source.reload()
            if later:
                log.warning("these settings need a restart", settings=later)
            log.info("reloaded", changed=now)


async def _run_source(plane: ControlPlane, source: Source, cluster: str) -> None:
    """Run a source forever. A failure ends the process only before the sources are synced."""
    while True:
        try:
            await source.run(partial(plane.publish, cluster=cluster))
        except SourceError as error:
            if not plane.synced.is_set():
                raise SettingsError(str(error)) from error
            log.exception("a source ended; dnsd serves its last state")
        except Exception:
            if not plane.synced.is_set():
                raise
            log.exception("a source failed, a bug; dnsd serves its last state")
        await asyncio.sleep(_RETRY)


async def build(settings: Settings) -> ControlPlane:
    """The control plane of these settings, with bound sockets. Nothing runs.

    Raises SettingsError for settings that cannot be used on this host.
    """
    if settings.worker.uvloop == "on" and not uvloop_is_here():
        raise SettingsError(f"{settings.named('uvloop')}: on, but uvloop is not installed")
    source = await make_source(settings)
    try:
        serials = SerialFile(settings.state_dir)
    except OSError as error:
        setting = settings.named("state_dir")
        problem = f"{settings.state_dir} cannot be created: {error.strerror}"
        raise SettingsError(f"{setting}: {problem}") from error
    return ControlPlane(settings, bind(settings), [source], serials)


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


def _settle_memory() -> None:
    """After the start: most objects stay, and the memory that reading needed is free.

    Until here the garbage collector was off, because it would have visited every object again and
    again and found no garbage. The objects of now are not visited any more (gc.freeze), and freed
    memory goes back to the system.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()
    give_back()


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    """Wait until one of the tasks is done. Raises its exception."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
