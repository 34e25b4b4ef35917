"""The RRsets of a Service: its name, its ports, its endpoints, and the PTR records to them.

In `zone/` (control plane: the names that exist). Change here: the names of Services.

The rules are in `schema.py`. The steps are: collect the published endpoints with their labels,
slice by slice because ports belong to slices (`_members`); in each zone, make the names of the
endpoints and of the Service; make the PTR records, which point into the primary zone.
"""

from __future__ import annotations

from collections.abc import Iterator

from dnsd.cluster.objects import EndpointPort, Service, ServiceSubject
from dnsd.dns.addresses import address_type, is_address
from dnsd.dns.names import MAX_NAME, BadName, Name, name_from_text, reverse_name
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.building import (
    Plan,
    address_label,
    addresses_at,
    common_label,
    fits,
    label_of,
    marker,
    namespace_markers,
    port_name,
    srv,
)

_CNAME, _PTR = int(Type.CNAME), int(Type.PTR)

# One slice: its ports, and (label, addresses) of its published endpoints.
_Members = list[tuple[tuple[EndpointPort, ...], list[tuple[bytes, tuple[bytes, ...]]]]]
_Hosts = dict[bytes, tuple[bytes, ...]]  # label of an endpoint: addresses, over all slices
_Pointers = dict[bytes, list[Name]]  # address: its names in the primary zone


def service_rrsets(subject: ServiceSubject, plan: Plan, problems: list[str]) -> list[RRset]:
    """The RRsets of a Service; `problems` gets a sentence for each part left out."""
    service = subject.service
    own = label_of(service.name) + common_label(service.namespace)
    out = namespace_markers(service.namespace, plan.pod_suffixes, problems)
    if service.type == "ExternalName":
        target = _external_target(service, problems)
        for base in _bases(own, plan, problems):
            out.append(RRset(base, _CNAME, plan.ttl, (target,)) if target else marker(base))
        return out
    members = _members(subject, plan, problems)
    hosts = _hosts(members) if service.headless or plan.config.endpoint_records else {}
    if _is_absent(service, members, plan):
        # The Service itself is in its namespace, so the namespace exists.
        return out + namespace_markers(service.namespace, plan.suffixes, problems)
    pointers: _Pointers = {}
    for base in _bases(own, plan, problems):
        below: list[RRset] = []  # last: the zone inserts a name faster if its parent exists
        if service.headless:
            names = _endpoint_names(base, hosts, plan, below, problems)
            out += _headless(base, members, hosts, names, plan, problems)
        elif service.cluster_ips:
            names = _endpoint_names(base, hosts, plan, below, problems)
            out += _cluster_ip(base, service, plan, problems)
        else:  # the address is not allocated yet, and negative caching must not hide it later
            out.append(marker(base))
            continue
        out += below
        if base == own + plan.suffixes[0]:
            _add_pointers(pointers, base, service, hosts, names)
    return out + _pointer_rrsets(pointers, plan)


def _bases(own: bytes, plan: Plan, problems: list[str]) -> Iterator[Name]:
    """The name of the Service in each zone where it fits."""
    for suffix in plan.suffixes:
        if fits(own + suffix, problems):
            yield own + suffix


def _is_absent(service: Service, members: _Members, plan: Plan) -> bool:
    """Whether the Service has no name because it has no ready endpoint."""
    if any(found for _, found in members):
        return False
    return service.headless or bool(
        service.cluster_ips and plan.config.empty_services == "nxdomain"
    )


def _external_target(service: Service, problems: list[str]) -> Name | None:
    """The target of the CNAME; None, and a problem, if it is not a host name."""
    text = service.external_name.rstrip(".")
    if is_address(text):
        problems.append(
            f"{service.key}: spec.externalName {text!r} is an address, which a CNAME cannot hold; "
            "use a headless Service with an EndpointSlice"
        )
        return None
    try:
        if text:
            return name_from_text(text + ".")
        problem = "is missing"
    except BadName as error:
        problem = f"is not a domain name: {error}"
    problems.append(f"{service.key}: spec.externalName {problem}")
    return None


