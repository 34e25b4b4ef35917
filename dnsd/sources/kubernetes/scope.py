"""A scope: a resource of the API, in one namespace or all, filtered or not.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: which scopes a
configuration has, and the path and parameters of a list or watch.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from dnsd.cluster.objects import CLUSTER_SCOPED, RESOURCES, Kind
from dnsd.sources.kubernetes.settings import KubernetesConfig

# Up to this many namespaces, dnsd sends one request for each namespace and kind, so that a Role in
# each is sufficient. Beyond that, one watch of the cluster and a filter cost the server less.
MAX_NAMESPACE_SCOPES = 16


class Scope(Struct, frozen=True):
    """What one reflector watches: a resource, in one namespace or all, filtered or not."""

    resource: Kind
    namespace: str = ""
    labels: str = ""  # labelSelector
    name: str = ""  # of the one object that is watched, by a fieldSelector

    @property
    def place(self) -> tuple[str, str]:
        """The kind and the namespace; unique among the scopes of one configuration."""
        return self.resource.name, self.name or self.namespace

    @property
    def id(self) -> str:
        """The scope in statuses and snapshots: `services`, `services@team-a?tier=web`."""
        where = f"@{self.namespace}" if self.namespace else ""
        filters = "&".join(self.params.values())
        return self.resource.plural + where + (f"?{filters}" if filters else "")

    @property
    def path(self) -> str:
        """The path of the resource at the API server."""
        within = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{self.resource.prefix}{within}/{self.resource.plural}"

    @property
    def params(self) -> dict[str, str]:
        """The query parameters that filter."""
        fields = f"metadata.name={self.name}" if self.name else ""
        named = {"labelSelector": self.labels, "fieldSelector": fields}
        return {name: value for name, value in named.items() if value}


def next_version(scope: Scope) -> Scope:
    """The same scope in the next version that may serve the resource; the last is followed by the
    first."""
    resource = scope.resource
    first, *rest = *resource.older, resource.version
    return replace(scope, resource=replace(resource, version=first, older=tuple(rest)))


def scopes(config: KubernetesConfig) -> list[Scope]:
    """The scopes of a configuration, Namespaces first."""
    named = config.namespaces if len(config.namespaces) <= MAX_NAMESPACE_SCOPES else ()
    selectors = {"Namespace": config.namespace_selector, "Service": config.service_selector}
    out = []
    for kind in config.kinds:
        resource, selector = RESOURCES[kind], selectors.get(kind, "")
        if kind == "Namespace" and named:
            out += [Scope(resource, "", selector, one) for one in named]
        elif kind in CLUSTER_SCOPED:
            out.append(Scope(resource, "", selector))
        else:
            out += [Scope(resource, one, selector) for one in named or ("",)]
    return out
