"""Services, and the manifests that declare them."""

from __future__ import annotations

from collections.abc import Sequence

from dnsd.cluster.objects import Object, Service
from dnsd.dns.addresses import pack_address
from dnsd.sources.manifests.manifest import Manifest, manifest_of


def manifests(file: str, *objects: Object) -> tuple[Manifest, ...]:
    return tuple(
        manifest_of(thing, file, number, -1, number * 10) for number, thing in enumerate(objects, 1)
    )


def svc(
    name: str, *ips: str, policy: str = "", families: Sequence[str] = (), **more: str
) -> Service:
    return Service(
        "default",
        name,
        cluster_ips=tuple(pack_address(ip) for ip in ips),
        ip_family_policy=policy,
        ip_families=tuple(families),
        version=more.get("version", ""),
        type=more.get("type", "ClusterIP"),
        headless="headless" in more,
        external_name=more.get("external", ""),
    )
