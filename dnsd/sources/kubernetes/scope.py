"""What one reflector follows: a resource of the API, in one namespace or all, filtered or not."""

from __future__ import annotations

import msgspec
from msgspec import Struct

_GATEWAY = "gateway.networking.k8s.io"


class Resource(Struct, frozen=True):
    """A resource of the API: its kind here, and where it lives there.

    `older`: versions to try, one after the other and round again, when a server lacks
    `version`, as it does when a CRD is of another age or not (yet) installed.
    """

    kind: str
    group: str  # "" is the core group
    version: str
    plural: str
    older: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


RESOURCES = {
    resource.kind: resource
    for resource in (
        Resource("Namespace", "", "v1", "namespaces"),
        Resource("Service", "", "v1", "services"),
        Resource("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices"),
        Resource("Pod", "", "v1", "pods"),
        Resource("Node", "", "v1", "nodes"),
        Resource("Ingress", "networking.k8s.io", "v1", "ingresses"),
        Resource("Gateway", _GATEWAY, "v1", "gateways", ("v1beta1",)),
        Resource("HTTPRoute", _GATEWAY, "v1", "httproutes", ("v1beta1",)),
        Resource("GRPCRoute", _GATEWAY, "v1", "grpcroutes", ("v1alpha2",)),
        Resource("TLSRoute", _GATEWAY, "v1", "tlsroutes", ("v1alpha3", "v1alpha2")),
        Resource("DNSEndpoint", "externaldns.k8s.io", "v1alpha1", "dnsendpoints"),
    )
}


class Scope(Struct, frozen=True):
    """What one reflector follows: a resource, in one namespace or all, filtered or not."""

    resource: Resource
    namespace: str = ""
    labels: str = ""  # labelSelector
    name: str = ""  # of the one object that is followed, by a fieldSelector

    @property
    def fields(self) -> str:
        return f"metadata.name={self.name}" if self.name else ""

    @property
    def place(self) -> tuple[str, str]:
        """Tells the scopes of one configuration apart: a kind, and in which namespace."""
        return self.resource.kind, self.name or self.namespace

    @property
    def id(self) -> str:
        """Names the scope in statuses and snapshots: `services`, `services@team-a?tier=web`."""
        where = f"@{self.namespace}" if self.namespace else ""
        filters = "&".join(part for part in (self.labels, self.fields) if part)
        return self.resource.plural + where + (f"?{filters}" if filters else "")

    @property
    def path(self) -> str:
        within = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{self.resource.prefix}{within}/{self.resource.plural}"

    @property
    def params(self) -> dict[str, str]:
        named = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in named.items() if value}


def next_version(scope: Scope) -> Scope:
    """The same scope in the next version that the resource may be served in."""
    resource = scope.resource
    if not resource.older:
        return scope
    first, *rest = resource.older
    turned = msgspec.structs.replace(resource, version=first, older=(*rest, resource.version))
    return msgspec.structs.replace(scope, resource=turned)
