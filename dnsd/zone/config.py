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
from dnsd.zone.settings import SchemaConfig


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
