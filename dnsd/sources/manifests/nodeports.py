"""Allocates node ports to the Services of manifests, as an API server does.

In `sources/manifests/` (control plane: objects from files). Change here: which ports get a number.

A port of a NodePort or LoadBalancer Service without `nodePort` is allocated one of 30000 to 32767:
the same at each start, and never one that a Service states (for any protocol). `allocate.py` has
the rule. If no number is left, the port stays without one.
"""

from __future__ import annotations

from msgspec.structs import replace

from dnsd.cluster.objects import Key, Service, ServicePort
from dnsd.sources.manifests.allocate import NODE_PORTS, Request, port_allocator

_TYPES = ("NodePort", "LoadBalancer")
NONE_LEFT = (
    f"no node port is left in {NODE_PORTS[0]} to {sum(NODE_PORTS) - 1};"
    " have fewer Services of type NodePort and LoadBalancer"
)


class NodePorts:
    """The node ports that Services state, and those allocated to Services."""

    def __init__(self) -> None:
        self._allocator = port_allocator()
        self._stated: dict[Key, frozenset[bytes]] = {}
        self._requests: dict[Key, frozenset[Request]] = {}

    def declare(self, key: Key, service: Service | None) -> None:
        """Replace what a Service states and needs. None: it is gone or needs nothing."""
        if service is None and key not in self._stated and key not in self._requests:
            return
        ports = service.ports if service and service.type in _TYPES else ()
        stated = frozenset(port.node_port.to_bytes(2, "big") for port in ports if port.node_port)
        requests = frozenset(_request(key, port) for port in ports if not port.node_port)
        old_stated = self._stated.pop(key, frozenset())
        old_requests = self._requests.pop(key, frozenset())
        # In this order nothing is allocated only to be displaced by the next step.
        for number in stated - old_stated:
            self._allocator.claim(number)
        for request in old_requests - requests:
            self._allocator.withdraw(request)
        for number in old_stated - stated:
            self._allocator.release(number)
        for request in sorted(requests - old_requests):
            self._allocator.request(request)
        if stated:
            self._stated[key] = stated
        if requests:
            self._requests[key] = requests

    def with_ports(self, service: Service) -> Service:
        """The Service with the node ports allocated to it."""
        if service.key not in self._requests:
            return service
        ports = tuple([self._with_port(service.key, port) for port in service.ports])
        return replace(service, ports=ports, ports_allocated=ports != service.ports)

    def without_port(self, service: Service) -> int | None:
        """The index of the first port that got no number, of a Service from `with_ports`."""
        if service.key not in self._requests:
            return None
        return next((i for i, port in enumerate(service.ports) if not port.node_port), None)

    def moved(self) -> set[Key]:
        """The Services whose node ports may have changed since the last call."""
        return {Key("Service", *request[:2]) for request in self._allocator.moved()}

    def _with_port(self, key: Key, port: ServicePort) -> ServicePort:
        number = None if port.node_port else self._allocator.allocated(_request(key, port))
        return port if number is None else replace(port, node_port=int.from_bytes(number, "big"))


def _request(key: Key, port: ServicePort) -> Request:
    return key.namespace, key.name, f"{port.protocol}/{port.port}"