def _members(subject: ServiceSubject, plan: Plan, problems: list[str]) -> _Members:
    """The published endpoints with their labels, slice by slice."""
    publish_all = subject.service.publish_not_ready
    by_pod = plan.config.endpoint_names == "pod"
    members: _Members = []
    for piece in subject.slices:
        found: list[tuple[bytes, tuple[bytes, ...]]] = []
        for endpoint in piece.endpoints:
            if not (endpoint.ready or publish_all):
                continue
            addresses = endpoint.addresses
            label = b""
            if endpoint.hostname:
                label = label_of(endpoint.hostname)
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
    """The name of a Pod as labels (it may have dots); empty, and a problem, if it is not a name."""
    try:
        return name_from_text(pod)[:-1]
    except BadName as error:
        problems.append(
            f"{service.key}: the endpoint of Pod {pod} is named by its address, because {error}"
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
    base: Name, hosts: _Hosts, plan: Plan, out: list[RRset], problems: list[str]
) -> dict[bytes, Name]:
    """Adds A and AAAA of the endpoints to `out`; returns the names that fit, by label."""
    names: dict[bytes, Name] = {}
    ttl = plan.ttl
    for label, addresses in hosts.items():
        name = label + base
        if len(name) > MAX_NAME and not fits(name, problems):
            continue
        names[label] = name
        if len(addresses) == 1:  # shares the tuple of the endpoint
            out.append(RRset(name, address_type(addresses[0]), ttl, addresses))
        else:
            out += addresses_at(name, addresses, ttl)
    return names


def _cluster_ip(base: Name, service: Service, plan: Plan, problems: list[str]) -> list[RRset]:
    out = addresses_at(base, service.cluster_ips, plan.ttl)
    if not service.ports:
        return out
    bare = srv(base, [(number, base) for number in {port.port for port in service.ports}], plan.ttl)
    out.append(bare)
    for port in service.ports:
        if name := port_name(port.name, port.protocol, base, problems):
            out.append(srv(name, [(port.port, base)], plan.ttl, bare))
    return out


def _headless(
    base: Name,
    members: _Members,
    hosts: _Hosts,
    names: dict[bytes, Name],
    plan: Plan,
    problems: list[str],
) -> list[RRset]:
    everything = [address for addresses in hosts.values() for address in addresses]
    out = addresses_at(base, everything, plan.ttl)
    bare: dict[tuple[int, Name], None] = {}
    named: dict[tuple[str, str], dict[tuple[int, Name], None]] = {}
    for ports, found in members:
        targets = [names[label] for label, _ in found if label in names]
        for port in ports:
            if not port.port:  # "all ports" has no number
                continue
            pairs = dict.fromkeys([(port.port, target) for target in targets])
            bare.update(pairs)
            if port.name:
                named.setdefault((port.name, port.protocol), {}).update(pairs)
    if not bare:
        return out
    at_base = srv(base, bare, plan.ttl)
    out.append(at_base)
    for (label, protocol), targets_of_port in named.items():
        if targets_of_port and (name := port_name(label, protocol, base, problems)):
            out.append(srv(name, targets_of_port, plan.ttl, at_base))
    return out


def _add_pointers(
    pointers: _Pointers, base: Name, service: Service, hosts: _Hosts, names: dict[bytes, Name]
) -> None:
    """Adds the names that the addresses of this Service point to."""
    for address in service.cluster_ips:
        pointers[address] = [base]
    for label, name in names.items():
        for address in hosts[label]:
            known = pointers.get(address)
            if known is None:
                pointers[address] = [name]
            elif name not in known:
                known.append(name)


def _pointer_rrsets(pointers: _Pointers, plan: Plan) -> list[RRset]:
    covers, ttl = plan.reverse.covers, plan.ttl
    return [
        RRset(reverse_name(address), _PTR, ttl, tuple(sorted(names)))
        for address, names in pointers.items()
        if covers(address)
    ]
