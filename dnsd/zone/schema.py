"""The Kubernetes DNS schema: one contributor in, its RRsets out.

"Kubernetes DNS-Based Service Discovery", schema 1.1.0, as a pure function of one *subject*
(a Service with its EndpointSlices, a Namespace, a Pod) and the configuration. Which name
exists depends on nothing else: no subject sees another, so a change of one never costs
more than that one. What several subjects say about the same name is merged by `zone.py`.

The rules, `Z` being each of the zones:

* ClusterIP, NodePort, LoadBalancer: `svc.ns.svc.Z` has the ClusterIPs, and SRV for its
  ports at the bare name and at `_port._proto` below it. Ports are the Service's.
* headless: the same names, made of the ready endpoints. Ports are those of the slice an
  endpoint is in, for that is where target ports are resolved. No ready endpoint: no name.
* each ready endpoint has a name below its Service: its hostname, else its address with
  dashes (or its Pod's name, by option). SRV of headless Services point to these.
* Nodes, Ingresses, routes and DNSEndpoints have no names inside.
* PTR of ClusterIPs and of endpoints, into the primary zone only: an address has one
  canonical name a Service, not one a zone.
* ExternalName is a CNAME and nothing else; an address literal in its place is no host
  name (RFC 1123 2.1 would make it one to be looked up in vain): the Service then has a name
  without records.

A name that must exist without records is a *marker*: an RRset of type 0 without rdatas.
Names above another exist by themselves (RFC 8020), `zone.py` sees to it.

What cannot be served (a name that grows over 255 octets, a label over 63) is left out, and
`problems` says so; the rest of the subject is served. None of these functions raises for a
subject that passed `dnsd.cluster.objects`.

What a contributor has in the zones of the view from outside comes behind that: `outside.py`.

`service.py` has what a Service owns, `compose.py` what names are put together from.
"""

from __future__ import annotations

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
from dnsd.dns.names import Name, name_of
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.types import Type
from dnsd.zone.compose import (
    MARKER,
    Plan,
    SchemaConfig,
    address_label,
    addresses_at,
    common_label,
    family,
    fits,
    marker,
    namespace_markers,
    plan_of,
)
from dnsd.zone.external import external_apex, external_rrsets
from dnsd.zone.reverse import reverse_zones
from dnsd.zone.service import service_rrsets

__all__ = [
    "MARKER",
    "SOA_EXPIRE",
    "SOA_REFRESH",
    "SOA_RETRY",
    "SchemaConfig",
    "address_label",
    "age_of",
    "apex",
    "examine",
    "external_rrsets",
    "inside_rrsets",
    "marker",
    "names_of",
    "problems",
    "reverse_ns",
    "rrsets",
    "server_name",
]

SCHEMA_VERSION = b"1.1.0"
VERSION_TTL = 28800  # of dns-version; the schema's own example

# SOA, seconds. Nobody transfers from us unasked, so these only have to be plausible to a
# secondary: CoreDNS's numbers. The minimum (negative TTL, RFC 2308 4) is the zone's TTL.
SOA_REFRESH = 7200
SOA_RETRY = 1800
SOA_EXPIRE = 86400


def apex(config: SchemaConfig) -> list[RRset]:
    """What the zones have before anything lives in them: NS, ns.dns, dns-version.

    Reverse zones that are configured have their NS here, those taken as needed do not. The
    SOA is made by the zone, which holds the serial.
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


def server_name(zone: Name) -> Name:
    """The name dnsd itself has in a zone: ns.dns.Z."""
    return name_of("ns", "dns", below=zone)


def reverse_ns(name: Name, config: SchemaConfig) -> RRset:
    """The NS RRset of the reverse zone `name`."""
    return rrset(name, Type.NS, config.ttl, [server_name(config.zones[0])])


def names_of(what: Key, config: SchemaConfig) -> list[Name]:
    """Below which names of the cluster's zones objects of a kind, in a namespace, have theirs.

    `what` is a Key without a name, and without a namespace for all of them. Only of Pods, and
    of what is in one namespace: whole zones are not ready, or ready.
    """
    plan = plan_of(config)
    if what.kind == "Pod":
        tails = plan.pod_tails if config.pods == "verified" else ()
    else:
        tails = plan.tails if what.kind in ("Service", "EndpointSlice") and what.namespace else ()
    label = common_label(what.namespace) if what.namespace else b""
    return [label + tail for tail in tails]


def age_of(subject: Subject) -> str:
    """Since when the contributor exists: creationTimestamp, "" when nothing says so."""
    if isinstance(subject, ServiceSubject):
        return subject.service.created
    if isinstance(subject, RouteSubject):
        return subject.route.created
    return subject.created if isinstance(subject, Node | Ingress | DNSEndpoint) else ""


def rrsets(subject: Subject, config: SchemaConfig) -> list[RRset]:
    """The RRsets this subject owns, each name and type once; markers included."""
    return examine(subject, config)[0]


def problems(subject: Subject, config: SchemaConfig) -> list[str]:
    """What of this subject is not served, and why: one sentence each."""
    return examine(subject, config)[1]


def examine(subject: Subject, config: SchemaConfig) -> tuple[list[RRset], list[str]]:
    """`rrsets` and `problems` in one go."""
    found: list[str] = []
    inside = inside_rrsets(subject, config, found)
    return inside + external_rrsets(subject, config, found), found


def inside_rrsets(subject: Subject, config: SchemaConfig, problems: list[str]) -> list[RRset]:
    """The RRsets a subject owns in the cluster's zones; `problems` get what is left out."""
    return _build(subject, plan_of(config), problems)


def _build(subject: Subject, plan: Plan, problems: list[str]) -> list[RRset]:
    if isinstance(subject, ServiceSubject):
        return service_rrsets(subject, plan, problems)
    if isinstance(subject, Namespace):
        return namespace_markers(subject.name, plan.tails + plan.pod_tails, problems)
    return _pod(subject, plan, problems) if isinstance(subject, Pod) else []


def _pod(pod: Pod, plan: Plan, problems: list[str]) -> list[RRset]:
    """Only `verified` has names for Pods; `insecure` answers without asking whether they exist.

    Pods on the host's network count, as with CoreDNS: several of them share their node's
    address, hence the name, and none is more right than another.
    """
    if plan.config.pods != "verified" or not pod.running:
        return []
    out = []
    for tail in plan.pod_tails:
        below = common_label(pod.namespace) + tail
        for address in sorted(set(pod.ips)):
            name = address_label(address) + below
            if fits(name, problems):
                out.append(RRset(name, family(address), plan.ttl, (address,)))
    return out
