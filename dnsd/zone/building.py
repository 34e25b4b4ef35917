"""Labels, names, and RRsets that the schema is built from, and its `Plan`.

In `zone/` (control plane: the names that exist). Change here: the form of a label or of an SRV set.

Names are made by joining labels in wire form: 50,000 endpoints have 100,000 names, and to build
each from text would cost seconds. The parts that do not depend on a subject (the suffixes
`svc.Z`, the reverse zones) are computed once for each configuration, in its `Plan`.
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
from dnsd.zone.settings import SchemaConfig

MARKER = 0  # the type of an RRset that only declares that its name exists
_A, _AAAA, _SRV_TYPE = int(Type.A), int(Type.AAAA), int(Type.SRV)
_SRV = Packing(">HHH")  # priority, weight, port: RFC 2782


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


def marker(name: Name) -> RRset:
    """Declares that `name` exists, with or without records."""
    return RRset(name, MARKER, 0, ())


def label_of(text: str) -> bytes:
    """One label with its length octet, lower-cased.

    `text` is a label that `dnsd.cluster.objects` accepted: ASCII, at most 63 characters.
    """
    raw = text.encode("ascii").lower()
    return bytes((len(raw),)) + raw


# For texts that many names share: namespaces, ports, protocols.
common_label = lru_cache(maxsize=1024)(label_of)


def fits(name: Name, problems: list[str]) -> bool:
    """Whether a composed name is within RFC 1035 2.3.4; reports it in `problems` if not."""
    if len(name) <= MAX_NAME:
        return True
    problems.append(
        f"{text_of(name)} is not served: it has {len(name)} octets, "
        f"a DNS name has at most {MAX_NAME}"
    )
    return False


def namespace_markers(namespace: str, suffixes: Iterable[Name], problems: list[str]) -> list[RRset]:
    """Declares that a namespace exists below each of `suffixes`."""
    names = [common_label(namespace) + suffix for suffix in suffixes]
    return [marker(name) for name in names if fits(name, problems)]


def address_label(packed: bytes) -> bytes:
    """The label, with its length octet, of an address written with dashes.

    `10-0-0-7`. For IPv6 it is the RFC 5952 text with `-` for `:`, so `::1` is `--1`: not a host
    name, but a label (RFC 2181 11), and the one that CoreDNS answers.
    """
    if len(packed) == 4:
        text = b"%d-%d-%d-%d" % tuple(packed)
    else:
        text = address_text(packed).replace(":", "-").replace(".", "-").encode("ascii")
    return bytes((len(text),)) + text


def addresses_at(name: Name, addresses: Iterable[bytes], ttl: int) -> list[RRset]:
    """The A and the AAAA RRset of these addresses; an empty one is left out."""
    distinct = sorted(set(addresses))
    four = tuple([address for address in distinct if len(address) == 4])
    six = tuple([address for address in distinct if len(address) == 16])
    return [RRset(name, type_, ttl, some) for type_, some in ((_A, four), (_AAAA, six)) if some]


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
    """SRV to each (port, target): priority 0, and 100 divided by the targets as weight (RFC 2782).

    Shares the rdatas of `like` if they are equal, as those of a single port are.
    """
    weight = max(1, 100 // len(targets))
    pack = _SRV.pack
    rdatas = tuple(sorted([pack(0, weight, port) + target for port, target in targets]))
    if like is not None and like.rdatas == rdatas:
        rdatas = like.rdatas
    return RRset(name, _SRV_TYPE, ttl, rdatas)
