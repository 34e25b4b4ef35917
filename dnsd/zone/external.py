"""The schema as seen from outside: one contributor in, its RRsets in the outside zones.

Inside the cluster a Service is its ClusterIP. Outside it is an address of a load balancer, or
nodes and a port. The same subjects as in `schema.py`, another pure function of each; what an
contributor has inside and outside is one list. `OUT` being each of the outside zones:

* A Service *shows* something outside: `spec.externalIPs` whatever its type; a LoadBalancer
  what `status.loadBalancer` says (and `spec.loadBalancerIP` in a manifest, where nobody
  writes a status); a NodePort the Nodes that would answer, and so a LoadBalancer by option.
  Then `svc.ns.OUT` and the names of its annotations have these addresses, and SRV below them
  for its named ports: the Service's port, or the nodePort where Nodes answer.
* What will show something and has nothing yet is *pending*: its names exist without records,
  so that no resolver remembers an NXDOMAIN. What will never show anything has no name.
* A load balancer with a host name is a CNAME. That must stand alone, so addresses beat it,
  and SRV point past it, to its target (RFC 2782: a target is no alias).
* Nodes that would answer: the ready ones; with `externalTrafficPolicy: Local` those with a
  ready endpoint. Addresses are of the Service's families.
* Hosts of an Ingress have the addresses of its status, those of a route the addresses of its
  Gateways, which must listen for that host. A DNSEndpoint says its records itself.
* Hosts outside every OUT are somebody else's. Only in a DNSEndpoint they are a problem.
* There are no wildcards here: a host `*.x` is a problem.

Several contributors may want one host. Inside, they would be merged; here the first of them has
it (see `merge.py`), because two load balancers answering in turn is what nobody meant.

What a Service at node ports costs when a Node changes: `cluster/outside_state.py`.
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
from dnsd.dns.names import BadName, Name, is_below, name_from_text, name_of, reverse_name, text_of
from dnsd.dns.rdata import BadRecord, endpoint_rdatas
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.types import Type
from dnsd.zone.building import addresses_at, common_label, fits, label_of, marker, port_name, srv
from dnsd.zone.config import ExternalZone, SchemaConfig
from dnsd.zone.reverse import reverse_zones

_NODES = label_of("nodes")
_CNAME, _PTR = int(Type.CNAME), int(Type.PTR)


Server = tuple[Name, tuple[bytes, ...]]  # a name server and its addresses


class _Shown(Struct, frozen=True):
    """What is seen of something from outside. Without addresses and alias it is pending.

    `ports`: (name, protocol, number) of each SRV.
    """

    addresses: tuple[bytes, ...] = ()
    alias: Name | None = None
    ports: tuple[tuple[str, str, int], ...] = ()


class _Way(Struct, frozen=True):
    """One way in which a Service is reached: its points, and what explain says of it."""

    points: tuple[LoadBalancerIngress, ...]
    by_node: bool
    waiting: str = ""  # what it waits for, when there are no points


def external_apex(config: SchemaConfig) -> list[RRset]:
    """What the outside zones have by themselves: NS, and their addresses if they are in it."""
    out: list[RRset] = []
    for zone in config.external.zones:
        servers = servers_of(zone, config)
        out.append(rrset(zone.name, Type.NS, zone.ttl, [name for name, _ in servers]))
        for name, addresses in servers:
            if is_below(name, zone.name):
                out += addresses_at(name, addresses, zone.ttl) or [marker(name)]
    return out


def servers_of(zone: ExternalZone, config: SchemaConfig) -> tuple[Server, ...]:
    """The name servers of an outside zone, and their addresses; the first is in the SOA."""
    return zone.servers or ((name_of("ns", "dns", below=zone.name), config.ns_addresses),)


def external_rrsets(subject: Subject, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    """The RRsets a subject owns outside, markers included; what is left out is in `problems`."""
    external = config.external
    if not external.zones:
        return []
    if isinstance(subject, ServiceSubject):
        return _service(subject, config, problems)
    if isinstance(subject, Node):
        return _node(subject, config, problems) if "nodes" in external.names else []
    if isinstance(subject, Ingress):
        return _ingress(subject, config, problems) if "ingresses" in external.names else []
    if isinstance(subject, RouteSubject):
        return _route(subject, config, problems) if "routes" in external.names else []
    if isinstance(subject, DNSEndpoint):
        return _stated(subject, config, problems) if "dnsendpoints" in external.names else []
    return []


def standing(subject: Subject, config: SchemaConfig) -> list[str]:
    """What there is to say about how a subject is seen from outside, a sentence each.

    "pending: …" for what will have addresses and has none yet. Empty when there is nothing
    to explain: it is served as it says, or there is no view from outside.
    """
    if not config.external.zones:
        return []
    if isinstance(subject, ServiceSubject):
        return _standing_of_service(subject, config)
    if isinstance(subject, Ingress) and "ingresses" in config.external.names:
        return [] if subject.ingress else [_pending("status.loadBalancer.ingress is empty")]
    if isinstance(subject, RouteSubject) and "routes" in config.external.names:
        if not subject.gateways:
            return [_pending("no Gateway that exists has accepted it")]
        if not any(gateway.ingress for gateway in subject.gateways):
            return [_pending("its Gateways have no status.addresses")]
    return []


def _pending(why: str) -> str:
    return f"pending: {why}"


# ---------------------------------------------------------------------------------------
# Hosts and what is shown at them.


@lru_cache(maxsize=4096)
def _inside(text: str, zones: tuple[ExternalZone, ...]) -> tuple[Name, ExternalZone] | str | None:
    """A host as a name, with the zone it lies in; None: in none of ours; text: a problem."""
    try:
        name = name_from_text(text.strip().rstrip(".").lower() + ".")
    except BadName as error:
        return f"{text!r} is no domain name: {error}"
    around = [zone for zone in zones if is_below(name, zone.name)]
    if not around:
        return None
    if b"\x01*" in name:
        return f"{text_of(name)} is not served: there are no wildcards"
    return name, max(around, key=lambda zone: len(zone.name))


def _hosts(
    texts: Iterable[str], config: SchemaConfig, problems: list[str]
) -> Iterator[tuple[Name, ExternalZone]]:
    """Those of the hosts that lie in our zones, each once."""
    seen: set[Name] = set()
    for text in texts:
        found = _inside(text, config.external.zones)
        if isinstance(found, str):
            problems.append(found)
        elif found is not None and found[0] not in seen:
            seen.add(found[0])
            yield found


def _at(base: Name, zone: ExternalZone, shown: _Shown, problems: list[str]) -> list[RRset]:
    """The RRsets of what is shown, at one of its names."""
    target = base
    if shown.addresses:
        out = addresses_at(base, shown.addresses, zone.ttl)
    elif shown.alias is None:
        return [marker(base)]
    elif base == zone.name:
        problems.append(
            f"{text_of(base)} cannot be an alias of {text_of(shown.alias)}: it is the zone itself"
        )
        return []
    else:
        target = shown.alias
        out = [RRset(base, _CNAME, zone.ttl, (target,))]
    for port, protocol, number in shown.ports:
        if number and (name := port_name(port, protocol, base, problems)):
            out.append(srv(name, [(number, target)], zone.ttl))
    return out


def _shown(
    who: object,
    points: Iterable[LoadBalancerIngress],
    problems: list[str],
    ports: tuple[tuple[str, str, int], ...] = (),
) -> _Shown:
    """What these points show: all addresses, or else the first host name."""
    found = list(points)
    addresses = tuple(dict.fromkeys(one.ip for one in found if one.ip))
    names = sorted({one.hostname.lower().rstrip(".") for one in found if one.hostname})
    alias = None
    if names and not addresses:
        try:
            alias = name_from_text(names[0] + ".")
        except BadName as error:
            problems.append(f"{who}: {names[0]!r} is no domain name: {error}")
    left_out = names if addresses else names[1:]
    if left_out:
        problems.append(
            f"{who}: {', '.join(left_out)} cannot be served beside {_what(addresses, names)}: "
            "a CNAME stands alone at its name"
        )
    return _Shown(addresses, alias, ports)


def _what(addresses: tuple[bytes, ...], names: list[str]) -> str:
    return "addresses" if addresses else names[0]


# ---------------------------------------------------------------------------------------
# Services.


def _service(subject: ServiceSubject, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    service, zones = subject.service, config.external.zones
    ways = _ways(subject, config)
    if not ways:
        return []
    by_node = any(way.by_node for way in ways)
    ports = tuple(
        [(one.name, one.protocol, one.node_port if by_node else one.port) for one in service.ports]
    )
    shown = _shown(service.key, [one for way in ways for one in way.points], problems, ports)
    own = label_of(service.name) + common_label(service.namespace)
    bases = [(own + zone.name, zone) for zone in zones if fits(own + zone.name, problems)]
    bases += _hosts(service.hostnames, config, problems)
    return [one for base, zone in dict(bases).items() for one in _at(base, zone, shown, problems)]


def _ways(subject: ServiceSubject, config: SchemaConfig) -> list[_Way]:
    """How a Service is reached from outside; not at all: none."""
    service = subject.service
    ways = []
    if service.type == "LoadBalancer":
        points = service.ingress
        if service.load_balancer_ip and service.origin:
            points = (*points, LoadBalancerIngress(service.load_balancer_ip))
        asked = config.external.balancer_ports
        if asked == "always" or (asked == "pending" and not points):
            ways.append(_by_node(subject, config))
        else:
            ways.append(_Way(points, False, "status.loadBalancer.ingress is empty"))
    elif service.type == "NodePort":
        ways.append(_by_node(subject, config))
    if service.external_ips:
        ways.append(_Way(tuple(map(LoadBalancerIngress, service.external_ips)), False))
    return ways


def _by_node(subject: ServiceSubject, config: SchemaConfig) -> _Way:
    """The Nodes that would answer at a node port."""
    service = subject.service
    ready = [node for node in subject.nodes if node.ready]
    why = "no Node is ready"
    if service.external_traffic_policy == "Local":
        everyone = service.publish_not_ready
        there = {
            endpoint.node
            for piece in subject.slices
            for endpoint in piece.endpoints
            if endpoint.ready or everyone
        }
        ready = [node for node in ready if node.name in there]
        why = "no ready Node has a ready endpoint (externalTrafficPolicy: Local)"
    if service.ports and not any(port.node_port for port in service.ports):
        return _Way((), True, "no nodePort is allocated")
    families = {len(ip) for ip in service.cluster_ips} or {4, 16}
    points = [
        LoadBalancerIngress(ip)
        for node in ready
        for ip in _addresses(node, config)
        if len(ip) in families
    ]
    return _Way(tuple(points), True, why)


def _addresses(node: Node, config: SchemaConfig) -> tuple[bytes, ...]:
    first, second = node.external_ips, node.internal_ips
    if config.external.node_addresses == "internal":
        first, second = second, first
    return first or second


def _standing_of_service(subject: ServiceSubject, config: SchemaConfig) -> list[str]:
    service = subject.service
    ways = _ways(subject, config)
    if not ways:
        kind = "headless" if service.headless else f"of type {service.type}"
        return [f"it is {kind} and has no externalIPs: nothing to show outside, so no name there"]
    said = [_pending(way.waiting) for way in ways if not way.points]
    if service.ports_allocated and any(way.by_node for way in ways):
        said.append("dnsd chose its nodePort, because its manifest names none")
    return said + [
        f"{text} (annotation) lies in none of the outside zones"
        for text in service.hostnames
        if _inside(text, config.external.zones) is None
    ]


# ---------------------------------------------------------------------------------------
# Nodes, Ingresses, routes, stated records.


def _node(node: Node, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    try:
        own = name_from_text(node.name)[:-1] + _NODES
    except BadName as error:
        problems.append(f"{node.key} has no name outside: {error}")
        return []
    addresses = _addresses(node, config)
    out: list[RRset] = []
    for zone in config.external.zones:
        name = own + zone.name
        if fits(name, problems):
            out += addresses_at(name, addresses, zone.ttl) or [marker(name)]
    first = config.external.zones[0]
    if config.external.node_pointers and len(own + first.name) <= 255:
        covers = reverse_zones(config.reverse_zones).covers
        out += [
            RRset(reverse_name(address), _PTR, first.ttl, (own + first.name,))
            for address in dict.fromkeys(addresses)
            if covers(address)
        ]
    return out


def _ingress(ingress: Ingress, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    shown = _shown(ingress.key, ingress.ingress, problems)
    hosts = _hosts(ingress.hosts, config, problems)
    return [one for base, zone in hosts for one in _at(base, zone, shown, problems)]


def _route(subject: RouteSubject, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    route = subject.route
    points: dict[str, dict[LoadBalancerIngress, None]] = {}
    gateways = {gateway.key: gateway for gateway in subject.gateways}
    for parent in route.parents:
        gateway = gateways.get(parent.key)
        if gateway is None:
            continue
        for listener in gateway.listeners:
            if _meant(parent, listener):
                for host in _served_hosts(route.hostnames, listener.hostname):
                    points.setdefault(host, {}).update(dict.fromkeys(gateway.ingress))
    out: list[RRset] = []
    for host, found in points.items():
        for base, zone in _hosts([host], config, problems):
            out += _at(base, zone, _shown(route.key, found, problems), problems)
    return out


def _meant(parent: Parent, listener: Listener) -> bool:
    """Whether a route is attached to this listener of its parent."""
    return parent.section in ("", listener.name) and parent.port in (0, listener.port)


def _served_hosts(hosts: tuple[str, ...], listener: str) -> Iterator[str]:
    """The hosts of a route that a listener listens for (Gateway API, "hostname intersection")."""
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
    """Whether `host` is `pattern`, or one of the names that a pattern `*.x` stands for."""
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if pattern == host:
        return True
    return pattern.startswith("*.") and host.endswith(pattern[1:]) and len(host) >= len(pattern)


def _stated(stated: DNSEndpoint, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    by_name: dict[Name, dict[int, RRset]] = {}
    for i, one in enumerate(stated.records):
        who = f"{stated.key}: spec.endpoints[{i}]"
        found = _inside(one.name, config.external.zones)
        if not isinstance(found, tuple):
            lies = f"{one.name} lies in none of the outside zones"
            problems.append(f"{who}.dnsName: {found or lies}")
            continue
        name, zone = found
        try:
            type_, rdatas = endpoint_rdatas(one.type, one.targets)
        except BadRecord as error:
            problems.append(f"{who}: {error}")
            continue
        sets = by_name.setdefault(name, {})
        known = sets.get(type_)
        ttl = one.ttl or zone.ttl
        if known is not None:  # another set of the same name, by setIdentifier
            ttl, rdatas = min(ttl, known.ttl), [*known.rdatas, *rdatas]
        sets[type_] = rrset(name, type_, ttl, rdatas)
    apexes = {zone.name for zone in config.external.zones}
    return [
        one
        for name, sets in by_name.items()
        for one in _without_alias(name, sets, name in apexes, stated, problems)
    ]


def _without_alias(
    name: Name, sets: dict[int, RRset], apex: bool, stated: DNSEndpoint, problems: list[str]
) -> Iterable[RRset]:
    """The sets of one name: a CNAME only where it is alone and one (RFC 2181 10.1)."""
    alias = sets.get(_CNAME)
    if alias is not None and (apex or len(sets) > 1 or len(alias.rdatas) > 1):
        del sets[_CNAME]
        problems.append(
            f"{stated.key}: {text_of(name)}: a CNAME must be the only record at its name, "
            "and is not served"
        )
    return sets.values()
