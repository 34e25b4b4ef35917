"""The schema outside the cluster: one contributor in, its RRsets in the external zones.

In `zone/` (control plane: the names that exist). Change here: which external names an object has.

In the zones of the cluster a Service is its ClusterIP. Outside, it is an address of a load
balancer, or Nodes and a port. The subjects are those of `schema.py`, and this is another pure
function of each. `EXT` is each of the external zones:

* A Service is *exposed* by `spec.externalIPs` whatever its type; a LoadBalancer by
  `status.loadBalancer` (and by `spec.loadBalancerIP` in a manifest, which has no status); a
  NodePort by the Nodes that would answer, and so a LoadBalancer by option. Then `svc.ns.EXT` and
  the names in its annotations have these addresses, and SRV below them for its named ports: the
  port of the Service, or its nodePort where Nodes answer.
* A Service that will be exposed and has no address yet is *pending*: its names exist without
  records, so that no resolver caches an NXDOMAIN. A Service that is never exposed has no name.
* A load balancer with a host name is a CNAME. A CNAME must be alone at its name, so addresses have
  precedence, and SRV records have the target of the CNAME (RFC 2782: a target is not an alias).
* The Nodes that would answer are the ready ones; with `externalTrafficPolicy: Local` those with a
  ready endpoint. Addresses are of the Service's families.
* Hosts of an Ingress have the addresses of its status. Hosts of a route have the addresses of its
  Gateways, which must listen for that host. A DNSEndpoint states its records itself.
* Hosts outside every EXT are ignored, because other servers have them. In a DNSEndpoint, such a
  host is a problem.
* Wildcards are not supported: a host `*.x` is a problem.

Several contributors may claim one host. Their records are not merged: the oldest contributor has
the name (see `merge.py`), because two load balancers that answer in turn are never intended.

`cluster/index.py` states what a Service at node ports costs when a Node changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from msgspec import Struct

from dnsd.cluster.objects import (
    DNSEndpoint,
    Ingress,
    Listener,
    LoadBalancerIngress,
    Node,
    Parent,
    RouteSubject,
    ServiceSubject,
    Subject,
)
from dnsd.dns.names import (
    MAX_NAME,
    BadName,
    Name,
    is_below,
    name_from_text,
    name_of,
    reverse_name,
    text_of,
)
from dnsd.dns.rdata import BadRecord, endpoint_rdatas
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.types import Type
from dnsd.zone.building import addresses_at, common_label, fits, label_of, marker, port_name, srv
from dnsd.zone.reverse import reverse_zones
from dnsd.zone.settings import ExternalZone, SchemaConfig

_NODES = label_of("nodes")
_CNAME, _PTR = int(Type.CNAME), int(Type.PTR)


Server = tuple[Name, tuple[bytes, ...]]  # a name server and its addresses
Ports = tuple[tuple[str, str, int], ...]  # (name, protocol, number) of each SRV


class _Exposure(Struct, frozen=True):
    """What the external names of an object have. Without addresses and alias it is pending."""

    addresses: tuple[bytes, ...] = ()
    alias: Name | None = None
    ports: Ports = ()


class _Path(Struct, frozen=True):
    """One way to reach a Service: its addresses or host names, and the reason if it has none."""

    points: tuple[LoadBalancerIngress, ...]
    by_node: bool
    missing: str = ""


def external_apex(config: SchemaConfig) -> list[RRset]:
    """The records of the external zones without any object: NS, and addresses in the zone."""
    out: list[RRset] = []
    for zone in config.external.zones:
        servers = servers_of(zone, config)
        out.append(rrset(zone.name, Type.NS, zone.ttl, [name for name, _ in servers]))
        for name, addresses in servers:
            if is_below(name, zone.name):
                out += addresses_at(name, addresses, zone.ttl) or [marker(name)]
    return out


def servers_of(zone: ExternalZone, config: SchemaConfig) -> tuple[Server, ...]:
    """The name servers of an external zone and their addresses; the first is in the SOA."""
    return zone.servers or ((name_of("ns", "dns", below=zone.name), config.ns_addresses),)


def external_rrsets(subject: Subject, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    """The external RRsets of a subject, markers included; `problems` gets what is left out."""
    if not config.external.zones:
        return []
    if isinstance(subject, ServiceSubject):
        return _service(subject, config, problems)
    names = config.external.names
    if isinstance(subject, Node) and "nodes" in names:
        return _node(subject, config, problems)
    if isinstance(subject, Ingress) and "ingresses" in names:
        return _ingress(subject, config, problems)
    if isinstance(subject, RouteSubject) and "routes" in names:
        return _route(subject, config, problems)
    if isinstance(subject, DNSEndpoint) and "dnsendpoints" in names:
        return _endpoint(subject, config, problems)
    return []


def exposure_notes(subject: Subject, config: SchemaConfig) -> list[str]:
    """What `explain` reports on the external names of a subject, a sentence each.

    "pending: …" for an object that has no addresses yet. Empty if its names have records, and
    without external zones.
    """
    if not config.external.zones:
        return []
    if isinstance(subject, ServiceSubject):
        return _service_notes(subject, config)
    if isinstance(subject, Ingress) and "ingresses" in config.external.names:
        return [] if subject.ingress else ["pending: status.loadBalancer.ingress is empty"]
    if isinstance(subject, RouteSubject) and "routes" in config.external.names:
        if not subject.gateways:
            return ["pending: no Gateway that exists has accepted it"]
        if not any(gateway.ingress for gateway in subject.gateways):
            return ["pending: its Gateways have no status.addresses"]
    return []


# ---------------------------------------------------------------------------------------
# Hosts and their records.


@lru_cache(maxsize=4096)
def _locate(text: str, zones: tuple[ExternalZone, ...]) -> tuple[Name, ExternalZone] | str | None:
    """A host as a name with its external zone; None: in no external zone; text: a problem."""
    try:
        name = name_from_text(text.strip().rstrip(".").lower() + ".")
    except BadName as error:
        return f"{text!r} is not a domain name: {error}"
    around = [zone for zone in zones if is_below(name, zone.name)]
    if not around:
        return None
    if b"\x01*" in name:
        return f"{text_of(name)} is not served: dnsd does not support wildcards"
    return name, max(around, key=lambda zone: len(zone.name))


def _hosts(
    texts: Iterable[str], config: SchemaConfig, problems: list[str]
) -> Iterator[tuple[Name, ExternalZone]]:
    """The hosts that are in external zones, each once."""
    seen: set[Name] = set()
    for text in texts:
        found = _locate(text, config.external.zones)
        if isinstance(found, str):
            problems.append(found)
        elif found is not None and found[0] not in seen:
            seen.add(found[0])
            yield found


def _records(
    bases: Iterable[tuple[Name, ExternalZone]], exposure: _Exposure, problems: list[str]
) -> list[RRset]:
    """The RRsets of an exposure at each of its names."""
    return [one for base, zone in bases for one in _at(base, zone, exposure, problems)]


def _at(base: Name, zone: ExternalZone, exposure: _Exposure, problems: list[str]) -> list[RRset]:
    """The RRsets of an exposure at one of its names."""
    target = base
    if exposure.addresses:
        out = addresses_at(base, exposure.addresses, zone.ttl)
    elif exposure.alias is None:
        return [marker(base)]
    elif base == zone.name:
        problems.append(
            f"{text_of(base)} cannot be an alias of {text_of(exposure.alias)}, "
            "because it is the zone itself"
        )
        return []
    else:
        target = exposure.alias
        out = [RRset(base, _CNAME, zone.ttl, (target,))]
    for port, protocol, number in exposure.ports:
        if number and (name := port_name(port, protocol, base, problems)):
            out.append(srv(name, [(number, target)], zone.ttl))
    return out


def _exposure(
    key: object, points: Iterable[LoadBalancerIngress], problems: list[str], ports: Ports = ()
) -> _Exposure:
    """All addresses of these points, or else the first host name."""
    found = list(points)
    addresses = tuple(dict.fromkeys(one.ip for one in found if one.ip))
    names = sorted({one.hostname.lower().rstrip(".") for one in found if one.hostname})
    alias = None
    if names and not addresses:
        try:
            alias = name_from_text(names[0] + ".")
        except BadName as error:
            problems.append(f"{key}: {names[0]!r} is not a domain name: {error}")
    left_out = names if addresses else names[1:]
    if left_out:
        problems.append(
            f"{key}: {', '.join(left_out)} cannot be served beside "
            f"{'addresses' if addresses else names[0]}: a CNAME must be alone at its name"
        )
    return _Exposure(addresses, alias, ports)


# ---------------------------------------------------------------------------------------
# Services.


def _service(subject: ServiceSubject, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    service, zones = subject.service, config.external.zones
    paths = _paths(subject, config)
    if not paths:
        return []
    by_node = any(path.by_node for path in paths)
    ports = tuple(
        [(one.name, one.protocol, one.node_port if by_node else one.port) for one in service.ports]
    )
    points = [point for path in paths for point in path.points]
    exposure = _exposure(service.key, points, problems, ports)
    own = label_of(service.name) + common_label(service.namespace)
    bases = [(own + zone.name, zone) for zone in zones if fits(own + zone.name, problems)]
    bases += _hosts(service.hostnames, config, problems)
    return _records(dict(bases).items(), exposure, problems)


def _paths(subject: ServiceSubject, config: SchemaConfig) -> list[_Path]:
    """The ways to reach a Service from outside; empty if it is not exposed."""
    service = subject.service
    paths = []
    if service.type == "LoadBalancer":
        points = service.ingress
        if service.load_balancer_ip and service.origin:
            points = (*points, LoadBalancerIngress(service.load_balancer_ip))
        node_ports = config.external.balancer_ports
        if node_ports == "always" or (node_ports == "pending" and not points):
            paths.append(_by_node(subject, config))
        else:
            paths.append(_Path(points, False, "status.loadBalancer.ingress is empty"))
    elif service.type == "NodePort":
        paths.append(_by_node(subject, config))
    if service.external_ips:
        paths.append(_Path(tuple(map(LoadBalancerIngress, service.external_ips)), False))
    return paths


def _by_node(subject: ServiceSubject, config: SchemaConfig) -> _Path:
    """The Nodes that would answer at a node port."""
    service = subject.service
    ready = [node for node in subject.nodes if node.ready]
    missing = "no Node is ready"
    if service.external_traffic_policy == "Local":
        with_endpoint = {
            endpoint.node
            for piece in subject.slices
            for endpoint in piece.endpoints
            if endpoint.ready or service.publish_not_ready
        }
        ready = [node for node in ready if node.name in with_endpoint]
        missing = "no ready Node has a ready endpoint (externalTrafficPolicy: Local)"
    if service.ports and not any(port.node_port for port in service.ports):
        return _Path((), True, "no nodePort is allocated")
    families = {len(ip) for ip in service.cluster_ips} or {4, 16}
    points = [
        LoadBalancerIngress(ip)
        for node in ready
        for ip in _addresses(node, config)
        if len(ip) in families
    ]
    return _Path(tuple(points), True, missing)


def _addresses(node: Node, config: SchemaConfig) -> tuple[bytes, ...]:
    first, second = node.external_ips, node.internal_ips
    if config.external.node_addresses == "internal":
        first, second = second, first
    return first or second


def _service_notes(subject: ServiceSubject, config: SchemaConfig) -> list[str]:
    service = subject.service
    paths = _paths(subject, config)
    if not paths:
        kind = "headless" if service.headless else f"of type {service.type}"
        return [f"it is {kind} and has no externalIPs: it is not exposed and has no external name"]
    notes = [f"pending: {path.missing}" for path in paths if not path.points]
    if service.ports_allocated and any(path.by_node for path in paths):
        notes.append("dnsd chose its nodePort, because its manifest names none")
    return notes + [
        f"{text} (annotation) is in none of the external zones"
        for text in service.hostnames
        if _locate(text, config.external.zones) is None
    ]


# ---------------------------------------------------------------------------------------
# Nodes, Ingresses, routes, and DNSEndpoints.


def _node(node: Node, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    try:
        own = name_from_text(node.name)[:-1] + _NODES
    except BadName as error:
        problems.append(f"{node.key} has no external name: {error}")
        return []
    addresses = _addresses(node, config)
    out: list[RRset] = []
    for zone in config.external.zones:
        name = own + zone.name
        if fits(name, problems):
            out += addresses_at(name, addresses, zone.ttl) or [marker(name)]
    first = config.external.zones[0]
    if config.external.node_pointers and len(own + first.name) <= MAX_NAME:
        covers = reverse_zones(config.reverse_zones).covers
        out += [
            RRset(reverse_name(address), _PTR, first.ttl, (own + first.name,))
            for address in dict.fromkeys(addresses)
            if covers(address)
        ]
    return out


def _ingress(ingress: Ingress, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    exposure = _exposure(ingress.key, ingress.ingress, problems)
    return _records(_hosts(ingress.hosts, config, problems), exposure, problems)


def _route(subject: RouteSubject, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    route = subject.route
    points: dict[str, dict[LoadBalancerIngress, None]] = {}
    gateways = {gateway.key: gateway for gateway in subject.gateways}
    for parent in route.parents:
        gateway = gateways.get(parent.key)
        if gateway is None:
            continue
        for listener in gateway.listeners:
            if _is_attached(parent, listener):
                for host in _served_hosts(route.hostnames, listener.hostname):
                    points.setdefault(host, {}).update(dict.fromkeys(gateway.ingress))
    out: list[RRset] = []
    for host, found in points.items():
        if bases := list(_hosts([host], config, problems)):
            out += _records(bases, _exposure(route.key, found, problems), problems)
    return out


def _is_attached(parent: Parent, listener: Listener) -> bool:
    """Whether a route is attached to this listener of its parent."""
    return parent.section in ("", listener.name) and parent.port in (0, listener.port)


def _served_hosts(hosts: tuple[str, ...], listener: str) -> Iterator[str]:
    """The hosts of a route that a listener serves (Gateway API, "hostname intersection")."""
    if not hosts:
        if listener:
            yield listener
        return
    for host in hosts:
        if not listener or _covers(listener, host):
            yield host
        elif _covers(host, listener):
            yield listener


def _covers(pattern: str, host: str) -> bool:
    """Whether `host` is `pattern`, or matches a pattern `*.x`."""
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if pattern == host:
        return True
    return pattern.startswith("*.") and host.endswith(pattern[1:]) and len(host) >= len(pattern)


def _endpoint(endpoint: DNSEndpoint, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    by_name: dict[Name, dict[int, RRset]] = {}
    for i, one in enumerate(endpoint.records):
        place = f"{endpoint.key}: spec.endpoints[{i}]"
        found = _locate(one.name, config.external.zones)
        if not isinstance(found, tuple):
            outside = f"{one.name!r} is in none of the external zones"
            problems.append(f"{place}.dnsName: {found or outside}")
            continue
        name, zone = found
        try:
            type_, rdatas = endpoint_rdatas(one.type, one.targets)
        except BadRecord as error:
            problems.append(f"{place}: {error}")
            continue
        sets = by_name.setdefault(name, {})
        known = sets.get(type_)
        ttl = one.ttl or zone.ttl
        if known is not None:  # another set of the same name, by setIdentifier
            ttl, rdatas = min(ttl, known.ttl), [*known.rdatas, *rdatas]
        sets[type_] = rrset(name, type_, ttl, rdatas)
    apexes = {zone.name for zone in config.external.zones}
    for name, sets in by_name.items():
        alias = sets.get(_CNAME)
        if alias and (name in apexes or len(sets) > 1 or len(alias.rdatas) > 1):  # RFC 2181 10.1
            del sets[_CNAME]
            problems.append(
                f"{endpoint.key}: {text_of(name)}: a CNAME must be the only record at its name, "
                "and is not served"
            )
    return [one for sets in by_name.values() for one in sets.values()]
