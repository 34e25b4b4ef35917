"""The settings of the zones: names, external zones, views, policies, and the journal.

In `zone/` (pure: the names that exist). Change here: the configuration of the schema and of views.

The control process resolves two values: `ns_addresses`, when none are given, and the TTL of
external zones without one (`resolved`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct, field
from msgspec.structs import replace

from dnsd.dns.names import Name, name_from_text, text_of
from dnsd.settings.kinds import (
    BOOLEAN,
    CIDR,
    NAME,
    NAMESPACE,
    PACKED_IP,
    ZONE_NAME,
    BadValue,
    Kind,
    choice,
    in_quotes,
    integer,
    several,
    size,
)
from dnsd.settings.schema import BadSetting, Group, Setting, prefixed
from dnsd.settings.sections import records

INSIDE, OUTSIDE, BOTH = "inside", "outside", "both"
ANY, OWN = "*", "own"
Servers = tuple[tuple[Name, tuple[bytes, ...]], ...]


def _servers(value: object) -> Servers:
    """Name servers: a mapping to addresses, or a list of names."""
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        value = dict.fromkeys(value)
    if not isinstance(value, dict):
        raise BadValue(value, "is not a mapping of name servers to their addresses")
    addresses = several(PACKED_IP)
    return tuple((NAME.parse(name), addresses.parse(at or [])) for name, at in value.items())


def _show_servers(servers: Servers) -> str:
    inside = (f"{NAME.show(name)}: {several(PACKED_IP).show(at)}" for name, at in servers)
    return "{" + ", ".join(inside) + "}"


def _namespace(value: object) -> str:
    if value == ANY:
        return ANY
    try:
        return str(NAMESPACE.parse(value))
    except BadValue:
        raise BadValue(value, "is not a namespace; give its name, or * for all") from None


_SERVERS = Kind("name servers", "NS", _servers, _show_servers)
_NAMESPACES = several(Kind("namespace", "NAMESPACE", _namespace, in_quotes))


class ExternalZone(Struct, frozen=True):
    """A zone of names that clients outside the cluster resolve; `ttl` in seconds, -1: as `ttl`.

    `servers`: the names of its name servers, each with its packed addresses, which are served if
    the name is in the zone. Without any: `ns.dns` below the zone, as in the zones of the cluster.
    """

    name: Annotated[Name, ZONE_NAME]
    servers: Annotated[Servers, _SERVERS] = field(default=(), name="ns")
    ttl: Annotated[int, integer(0, 3600)] = -1


class ExternalConfig(Struct, frozen=True, rename=prefixed("outside_")):
    """The external zones. Without `zones`, no other setting of these has an effect."""

    # fmt: off
    zones: Annotated[tuple[ExternalZone, ...], Setting(Group.EXTERNAL,
        records(ExternalZone, "external zones", "ZONE", "name"),
        "Zones of what clients outside the cluster reach: load balancers, node ports, external"
        " addresses. `ns` names their name servers, with addresses. Empty: no external zones.",
        "[{name: k8s.example.com, ns: {ns1.k8s.example.com: [192.0.2.53]}}]")] = ()
    names: Annotated[tuple[str, ...], Setting(Group.EXTERNAL,
        several(choice("nodes", "ingresses", "routes", "dnsendpoints")),
        "What has names in the external zones besides Services: nodes (NODE.nodes.ZONE), hosts of"
        " Ingresses, hosts of Gateway API routes, records of DNSEndpoints. Empty: only Services.",
        "[nodes, ingresses]")] = ()
    node_addresses: Annotated[str, Setting(Group.EXTERNAL, choice("external", "internal"),
        "Which addresses a node has in the external zones: its ExternalIPs, else its InternalIPs;"
        " or its InternalIPs, else its ExternalIPs.", reload=True)] = "external"
    node_pointers: Annotated[bool, Setting(Group.EXTERNAL, BOOLEAN,
        "Give the addresses of nodes PTR records in the reverse zones of dnsd, if"
        " `outside_names` has nodes.", reload=True)] = False
    balancer_ports: Annotated[str, Setting(Group.EXTERNAL, choice("never", "pending", "always"),
        "When dnsd answers a Service of type LoadBalancer with its node ports: never, while no"
        " address is assigned to it, or always.", reload=True)] = "never"
    # fmt: on

    @property
    def node_port_types(self) -> tuple[str, ...]:
        """The types of Services whose names depend on the Nodes."""
        if not self.zones:
            return ()
        return ("NodePort",) if self.balancer_ports == "never" else ("NodePort", "LoadBalancer")


class SchemaConfig(Struct, frozen=True, rename={"zones": "zone"}):
    """The configuration of the schema. The first zone is the primary one: PTR point into it."""

    # fmt: off
    zones: Annotated[tuple[Name, ...], Setting(Group.NAMES, several(ZONE_NAME, at_least=1),
        "The cluster domain. If there are several, all have the same names, and PTR records point"
        " into the first. Empty: an error.",
        "[cluster.local, cluster.example]", reload=True)] = (name_from_text("cluster.local."),)
    ttl: Annotated[int, Setting(Group.NAMES, integer(0, 3600),
        "Seconds for which resolvers may cache an answer or a negative answer.",
        reload=True)] = 5
    pods: Annotated[str, Setting(Group.NAMES, choice("disabled", "verified", "insecure"),
        "Names of pods (1-2-3-4.ns.pod.ZONE): no names, those of running pods, or any address in a"
        " namespace that exists.", reload=True)] = "disabled"
    endpoint_names: Annotated[str, Setting(Group.NAMES, choice("address", "pod"),
        "The name of an endpoint without a hostname: its address with dashes, or the name of its"
        " pod.", reload=True)] = "address"
    endpoint_records: Annotated[bool, Setting(Group.NAMES, BOOLEAN,
        "Give names and PTR records also to the endpoints of Services that have a ClusterIP, as"
        " CoreDNS does.", reload=True)] = True
    empty_services: Annotated[str, Setting(Group.NAMES, choice("answer", "nxdomain"),
        "How dnsd answers for a Service with a ClusterIP but without a ready endpoint: with its"
        " ClusterIP, or with NXDOMAIN.", reload=True)] = "answer"
    ns_addresses: Annotated[tuple[bytes, ...], Setting(Group.NAMES, several(PACKED_IP),
        "Addresses of ns.dns.ZONE, the server in the NS record of the zone. Empty: the ClusterIPs"
        " of ns_service, else the addresses on which dnsd listens; for a wildcard, the address"
        " from which this machine sends.", '["10.96.0.10"]', reload=True)] = ()
    reverse_zones: Annotated[tuple[str, ...], Setting(Group.NAMES, several(CIDR),
        "Networks whose reverse names (PTR) dnsd serves, missing addresses included. Empty: the"
        " private networks in which Services and endpoints have addresses.",
        '["10.96.0.0/12", "10.244.0.0/16"]', reload=True)] = ()
    # fmt: on
    external: ExternalConfig = ExternalConfig()


def resolved(config: SchemaConfig, ns_addresses: Iterable[bytes]) -> SchemaConfig:
    """The configuration with these `ns_addresses` if it has none, and a TTL in every zone.

    Raises BadSetting for an external zone that is a zone already.
    """
    names = [*config.zones, *(zone.name for zone in config.external.zones)]
    if twice := sorted({text_of(name)[:-1] for name in names if names.count(name) > 1}):
        problem = f"{', '.join(twice)} is a zone already; give an external zone its own name"
        raise BadSetting("outside_zones", problem)
    zones = tuple(
        zone if zone.ttl >= 0 else replace(zone, ttl=config.ttl) for zone in config.external.zones
    )
    return replace(
        config,
        ns_addresses=config.ns_addresses or tuple(ns_addresses),
        external=replace(config.external, zones=zones),
    )


class ViewRule(Struct, frozen=True):
    """The clients of these networks see the zones INSIDE, OUTSIDE, or BOTH."""

    networks: Annotated[tuple[str, ...], several(CIDR)]
    see: Annotated[str, choice(INSIDE, OUTSIDE, BOTH)]


class PolicyRule(Struct, frozen=True):
    """Pods of `namespaces` (ANY: all) and clients of `networks` see the names of `see`.

    In `see`, OWN is the namespace of the pod, and ANY is every namespace.
    """

    namespaces: Annotated[tuple[str, ...], _NAMESPACES] = ()
    networks: Annotated[tuple[str, ...], several(CIDR)] = ()
    see: Annotated[tuple[str, ...], _NAMESPACES] = ()

    def __post_init__(self) -> None:
        if not (self.namespaces or self.networks):
            raise ValueError("does not name clients; give namespaces or networks")


class ViewConfig(Struct, frozen=True):
    """The rules. Without views and policies, every client sees everything.

    `unknown_pods`: what a client sees that may be a new pod, which is every client but known pods
    and nodes (the addresses of Nodes, and of pods with hostNetwork). A policy that names its
    network decides. Without one, "network": everything. "narrowest": the intersection of what it
    would see in each namespace that a policy names, and in one that no policy names; OWN counts
    as nothing. "nothing": names of no namespace. "auto": "narrowest" if a policy has `namespaces`,
    else "network". `views` apply unchanged.
    """

    # fmt: off
    views: Annotated[tuple[ViewRule, ...], Setting(Group.VIEWS, records(ViewRule, "views", "VIEW"),
        "Which zones clients see, by network: inside, outside, or both. The most specific network"
        " decides; a client in no network sees both. Empty: every client sees both.",
        '[{networks: ["0.0.0.0/0", "::/0"], see: outside},'
        ' {networks: ["10.0.0.0/8"], see: both}]')] = ()
    policies: Annotated[tuple[PolicyRule, ...], Setting(Group.VIEWS,
        records(PolicyRule, "policies", "POLICY"), "Which namespaces' names clients see: pods by"
        " namespace, clients by network. A client matched by several policies sees their union; a"
        " client matched by none sees everything. Empty: every client sees everything.",
        '[{namespaces: ["*"], see: [own, shared]}, {networks: ["10.244.0.0/16"], see: []}]')] = ()
    unknown_pods: Annotated[str, Setting(Group.VIEWS,
        choice("auto", "network", "narrowest", "nothing"), "What a client in no network of a policy"
        " sees if it may be a pod whose event has not arrived: any client but known pods and nodes."
        " network: all names. narrowest: only what pods of all namespaces see. nothing: no name of"
        " a namespace. auto: narrowest if a policy has namespaces, else network.")] = "auto"
    # fmt: on

    @property
    def on(self) -> bool:
        """Whether any name may be hidden from any client."""
        return bool(self.views or self.policies)


class JournalConfig(Struct, frozen=True, rename=prefixed("journal_")):
    """How much the journal holds."""

    # fmt: off
    size: Annotated[int, Setting(Group.LIMITS, size(64 << 10, 4 << 30),
        "Memory for the journal of the changes of the zone.")] = 16 << 20
    changes: Annotated[int, Setting(Group.LIMITS, integer(1, 1_000_000),
        "Changes of the zone that the journal holds for its consumers.")] = 10_000
    # fmt: on
