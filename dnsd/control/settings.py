"""The settings of one run of dnsd: the sections of all packages, composed.

In `control/` (control process). Change here: add the section of a new package.
"""

from __future__ import annotations

from typing import Annotated

from dnsd.admin.settings import AdminConfig
from dnsd.answer.settings import EngineConfig
from dnsd.observe.settings import HistoryConfig, LogConfig
from dnsd.settings import docs
from dnsd.settings.kinds import NAMESPACED
from dnsd.settings.paths import FILE, OWN_DIRECTORY
from dnsd.settings.schema import Composed, Group, Setting
from dnsd.sources.kubernetes.settings import KubernetesConfig
from dnsd.sources.manifests.settings import ManifestConfig
from dnsd.transport.settings import TransportConfig
from dnsd.upstream.settings import UpstreamConfig
from dnsd.worker.settings import WorkerConfig
from dnsd.zone.settings import JournalConfig, SchemaConfig, ViewConfig


class Settings(Composed, frozen=True, kw_only=True):
    """All settings, read and checked. The order of the sections is their order in a group."""

    manifests: ManifestConfig = ManifestConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()
    transport: TransportConfig = TransportConfig()
    admin: AdminConfig = AdminConfig()
    schema: SchemaConfig = SchemaConfig()
    # fmt: off
    ns_service: Annotated[str, Setting(Group.NAMES, NAMESPACED,
        "The Service through which clients reach dnsd. Its ClusterIPs are the addresses of"
        " ns.dns.ZONE, if dnsd follows this Service and ns_addresses is empty.",
        "kube-system/dnsd", reload=True)] = ""
    # fmt: on
    views: ViewConfig = ViewConfig()
    engine: EngineConfig = EngineConfig()
    upstream: UpstreamConfig = UpstreamConfig()
    history: HistoryConfig = HistoryConfig()
    journal: JournalConfig = JournalConfig()
    # fmt: off
    config: Annotated[str, Setting(Group.RUNNING, FILE,
        "A YAML file with any of these settings; see config/dnsd.yaml.", in_file=False)] = ""
    state_dir: Annotated[str, Setting(Group.RUNNING, OWN_DIRECTORY,
        "Directory for what outlives a restart, such as the serial of the zone.",
        "/var/lib/dnsd")] = ""
    # fmt: on
    worker: WorkerConfig = WorkerConfig()
    log: LogConfig = LogConfig()


if __name__ == "__main__":  # `make docs`
    docs.write(Settings)
