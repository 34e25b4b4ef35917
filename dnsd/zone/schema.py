"""The Kubernetes DNS schema: one owner in, its RRsets out.

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

Names are made by putting ready-made label bytes in front of each other: 50,000 endpoints
have 100,000 names, and building each from text would cost seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from struct import Struct as Packing

from msgspec import Struct

from dnsd.cluster.objects import (
    EndpointPort,
    Namespace,
    Pod,
    Service,
    ServiceSubject,
    Subject,
    address_text,
    is_address,
)
from dnsd.zone.reverse import ReverseZones, reverse_zones
from dnsd.zone.rrset import (
    MAX_LABEL,
    MAX_NAME,
    BadName,
    Name,
    RRset,
    Type,
    name_from_text,
    name_of,
    reverse_name,
    rrset,
    text_of,
)

SCHEMA_VERSION = b"1.1.0"
VERSION_TTL = 28800  # of dns-version; the schema's own example
MARKER = 0  # the type of an RRset that only says that its name exists

# SOA, seconds. Nobody transfers from us unasked, so these only have to be plausible to a
# secondary: CoreDNS's numbers. The minimum (negative TTL, RFC 2308 4) is the zone's TTL.
SOA_REFRESH = 7200
SOA_RETRY = 1800
SOA_EXPIRE = 86400

_SRV = Packing(">HHH")  # priority, weight, port: RFC 2782
_A, _AAAA, _PTR, _SRV_TYPE = int(Type.A), int(Type.AAAA), int(Type.PTR), int(Type.SRV)


class SchemaConfig(Struct, frozen=True):
    """What of the schema is configurable; `ttl` in seconds, 0 to 3600."""

    zones: tuple[Name, ...]  # the first is the primary one: PTR point into it
    ttl: int = 5
    pods: str = "disabled"  # disabled, verified, insecure
    endpoint_names: str = "address"  # of endpoints without hostname: address, pod
    endpoint_records: bool = True  # endpoint names and PTR of ClusterIP Services too
    empty_services: str = "answer"  # ClusterIP Service without ready endpoint: answer, nxdomain
    ns_addresses: tuple[bytes, ...] = ()  # packed: A and AAAA of ns.dns.Z
    reverse_zones: tuple[str, ...] = ()  # CIDRs; none: the private ranges as needed


def marker(name: Name) -> RRset:
    """Says that `name` exists, whether or not it has records."""
    return RRset(name, MARKER, 0, ())


def apex(config: SchemaConfig) -> list[RRset]:
    """What the zones have before anything lives in them: NS, ns.dns, dns-version.

    Reverse zones that are configured have their NS here, those taken as needed do not. The
    SOA is made by the zone, which holds the serial.
    """
    out: list[RRset] = []
    for zone in config.zones:
        server = server_name(zone)
        out.append(rrset(zone, Type.NS, config.ttl, [server]))
        out += _addresses(server, config.ns_addresses, config.ttl) or [marker(server)]
        version = bytes((len(SCHEMA_VERSION),)) + SCHEMA_VERSION
        out.append(rrset(name_of("dns-version", below=zone), Type.TXT, VERSION_TTL, [version]))
    reverse = reverse_zones(config.reverse_zones)
    if not reverse.as_needed:
        out += [reverse_ns(name, config) for name in reverse.apexes]
    return out


def server_name(zone: Name) -> Name:
    """The name dnsd itself has in a zone: ns.dns.Z."""
    return name_of("ns", "dns", below=zone)


def reverse_ns(name: Name, config: SchemaConfig) -> RRset:
    """The NS RRset of the reverse zone `name`."""
    return rrset(name, Type.NS, config.ttl, [server_name(config.zones[0])])


def rrsets(subject: Subject, config: SchemaConfig) -> list[RRset]:
    """The RRsets this subject owns, each name and type once; markers included."""
    return examine(subject, config)[0]


def problems(subject: Subject, config: SchemaConfig) -> list[str]:
    """What of this subject is not served, and why: one sentence each."""
    return examine(subject, config)[1]


def examine(subject: Subject, config: SchemaConfig) -> tuple[list[RRset], list[str]]:
    """`rrsets` and `problems` in one go."""
    found: list[str] = []
    return _build(subject, _plan(config), found), found


def address_label(packed: bytes) -> bytes:
    """The label, with its length octet, of an address written with dashes.

    `10-0-0-7`; IPv6 is its RFC 5952 text with `-` for `:`, so `::1` is `--1`: no host name,
    but a label (RFC 2181 11), and what CoreDNS answers to.
    """
    if len(packed) == 4:
        text = b"%d-%d-%d-%d" % tuple(packed)
    else:
        text = address_text(packed).replace(":", "-").replace(".", "-").encode("ascii")
    return bytes((len(text),)) + text


# ---------------------------------------------------------------------------------------


class _Plan(Struct, frozen=True):
    """The configuration, with all that does not depend on the subject worked out."""

    config: SchemaConfig
    ttl: int
    tails: tuple[Name, ...]  # svc.Z of each zone, the primary one first
    pod_tails: tuple[Name, ...]  # pod.Z of each zone; none when pod names are disabled
    reverse: ReverseZones


@lru_cache(maxsize=8)
def _plan(config: SchemaConfig) -> _Plan:
    pods = config.zones if config.pods != "disabled" else ()
    return _Plan(
        config,
        config.ttl,
        tuple(name_of("svc", below=zone) for zone in config.zones),
        tuple(name_of("pod", below=zone) for zone in pods),
        reverse_zones(config.reverse_zones),
    )


def _build(subject: Subject, plan: _Plan, problems: list[str]) -> list[RRset]:
    if isinstance(subject, ServiceSubject):
        return _service(subject, plan, problems)
    if isinstance(subject, Namespace):
        return _namespace_markers(subject.name, plan.tails + plan.pod_tails, problems)
    return _pod(subject, plan, problems)


@lru_cache(maxsize=4096)
def _label(text: str) -> bytes:
    """One label with its length octet. Cached: namespaces and ports are few, and shared."""
    raw = text.encode("ascii").lower()
    return bytes((len(raw),)) + raw


def _fits(name: Name, problems: list[str]) -> bool:
    """Whether a composed name is within RFC 1035 2.3.4; says so when it is not."""
    if len(name) <= MAX_NAME:
        return True
    problems.append(
        f"{text_of(name)} is not served: it has {len(name)} octets, "
        f"a DNS name has at most {MAX_NAME}"
    )
    return False


def _namespace_markers(namespace: str, tails: Iterable[Name], problems: list[str]) -> list[RRset]:
    names = [_label(namespace) + tail for tail in tails]
    return [marker(name) for name in names if _fits(name, problems)]


def _pod(pod: Pod, plan: _Plan, problems: list[str]) -> list[RRset]:
    """Only `verified` has names for Pods; `insecure` answers without asking whether they exist.

    Pods on the host's network count, as with CoreDNS: several of them share their node's
    address, hence the name, and none is more right than another.
    """
    if plan.config.pods != "verified" or not pod.running:
        return []
    out = []
    for tail in plan.pod_tails:
        below = _label(pod.namespace) + tail
        for address in sorted(set(pod.ips)):
            name = address_label(address) + below
            if _fits(name, problems):
                out.append(RRset(name, _family(address), plan.ttl, (address,)))
    return out


# One slice's part in a Service: its ports, and (endpoint's label, addresses) of those that count.
_Members = list[tuple[tuple[EndpointPort, ...], list[tuple[bytes, tuple[bytes, ...]]]]]
_Hosts = dict[bytes, tuple[bytes, ...]]  # endpoint's label: addresses, over all slices
_Pointers = dict[bytes, list[Name]]  # address: the names it has in the primary zone


def _service(subject: ServiceSubject, plan: _Plan, problems: list[str]) -> list[RRset]:
    service = subject.service
    place = _label(service.namespace)
    own = _label(service.name) + place
    out = _namespace_markers(service.namespace, plan.pod_tails, problems)
    if service.type == "ExternalName":
        target = _external_target(service, problems)
        for base in _bases(own, plan, problems):
            out.append(
                RRset(base, int(Type.CNAME), plan.ttl, (target,)) if target else marker(base)
            )
        return out
    members = _members(subject, plan, problems)
    hosts = _hosts(members) if service.headless or plan.config.endpoint_records else {}
    if _is_absent(service, members, plan):
        # It lives in its namespace all the same, which therefore exists.
        return out + _namespace_markers(service.namespace, plan.tails, problems)
    pointers: _Pointers = {}
    for base in _bases(own, plan, problems):
        if service.headless:
            names = _endpoint_names(base, hosts, plan, out, problems)
            out += _headless(base, members, hosts, names, plan, problems)
        elif service.cluster_ips:
            names = _endpoint_names(base, hosts, plan, out, problems)
            out += _cluster_ip(base, service, plan, problems)
        else:  # not allocated yet: it will have an address, and negative caching must not hide it
            out.append(marker(base))
            continue
        if base == own + plan.tails[0]:
            _point(pointers, base, service, hosts, names)
    return out + _pointer_rrsets(pointers, plan)


def _bases(own: bytes, plan: _Plan, problems: list[str]) -> Iterator[Name]:
    """The Service's name in each zone, where it fits."""
    for tail in plan.tails:
        if _fits(own + tail, problems):
            yield own + tail


