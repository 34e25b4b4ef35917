"""Builds the source that the settings name: a directory of manifests, or an API server.

In `control/` (control process). Change here: which sources there are, and what each watches.

The Kubernetes client is imported only for a source that needs it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from dnsd.cluster.objects import ROUTE_KINDS
from dnsd.control.settings import Settings
from dnsd.settings.schema import SettingsError
from dnsd.sources.kubernetes.settings import ALWAYS, KubernetesConfig
from dnsd.sources.source import Source

if TYPE_CHECKING:
    from dnsd.control.saving import SavingSource
    from dnsd.sources.kubernetes.credentials import Timing
    from dnsd.sources.kubernetes.snapshot import Snapshot

log = structlog.get_logger(__name__)


async def make_source(settings: Settings) -> Source:
    """The source that the settings name. Raises SettingsError if they name none, or two."""
    if settings.manifests.directory and settings.kubernetes.on:
        raise SettingsError(
            f"{settings.named('manifests')} and {settings.named('kubernetes')}: "
            "give one source, not both"
        )
    if settings.kubernetes.on:
        return await kubernetes_source(settings)
    if not settings.manifests.directory:
        raise SettingsError("no source of Services; give --manifests DIR or --kubernetes")
    from dnsd.sources.manifests.source import Manifests

    return Manifests(settings.manifests.directory, settings.manifests.service_cidr)


async def kubernetes_source(settings: Settings, timing: Timing | None = None) -> SavingSource:
    """The API server of the settings, and its snapshot. Does not contact the API server.

    Raises SettingsError for credentials that cannot be used.
    """
    from dnsd.control.saving import SavingSource
    from dnsd.sources.kubernetes import snapshot
    from dnsd.sources.kubernetes.client import connect
    from dnsd.sources.kubernetes.credentials import Access
    from dnsd.sources.kubernetes.errors import BadCredentials
    from dnsd.sources.kubernetes.source import KubernetesSource

    section = settings.kubernetes
    try:
        client = await connect(Access(section.kubeconfig, section.context), timing)
    except BadCredentials as error:
        setting = "kubeconfig" if section.kubeconfig else "kubernetes"
        raise SettingsError(f"{settings.named(setting)}: {error}") from error
    path = Path(settings.state_dir) / snapshot.FILE if settings.state_dir else None
    saved = _read_snapshot(path, section.snapshot_max_age) if path else None
    source = KubernetesSource(client, kubernetes_config(settings), snapshot=saved)
    return SavingSource(source, path, section.snapshot_every)


# The kinds that each value of `outside_names` needs.
_EXTERNAL_KINDS = {
    "nodes": ("Node",),
    "ingresses": ("Ingress",),
    "routes": ("Gateway", *ROUTE_KINDS),
    "dnsendpoints": ("DNSEndpoint",),
}


def kinds_of(settings: Settings) -> tuple[str, ...]:
    """The kinds to watch: only those that the settings use.

    Pods: for their names, for policies by namespace, and for search-path completion. Nodes: for
    node ports, which any external zone may show. The ClusterRole of the chart has these kinds.
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


def _read_snapshot(path: Path, max_age: float) -> Snapshot | None:
    from dnsd.sources.kubernetes import snapshot

    try:
        return snapshot.read(path, now=time.time(), max_age=max_age)
    except snapshot.BadSnapshot as error:
        log.warning("the snapshot is not served", file=str(path), reason=str(error))
        return None
