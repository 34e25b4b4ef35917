"""The configuration of the schema, and what follows from it alone.

In `zone/` (control plane: the names that exist). Change here: an option of the schema.

Names are made by joining labels in wire form: 50,000 endpoints have 100,000 names, and to build
each from text would cost seconds. The parts that do not depend on a subject (the suffixes
`svc.Z`, the reverse zones) are computed once for each configuration, in its `Plan`.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from dnsd.dns.names import Name, name_of
from dnsd.zone.reverse import ReverseZones, reverse_zones


class ExternalZone(Struct, frozen=True):
    """A zone with the addresses that Services have outside the cluster; `ttl` in seconds.

    `servers`: the names of its name servers, each with its packed addresses, which are served
    if the name is in the zone. Empty: `ns.dns` below the zone, as in the zones of the cluster.
    """

    name: Name
    servers: tuple[tuple[Name, tuple[bytes, ...]], ...] = ()
    ttl: int = 5


class ExternalConfig(Struct, frozen=True):
    """The options of the external zones; no `zones`: dnsd serves no external names."""

    zones: tuple[ExternalZone, ...] = ()  # PTR records point into the first one
    names: tuple[str, ...] = ()  # besides Services: nodes, ingresses, routes, dnsendpoints
    node_addresses: str = "external"  # external: ExternalIPs, else InternalIPs; internal
    node_pointers: bool = False  # PTR records of the Nodes, if `names` has them
    balancer_ports: str = "never"  # LoadBalancers at their node ports: never, pending, always

    @property
    def node_port_types(self) -> tuple[str, ...]:
        """The types of Services whose names depend on the Nodes."""
        if not self.zones:
            return ()
        return ("NodePort",) if self.balancer_ports == "never" else ("NodePort", "LoadBalancer")


class SchemaConfig(Struct, frozen=True):
    """The options of the schema; `ttl` in seconds, 0 to 3600."""

    zones: tuple[Name, ...]  # PTR records point into the first one, the primary zone
    ttl: int = 5
    pods: str = "disabled"  # disabled, verified, insecure
    endpoint_names: str = "address"  # of endpoints without hostname: address, pod
    endpoint_records: bool = True  # endpoint names and PTR of ClusterIP Services too
    empty_services: str = "answer"  # ClusterIP Service without ready endpoint: answer, nxdomain
    ns_addresses: tuple[bytes, ...] = ()  # packed: A and AAAA of ns.dns.Z
    reverse_zones: tuple[str, ...] = ()  # CIDRs; empty: the private ranges as needed
    external: ExternalConfig = ExternalConfig()


class Plan(Struct, frozen=True):
    """The configuration, with everything computed that does not depend on a subject."""

    config: SchemaConfig
    ttl: int
    suffixes: tuple[Name, ...]  # svc.Z of each zone, the primary zone first
    pod_suffixes: tuple[Name, ...]  # pod.Z of each zone; empty if pod names are disabled
    reverse: ReverseZones


@lru_cache(maxsize=8)
def plan_of(config: SchemaConfig) -> Plan:
    """The Plan of a configuration. Raises ValueError for a bad CIDR in `reverse_zones`."""
    pods = config.zones if config.pods != "disabled" else ()
    return Plan(
        config,
        config.ttl,
        tuple(name_of("svc", below=zone) for zone in config.zones),
        tuple(name_of("pod", below=zone) for zone in pods),
        reverse_zones(config.reverse_zones),
    )
