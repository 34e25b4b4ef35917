"""The settings of the source that follows an API server.

In `sources/kubernetes/` (control plane: objects from an API server). Change here: what is followed.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from dnsd.settings.kinds import BOOLEAN, NAMESPACE, TEXT, duration, integer, several
from dnsd.settings.paths import FILE
from dnsd.settings.schema import Group, Setting

ALWAYS = ("Namespace", "Service", "EndpointSlice")


class KubernetesConfig(Struct, frozen=True, kw_only=True, rename={"on": "kubernetes"}):
    """What to follow, and how long to wait. Durations in seconds.

    The control process resolves the fields without a declaration. `kinds`: Namespace, Service, and
    EndpointSlice, and those that other settings use. `needed`: the kinds, besides the first three,
    without which dnsd must not answer. `reconcile_every` varies by a tenth.
    """

    # fmt: off
    on: Annotated[bool, Setting(Group.SOURCES, BOOLEAN,
        "Watch an API server: in a cluster with its service account, else by kubeconfig.")] = False
    kubeconfig: Annotated[str, Setting(Group.SOURCES, FILE,
        "The kubeconfig file. Default: the service account in a cluster, then $KUBECONFIG, then"
        " ~/.kube/config.", "~/.kube/config")] = ""
    context: Annotated[str, Setting(Group.SOURCES, TEXT,
        "The context of the kubeconfig. Default: its current one.", "staging")] = ""
    namespaces: Annotated[tuple[str, ...], Setting(Group.SOURCES, several(NAMESPACE),
        "Follow only these namespaces. For up to 16, a Role in each is sufficient, besides a"
        " ClusterRole for Namespaces; for more, dnsd watches the whole cluster. Empty: all.",
        "[team-a, team-b]")] = ()
    namespace_selector: Annotated[str, Setting(Group.SOURCES, TEXT,
        "Serve only what is in namespaces with these labels.",
        '"dns=public,team in (a, b)"')] = ""
    service_selector: Annotated[str, Setting(Group.SOURCES, TEXT,
        "Serve only Services with these labels.", '"dns!=hidden"')] = ""
    stale_after: Annotated[float, Setting(Group.SOURCES, duration(1, 86400),
        "The time without a message on any watch of the API server after which answers are marked"
        " stale. A quiet cluster sends about one message each minute.")] = 300.0
    ready_when_stale: Annotated[bool, Setting(Group.SOURCES, BOOLEAN,
        "Stay ready while stale: old answers are better than no answers.")] = False
    reconcile_every: Annotated[float, Setting(Group.SOURCES, duration(0, 86400 * 7),
        "The time between two full lists besides the watches, which correct what differs; 0s:"
        " never.")] = 3600.0
    page_size: Annotated[int, Setting(Group.SOURCES, integer(1, 10_000),
        "Objects of one request to an API server that cannot stream its lists.")] = 500
    snapshot_every: Annotated[float, Setting(Group.SOURCES, duration(0.1, 86400),
        "With state_dir: the time between two writes of the last good state of the cluster, if it"
        " changed. dnsd answers from it at once when it starts.")] = 30.0
    snapshot_max_age: Annotated[float, Setting(Group.SOURCES, duration(0, 86400 * 365),
        "Greatest age of a snapshot that dnsd serves.")] = 86400.0
    # fmt: on
    kinds: tuple[str, ...] = ALWAYS
    needed: tuple[str, ...] = ()
