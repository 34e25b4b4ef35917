"""The addresses of a load balancer, in the status of a Service, an Ingress, or a Gateway.

In `cluster/objects/` (control plane: one file per kind of object). Change here: how
status.loadBalancer is decoded.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.cluster.validation import Check


class LoadBalancerIngress(Struct, frozen=True, gc=False, array_like=True):
    """One of status.loadBalancer.ingress or status.addresses: an address (octets) or a host."""

    ip: bytes = b""
    hostname: str = ""


class _RawIngress(Struct):
    ip: str | None = None
    hostname: str | None = None


class _RawLoadBalancer(Struct):
    ingress: list[_RawIngress] | None = None


class RawLoadBalancerStatus(Struct, rename="camel"):
    """The status of a Service or an Ingress."""

    load_balancer: _RawLoadBalancer | None = None


def load_balancer_ingress(
    check: Check, status: RawLoadBalancerStatus | None
) -> tuple[LoadBalancerIngress, ...]:
    """status.loadBalancer.ingress of a Service or an Ingress. Raises BadObject."""
    balancer = status.load_balancer if status else None
    points = balancer.ingress if balancer else None
    return check.each("status.loadBalancer.ingress", points, _point)


def _point(check: Check, raw: _RawIngress) -> LoadBalancerIngress:
    ip = check.address("ip", raw.ip) if raw.ip else b""
    return LoadBalancerIngress(ip, check.host("hostname", raw.hostname))
