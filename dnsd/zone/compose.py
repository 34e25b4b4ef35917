"""What the schema's names are put together from: the configuration and ready-made parts.

Names are made by putting label bytes in front of each other: 50,000 endpoints have 100,000
names, and building each from text would cost seconds. What does not depend on the subject
(the tails `svc.Z`, the reverse zones) is worked out once a configuration, in its `Plan`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from struct import Struct as Packing

from msgspec import Struct

from dnsd.dns.addresses import address_text
from dnsd.dns.names import MAX_LABEL, MAX_NAME, Name, name_of, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.reverse import ReverseZones, reverse_zones

MARKER = 0  # the type of an RRset that only says that its name exists
_A, _AAAA, _SRV_TYPE = int(Type.A), int(Type.AAAA), int(Type.SRV)
_SRV = Packing(">HHH")  # priority, weight, port: RFC 2782


class ExternalZone(Struct, frozen=True):
    """A zone of the view from outside; `ttl` in seconds.

    `servers`: the names of its name servers, each with its addresses (packed), which are
    served as far as the name lies in the zone. None: `ns.dns` below the zone, as inside.
    """

    name: Name
    servers: tuple[tuple[Name, tuple[bytes, ...]], ...] = ()
    ttl: int = 5


class ExternalConfig(Struct, frozen=True):
    """What of the view from outside is configurable; without `zones` there is none."""

    zones: tuple[ExternalZone, ...] = ()  # the first is the primary one: PTR point into it
    names: tuple[str, ...] = ()  # besides Services: nodes, ingresses, routes, dnsendpoints
    node_addresses: str = "external"  # external: ExternalIPs, else InternalIPs; internal
    node_pointers: bool = False  # PTR of the Nodes, if `names` has them
    balancer_ports: str = "never"  # LoadBalancers at their node ports: never, pending, always

    @property
    def node_port_types(self) -> tuple[str, ...]:
        """The types of Services whose names depend on the Nodes."""
        if not self.zones:
            return ()
        return ("NodePort",) if self.balancer_ports == "never" else ("NodePort", "LoadBalancer")


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
    external: ExternalConfig = ExternalConfig()  # see outside.py


class Plan(Struct, frozen=True):
    """The configuration, with all that does not depend on the subject worked out."""

    config: SchemaConfig
    ttl: int
    tails: tuple[Name, ...]  # svc.Z of each zone, the primary one first
    pod_tails: tuple[Name, ...]  # pod.Z of each zone; none when pod names are disabled
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


def marker(name: Name) -> RRset:
    """Says that `name` exists, whether or not it has records."""
    return RRset(name, MARKER, 0, ())


def label_of(text: str) -> bytes:
    """One label with its length octet, lower-cased.

    `text` is a label that `dnsd.cluster.objects` let through: ASCII, at most 63 characters.
    """
    raw = text.encode("ascii").lower()
    return bytes((len(raw),)) + raw


# Of texts that few names differ in: namespaces, ports, protocols.
common_label = lru_cache(maxsize=1024)(label_of)


def fits(name: Name, problems: list[str]) -> bool:
    """Whether a composed name is within RFC 1035 2.3.4; says so when it is not."""
    if len(name) <= MAX_NAME:
        return True
    problems.append(
        f"{text_of(name)} is not served: it has {len(name)} octets, "
        f"a DNS name has at most {MAX_NAME}"
    )
    return False


def namespace_markers(namespace: str, tails: Iterable[Name], problems: list[str]) -> list[RRset]:
    """Says that a namespace exists below each of `tails`."""
    names = [common_label(namespace) + tail for tail in tails]
    return [marker(name) for name in names if fits(name, problems)]


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


def addresses_at(name: Name, addresses: Iterable[bytes], ttl: int) -> list[RRset]:
    """The A and the AAAA RRset of these addresses, each if it has any."""
    distinct = sorted(set(addresses))
    four = tuple([address for address in distinct if len(address) == 4])
    six = tuple([address for address in distinct if len(address) == 16])
    return [RRset(name, type_, ttl, some) for type_, some in ((_A, four), (_AAAA, six)) if some]


def family(address: bytes) -> int:
    """The type of record that holds a packed address: A or AAAA."""
    return _A if len(address) == 4 else _AAAA


def port_name(port: str, protocol: str, base: Name, problems: list[str]) -> Name | None:
    """`_port._proto` below the Service; None for an unnamed port, or one that does not fit."""
    if not port:
        return None
    if len(port) >= MAX_LABEL:
        problems.append(
            f"port {port!r} of {text_of(base)} has no SRV name: with its underscore "
            f"it has {len(port) + 1} octets, a DNS label has at most {MAX_LABEL}"
        )
        return None
    name = common_label("_" + port) + common_label("_" + protocol) + base
    return name if fits(name, problems) else None


def srv(
    name: Name, targets: Collection[tuple[int, Name]], ttl: int, like: RRset | None = None
) -> RRset:
    """SRV to each (port, target): priority 0, and the hundred divided among them (RFC 2782).

    Shares the rdatas of `like` if they are the same, as those of a single port are.
    """
    weight = max(1, 100 // len(targets))
    pack = _SRV.pack
    rdatas = tuple(sorted([pack(0, weight, port) + target for port, target in targets]))
    if like is not None and like.rdatas == rdatas:
        rdatas = like.rdatas
    return RRset(name, _SRV_TYPE, ttl, rdatas)
