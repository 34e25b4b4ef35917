"""The Kubernetes DNS schema: one contributor in, its RRsets out.

In `zone/` (control plane: the names that exist). Change here: which names an object has.

This is "Kubernetes DNS-Based Service Discovery", schema 1.1.0, as a pure function of one *subject*
(a Service with its EndpointSlices, a Namespace, a Pod) and the configuration. No subject depends on
another, so a change of one subject costs that subject only. `merge.py` combines the RRsets that
several subjects have at one name.

The rules, where `Z` is each of the zones:

* ClusterIP, NodePort, LoadBalancer: `svc.ns.svc.Z` has the ClusterIPs, and SRV for the ports of
  the Service at the bare name and at `_port._proto` below it.
* Headless: the same names with the ready endpoints. The ports are those of the EndpointSlice,
  because target ports are resolved there. Without a ready endpoint it has no name.
* Each ready endpoint has a name below its Service: its hostname, or its address with dashes (or
  the name of its Pod, by option). SRV records of headless Services point to these names.
* PTR of ClusterIPs and of endpoints point into the primary zone only: an address has one
  canonical name for each Service, not one for each zone.
* ExternalName is a CNAME and nothing else. An IP address in its place is not a host name (RFC
  1123 2.1), so that Service has a name without records.
* Nodes, Ingresses, routes, and DNSEndpoints have no names in the zones of the cluster.

A name that must exist without records is a *marker*: an RRset of type 0 without rdatas. The zone
adds the names above a name (RFC 8020).

A name over 255 octets or a label over 63 cannot be served. It is left out and reported in
`problems`, and the rest of the subject is served. No function here raises for a subject that
passed `dnsd.cluster.objects`.

`service.py` has the names of Services, `external.py` the names in external zones, and
`building.py` the parts that names are built from.
"""

from __future__ import annotations

from struct import pack

from dnsd.cluster.objects import (
    DNSEndpoint,
    Ingress,
    Key,
    Namespace,
    Node,
    Pod,
    RouteSubject,
    ServiceSubject,
    Subject,
)
from dnsd.dns.addresses import address_type
from dnsd.dns.names import Name, name_of
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.types import Type
from dnsd.zone.building import (
    Plan,
    address_label,
    addresses_at,
    common_label,
    fits,
    marker,
    namespace_markers,
    plan_of,
)
from dnsd.zone.external import external_apex, external_rrsets, servers_of
from dnsd.zone.frame import Apex
from dnsd.zone.reverse import reverse_zones
from dnsd.zone.service import service_rrsets
from dnsd.zone.settings import SchemaConfig

SCHEMA_VERSION = b"1.1.0"
VERSION_TTL = 28800  # of dns-version; the schema's own example

# SOA timers in seconds. No secondary transfers from dnsd by default, so they only have to be
# plausible: the numbers of CoreDNS. The minimum (negative TTL, RFC 2308 4) is the zone's TTL.
SOA_REFRESH = 7200
SOA_RETRY = 1800
SOA_EXPIRE = 86400


def apex(config: SchemaConfig) -> list[RRset]:
    """The records that the zones have without any object: NS, ns.dns, dns-version.

    Configured reverse zones have their NS here; those taken as needed do not. The zone makes the
    SOA, because it holds the serial.
    """
    out: list[RRset] = []
    for zone in config.zones:
        server = server_name(zone)
        out.append(rrset(zone, Type.NS, config.ttl, [server]))
        out += addresses_at(server, config.ns_addresses, config.ttl) or [marker(server)]
        version = bytes((len(SCHEMA_VERSION),)) + SCHEMA_VERSION
        out.append(rrset(name_of("dns-version", below=zone), Type.TXT, VERSION_TTL, [version]))
    reverse = reverse_zones(config.reverse_zones)
    if not reverse.as_needed:
        out += [reverse_ns(name, config) for name in reverse.apexes]
    return out + external_apex(config)


def authority_of(apex: Name, config: SchemaConfig) -> Apex:
    """The SOA of a zone; that of a reverse zone names the server of the primary zone."""
    external = next((zone for zone in config.external.zones if zone.name == apex), None)
    if external is not None:
        below, ttl, mname = apex, external.ttl, servers_of(external, config)[0][0]
    else:
        below = apex if apex in config.zones else config.zones[0]
        ttl, mname = config.ttl, server_name(below)
    timers = pack(">IIII", SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, ttl)
    return Apex(apex, mname, name_of("hostmaster", below=below), timers, ttl)


def server_name(zone: Name) -> Name:
    """The name of dnsd itself in a zone: ns.dns.Z."""
    return name_of("ns", "dns", below=zone)


def reverse_ns(name: Name, config: SchemaConfig) -> RRset:
    """The NS RRset of the reverse zone `name`."""
    return rrset(name, Type.NS, config.ttl, [server_name(config.zones[0])])


def names_of(what: Key, config: SchemaConfig) -> list[Name]:
    """The names in the zones of the cluster below which objects of a kind and namespace have names.

    `what` is a Key without a name; without a namespace it means all of them. Empty except for
    Pods and for one namespace, because a whole zone is ready or not.
    """
    plan = plan_of(config)
    suffixes: tuple[Name, ...] = ()
    if what.kind == "Pod" and config.pods == "verified":
        suffixes = plan.pod_suffixes
    elif what.kind in ("Service", "EndpointSlice") and what.namespace:
        suffixes = plan.suffixes
    label = common_label(what.namespace) if what.namespace else b""
    return [label + suffix for suffix in suffixes]


def age_of(subject: Subject) -> str:
    """The creationTimestamp of the contributor, "" if unknown."""
    if isinstance(subject, ServiceSubject):
        return subject.service.created
    if isinstance(subject, RouteSubject):
        return subject.route.created
    return subject.created if isinstance(subject, Node | Ingress | DNSEndpoint) else ""


def examine(subject: Subject, config: SchemaConfig) -> tuple[list[RRset], list[str]]:
    """The RRsets of a subject and its problems, one sentence for each part that is not served.

    Each name and type occurs once; markers are included.
    """
    problems: list[str] = []
    inside = _inside_rrsets(subject, plan_of(config), problems)
    return inside + external_rrsets(subject, config, problems), problems


def _inside_rrsets(subject: Subject, plan: Plan, problems: list[str]) -> list[RRset]:
    """The RRsets of a subject in the zones of the cluster."""
    if isinstance(subject, ServiceSubject):
        return service_rrsets(subject, plan, problems)
    if isinstance(subject, Namespace):
        return namespace_markers(subject.name, plan.suffixes + plan.pod_suffixes, problems)
    return _pod(subject, plan, problems) if isinstance(subject, Pod) else []


def _pod(pod: Pod, plan: Plan, problems: list[str]) -> list[RRset]:
    """Only `verified` has names for Pods; `insecure` computes the answer from the name.

    Pods on the host's network count, as in CoreDNS. Several of them share the address of their
    node, and therefore the name.
    """
    if plan.config.pods != "verified" or not pod.running:
        return []
    out = []
    for suffix in plan.pod_suffixes:
        below = common_label(pod.namespace) + suffix
        for address in sorted(set(pod.ips)):
            name = address_label(address) + below
            if fits(name, problems):
                out.append(RRset(name, address_type(address), plan.ttl, (address,)))
    return out
