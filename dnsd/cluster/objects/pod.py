"""Pod (core/v1).

In `cluster/objects/` (control plane: one file per kind of object). Change here: which fields of a
Pod dnsd uses, and how it checks them.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct, field

from dnsd.cluster.objects.kind import Kind, Raw, Undated
from dnsd.cluster.validation import Check


class Pod(Undated, frozen=True):
    """A Pod: its addresses, and whether they are its own or those of its node."""

    kind: ClassVar[str] = "Pod"
    namespace: str
    name: str
    ips: tuple[bytes, ...] = ()
    phase: str = ""
    host_network: bool = False
    dns_policy: str = "ClusterFirst"
    searches: tuple[str, ...] = ()  # spec.dnsConfig.searches

    @property
    def running(self) -> bool:
        """Whether the addresses belong to the Pod: a finished Pod has released them."""
        return self.phase not in ("Succeeded", "Failed")


class _RawDNSConfig(Struct):
    searches: list[str] | None = None


class _RawSpec(Struct, rename="camel"):
    host_network: bool | None = None
    dns_policy: str | None = None
    dns_config: _RawDNSConfig | None = None


class _RawPodIP(Struct):
    ip: str = ""


class _RawStatus(Struct):
    phase: str | None = None
    pod_ip: str | None = field(name="podIP", default=None)
    pod_ips: list[_RawPodIP] | None = field(name="podIPs", default=None)


_Raw = Raw[_RawSpec, _RawStatus]


def _strip(raw: _Raw, check: Check) -> Pod:
    spec, status = raw.spec or _RawSpec(), raw.status or _RawStatus()
    ips = check.each("status.podIPs", status.pod_ips, _pod_ip)
    if not ips and status.pod_ip:
        ips = (check.address("status.podIP", status.pod_ip),)
    return Pod(
        ips=ips,
        phase=status.phase or "",
        host_network=bool(spec.host_network),
        dns_policy=spec.dns_policy or "ClusterFirst",
        searches=tuple((spec.dns_config and spec.dns_config.searches) or ()),
        **check.metadata,
    )


def _pod_ip(check: Check, raw: _RawPodIP) -> bytes:
    return check.address("ip", raw.ip)


KIND = Kind("Pod", "pods", "", _Raw, Pod, _strip)