def _is_absent(service: Service, members: _Members, plan: _Plan) -> bool:
    """Whether the Service has no name because nobody is ready behind it."""
    if any(found for _, found in members):
        return False
    return service.headless or bool(
        service.cluster_ips and plan.config.empty_services == "nxdomain"
    )


def _external_target(service: Service, problems: list[str]) -> Name | None:
    """The CNAME's target; None, and a problem, when it is no host name."""
    text = service.external_name.rstrip(".")
    if is_address(text):
        problems.append(
            f"{service.key}: spec.externalName {text!r} is an address, not a host name, and no "
            "CNAME can hold one; use a headless Service with an EndpointSlice for it"
        )
        return None
    try:
        return name_from_text(text + ".")
    except BadName as error:
        problems.append(f"{service.key}: spec.externalName is no domain name: {error}")
        return None


def _members(subject: ServiceSubject, plan: _Plan, problems: list[str]) -> _Members:
    """The endpoints that count, with their labels, slice by slice."""
    everyone = subject.service.publish_not_ready
    by_pod = plan.config.endpoint_names == "pod"
    members: _Members = []
    for piece in subject.slices:
        found: list[tuple[bytes, tuple[bytes, ...]]] = []
        for endpoint in piece.endpoints:
            if not (endpoint.ready or everyone):
                continue
            addresses = endpoint.addresses
            label = b""
            if endpoint.hostname:
                label = _label(endpoint.hostname)
            elif by_pod and endpoint.pod:
                label = _pod_labels(endpoint.pod, subject.service, problems)
            if label:
                if addresses:
                    found.append((label, addresses))
            elif len(addresses) == 1:
                found.append((address_label(addresses[0]), addresses))
            else:
                found += [(address_label(address), (address,)) for address in addresses]
        members.append((piece.ports, found))
    return members


