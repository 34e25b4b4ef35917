"""Node ports for Services in manifests that state none, as an API server would give them.

A port of a NodePort or LoadBalancer Service without `nodePort` gets one of 30000 to 32767: the
same at every start, and never one that a Service states (for whatever protocol). See
`allocate.py` for how. A Service that could get none keeps its port without.
"""

from __future__ import annotations

from msgspec.structs import replace

from dnsd.cluster.objects import Key, Service, ServicePort
from dnsd.sources.manifests.allocate import NODE_PORTS, Asker, port_allocator

_TYPES = ("NodePort", "LoadBalancer")
NONE_LEFT = (
    f"no node port is left in {NODE_PORTS[0]} to {sum(NODE_PORTS) - 1};"
    " have fewer Services of type NodePort and LoadBalancer"
)


class NodePorts:
    """The node ports that Services state, and those they were given."""

    def __init__(self) -> None:
        self._allocator = port_allocator()
        self._stated: dict[Key, frozenset[bytes]] = {}
        self._asked: dict[Key, frozenset[Asker]] = {}

    def restate(self, key: Key, service: Service | None) -> None:
        """What this Service states and needs now; None: it is gone."""
        if service is None and key not in self._stated and key not in self._asked:
            return
        ports = service.ports if service and service.type in _TYPES else ()
        stated = frozenset(_packed(port.node_port) for port in ports if port.node_port)
        asked = frozenset(_asker(key, port) for port in ports if not port.node_port)
        before, wanted = self._stated.pop(key, frozenset()), self._asked.pop(key, frozenset())
        # All claims before all releases and askers, so that nothing is given for a moment.
        for number in stated - before:
            self._allocator.claim(number)
        for asker in wanted - asked:
            self._allocator.leave(asker)
        for number in before - stated:
            self._allocator.release(number)
        for asker in sorted(asked - wanted):
            self._allocator.ask(asker)
        if stated:
            self._stated[key] = stated
        if asked:
            self._asked[key] = asked

    def given(self, service: Service) -> Service:
        """The Service with the node ports given to it."""
        asked = self._asked.get(service.key)
        if not asked:
            return service
        ports = tuple([self._with_port(service.key, port) for port in service.ports])
        return replace(service, ports=ports, ports_allocated=ports != service.ports)

    def lacking(self, service: Service) -> int | None:
        """Which port of a Service, as `given` returned it, could get none; None: all have one."""
        if service.key not in self._asked:
            return None
        return next((i for i, port in enumerate(service.ports) if not port.node_port), None)

    def _with_port(self, key: Key, port: ServicePort) -> ServicePort:
        number = None if port.node_port else self._allocator.given(_asker(key, port))
        return port if number is None else replace(port, node_port=int.from_bytes(number, "big"))

    def moved(self) -> set[Key]:
        """The Services whose node ports may have changed since the last call."""
        return {Key("Service", *asker[:2]) for asker in self._allocator.moved()}


def _packed(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _asker(key: Key, port: ServicePort) -> Asker:
    return key.namespace, key.name, f"{port.protocol}/{port.port}"
