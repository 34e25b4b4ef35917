"""`--kubernetes` in the house: the source that the settings describe, and its snapshot.

The snapshot is read before the first contact. It is written every `snapshot_every`, if an
object changed, and when dnsd stops. Versions alone, which move with every bookmark of a
quiet cluster, are worth a tenth of that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from msgspec.structs import replace

from dnsd.cluster.objects import ROUTE_KINDS
from dnsd.cluster.store import Packed
from dnsd.control.settings import Settings
from dnsd.settings.schema import SettingsError
from dnsd.sources.kubernetes import snapshot
from dnsd.sources.kubernetes.client import connect
from dnsd.sources.kubernetes.credentials import Access, Timing
from dnsd.sources.kubernetes.errors import BadCredentials
from dnsd.sources.kubernetes.settings import ALWAYS, KubernetesConfig
from dnsd.sources.kubernetes.source import KubernetesSource
from dnsd.sources.source import Batch, SourceStatus

log = structlog.get_logger(__name__)

_QUIET_WRITES = 10  # how many times rarer a snapshot is written when only versions moved


class KubernetesLink:
    """A `Source` that also keeps the snapshot. Made by `open_link`."""

    def __init__(self, source: KubernetesSource, path: Path | None, every: float) -> None:
        self.source = source
        self._path, self._every = path, every
        self._changes = 0
        self._saved: tuple[int, dict[str, str]] = (-1, {})
        self._problem = ""
        self._writing = threading.Lock()
        self._written = 0.0  # when the snapshot on disk was taken

    async def run(self, publish: Callable[[Batch], None]) -> None:
        """See `Source.run`. Writes the snapshot once more when cancelled."""

        def passed_on(batch: Batch) -> None:
            self._changes += len(batch.events)
            publish(batch)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.source.run(passed_on))
                if self._path:
                    group.create_task(self._save_at_times())
        except asyncio.CancelledError:  # not an error, after which this may run again
            await self.source.client.close()
            raise
        finally:
            self._save_at_the_end()

    def status(self) -> list[SourceStatus]:
        """See `Source.status`."""
        return self.source.status()

    @property
    def ready(self) -> bool:
        """Whether queries should be sent here (`/readyz`)."""
        return self.source.ready

    def reload(self) -> None:
        """See `Source.reload`."""
        self.source.reload()

    async def save(self) -> str:
        """Write the snapshot now. Its path; "" when there is nothing to write, or nowhere.

        Raises OSError when it cannot be written.
        """
        saving = self.source.to_save()
        if self._path is None or saving is None:
            return ""
        changes = self._changes
        # In a thread: it takes a while.
        await asyncio.to_thread(self._write, self._path, *saving)
        self._saved = changes, saving[0].versions
        return str(self._path)

    async def _save_at_times(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(self._every)
            rounds += 1
            changed = self._changes != self._saved[0]
            if changed or (rounds % _QUIET_WRITES == 0 and self._unsaved()):
                try:
                    await self.save()
                    self._problem = ""
                except OSError as error:
                    self._complain(error)

    def _save_at_the_end(self) -> None:
        saving = self.source.to_save()
        if self._path and saving and self._unsaved():
            try:
                self._write(self._path, *saving)
            except OSError as error:
                self._complain(error)

    def _unsaved(self) -> bool:
        """Whether a snapshot would say more than the last one."""
        saving = self.source.to_save()
        return saving is not None and (self._changes, saving[0].versions) != self._saved

    def _write(self, path: Path, header: snapshot.Header, objects: list[Packed]) -> None:
        with self._writing:  # the last one may meet one that is still being written
            if header.written >= self._written:
                size = snapshot.write(path, header, objects)
                self._written = header.written
                log.debug("the snapshot is written", octets=size, objects=len(objects))

    def _complain(self, error: OSError) -> None:
        problem = error.strerror or str(error)  # not the text: it names a temporary file
        if problem != self._problem:
            log.warning("the snapshot cannot be written", file=str(self._path), problem=problem)
        self._problem = problem


async def open_link(settings: Settings, timing: Timing | None = None) -> KubernetesLink:
    """The source that the settings describe; nobody has been contacted yet.

    Raises SettingsError for credentials that cannot be used.
    """
    section = settings.kubernetes
    access = Access(section.kubeconfig, section.context)
    try:
        client = await connect(access, timing)
    except BadCredentials as error:
        culprit = "kubeconfig" if section.kubeconfig else "kubernetes"
        raise SettingsError(f"{settings.named(culprit)}: {error}") from error
    path = Path(settings.state_dir) / snapshot.FILE if settings.state_dir else None
    source = KubernetesSource(
        client, kubernetes_config(settings), snapshot=_read(path, section.snapshot_max_age)
    )
    return KubernetesLink(source, path, section.snapshot_every)


# What `outside_names` needs to know.
_EXTERNAL_KINDS = {
    "nodes": ("Node",),
    "ingresses": ("Ingress",),
    "routes": ("Gateway", *ROUTE_KINDS),
    "dnsendpoints": ("DNSEndpoint",),
}


def kinds_of(settings: Settings) -> tuple[str, ...]:
    """The kinds to watch: those that the settings give a use, and no others.

    Pods for their names, for policies that tell clients by their namespace, and for
    completing searches; Nodes for node ports, which any outside zone may show. The chart's
    ClusterRole grows with these.
    """
    kinds = list(ALWAYS)
    by_pod = settings.views.policies or settings.upstream.search_completion
    if by_pod or settings.schema.pods == "verified":
        kinds.append("Pod")
    external = settings.schema.external
    if external.zones:
        kinds.append("Node")
        kinds += [kind for name in external.names for kind in _EXTERNAL_KINDS[name]]
    return tuple(dict.fromkeys(kinds))


def kubernetes_config(settings: Settings) -> KubernetesConfig:
    """The section with the kinds to watch (`kinds_of`).

    Without Pods, a policy for the pods of a namespace would show every name to every client, so
    dnsd does not answer before it has them.
    """
    by_pod = any(policy.namespaces for policy in settings.views.policies)
    needed = ("Pod",) if by_pod else ()
    return replace(settings.kubernetes, kinds=kinds_of(settings), needed=needed)


def _read(path: Path | None, max_age: float) -> snapshot.Snapshot | None:
    if path is None:
        return None
    try:
        return snapshot.read(path, now=time.time(), max_age=max_age)
    except snapshot.BadSnapshot as error:
        log.warning("the snapshot is not served", file=str(path), reason=str(error))
        return None