def _pod_labels(pod: str, service: Service, problems: list[str]) -> bytes:
    """A Pod's name as labels, for it may have dots; empty, and a problem, when it cannot be."""
    try:
        return name_from_text(pod)[:-1]
    except BadName as error:
        problems.append(
            f"{service.key}: the endpoint of Pod {pod} is named by its address instead: {error}"
        )
        return b""


def _hosts(members: _Members) -> _Hosts:
    hosts: _Hosts = {}
    for _, found in members:
        for label, addresses in found:
            known = hosts.get(label)
            hosts[label] = addresses if known is None else (*known, *addresses)
    return hosts


def _endpoint_names(
    base: Name, hosts: _Hosts, plan: _Plan, out: list[RRset], problems: list[str]
) -> dict[bytes, Name]:
    """Adds the endpoints' A and AAAA to `out`; their names by label, those that fit."""
    names: dict[bytes, Name] = {}
    ttl = plan.ttl
    for label, addresses in hosts.items():
        name = label + base
        if len(name) > MAX_NAME and not _fits(name, problems):
            continue
        names[label] = name
        if len(addresses) == 1:  # shares the endpoint's own tuple
            out.append(RRset(name, _A if len(addresses[0]) == 4 else _AAAA, ttl, addresses))
        else:
            out += _addresses(name, addresses, ttl)
    return names


def _addresses(name: Name, addresses: Iterable[bytes], ttl: int) -> list[RRset]:
    """The A and the AAAA RRset of these addresses, each if it has any."""
    distinct = sorted(set(addresses))
    four = tuple([address for address in distinct if len(address) == 4])
    six = tuple([address for address in distinct if len(address) == 16])
    return [RRset(name, type_, ttl, some) for type_, some in ((_A, four), (_AAAA, six)) if some]


def _cluster_ip(base: Name, service: Service, plan: _Plan, problems: list[str]) -> list[RRset]:
    out = _addresses(base, service.cluster_ips, plan.ttl)
    if service.ports:
        numbers = {port.port for port in service.ports}
        out.append(_srv(base, [(number, base) for number in numbers], plan.ttl))
    for port in service.ports:
        if name := _port_name(port.name, port.protocol, base, problems):
            out.append(_srv(name, [(port.port, base)], plan.ttl))
    return out


def _headless(
    base: Name,
    members: _Members,
    hosts: _Hosts,
    names: dict[bytes, Name],
    plan: _Plan,
    problems: list[str],
) -> list[RRset]:
    everything = [address for addresses in hosts.values() for address in addresses]
    out = _addresses(base, everything, plan.ttl)
    bare: dict[tuple[int, Name], None] = {}
    named: dict[tuple[str, str], dict[tuple[int, Name], None]] = {}
    for ports, found in members:
        targets = [names[label] for label, _ in found if label in names]
        for port in ports:
            if not port.port:  # "all ports": there is no number to give
                continue
            pairs = dict.fromkeys([(port.port, target) for target in targets])
            bare.update(pairs)
            if port.name:
                named.setdefault((port.name, port.protocol), {}).update(pairs)
    if bare:
        out.append(_srv(base, bare, plan.ttl))
    for (port_name, protocol), some in named.items():
        if some and (name := _port_name(port_name, protocol, base, problems)):
            # A single port's SRV RRset has the records of the bare name's: share them.
            same = out[-1].rdatas if len(named) == 1 and len(some) == len(bare) else None
            out.append(
                RRset(name, _SRV_TYPE, plan.ttl, same) if same else _srv(name, some, plan.ttl)
            )
    return out


def _port_name(port: str, protocol: str, base: Name, problems: list[str]) -> Name | None:
    """`_port._proto` below the Service; None for an unnamed port, or one that does not fit."""
    if not port:
        return None
    if len(port) >= MAX_LABEL:
        problems.append(
            f"port {port!r} of {text_of(base)} has no SRV name: with its underscore "
            f"it has {len(port) + 1} octets, a DNS label has at most {MAX_LABEL}"
        )
        return None
    name = _label("_" + port) + _label("_" + protocol) + base
    return name if _fits(name, problems) else None


def _srv(name: Name, targets: Collection[tuple[int, Name]], ttl: int) -> RRset:
    """SRV to each (port, target): priority 0, and the hundred divided among them (RFC 2782)."""
    weight = max(1, 100 // len(targets))
    pack = _SRV.pack
    return RRset(
        name,
        _SRV_TYPE,
        ttl,
        tuple(sorted([pack(0, weight, port) + target for port, target in targets])),
    )


def _point(
    pointers: _Pointers, base: Name, service: Service, hosts: _Hosts, names: dict[bytes, Name]
) -> None:
    """Notes which names the addresses of this Service point back to."""
    for address in service.cluster_ips:
        pointers[address] = [base]
    for label, name in names.items():
        for address in hosts[label]:
            known = pointers.get(address)
            if known is None:
                pointers[address] = [name]
            elif name not in known:
                known.append(name)


def _pointer_rrsets(pointers: _Pointers, plan: _Plan) -> list[RRset]:
    covers, ttl = plan.reverse.covers, plan.ttl
    return [
        RRset(reverse_name(address), _PTR, ttl, tuple(sorted(names)))
        for address, names in pointers.items()
        if covers(address)
    ]


def _family(address: bytes) -> int:
    return _A if len(address) == 4 else _AAAA
