"""Analyze a name in a zone of the cluster: namespace, Service, port, endpoint, pod, or address.

In `explain/` (control plane: pure). Change here: why a cluster name exists.

`analyze` follows the grammar of `dnsd.zone.schema` from the right, and adds one step for each part
of the name. `dnsd.explain.external` does the same for the external zones.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address

from msgspec import Struct

from dnsd.answer.pods import address_of
from dnsd.cluster.objects import Endpoint, EndpointSlice, Key, Service
from dnsd.dns.addresses import address_text, is_address
from dnsd.dns.names import IN_ADDR_ARPA, IP6_ARPA, Name, is_below, labels_of, text_of
from dnsd.dns.types import Type, type_text
from dnsd.explain.trace import MAX_CITED, Target, Trace
from dnsd.zone.building import address_label
from dnsd.zone.merge import APEX_KEY

_PARENT = "it only has names below it"


def analyze(trace: Trace, apex: Name) -> None:
    """Add the steps of the trace's name, which lies in the forward or reverse zone `apex`."""
    zone = trace.pipeline.zone
    if apex not in zone.config.zones:
        _reverse(trace)
        return
    own = labels_below(trace.name, apex)
    if own[-1:] == ["svc"]:
        _under_svc(trace, apex, own[:-1])
    elif own[-1:] == ["pod"]:
        _under_pod(trace, own[:-1])
    elif not own or APEX_KEY in zone.contributors(trace.name) or zone.exists(trace.name):
        generated = "it is the zone apex" if not own else "dnsd generates it for the zone"
        trace.because(generated if trace.found.kind == "answer" else _other_types(trace))
    else:
        trace.fail("name", f"names of Services end in .svc.{text_of(apex)}")
        trace.target = Target(apex)


def labels_below(name: Name, apex: Name) -> list[str]:
    """The labels of `name` in front of those of `apex`, as text."""
    labels = [label.decode("ascii", "backslashreplace") for label in labels_of(name)]
    return labels[: len(labels) - len(list(labels_of(apex)))]


def _other_types(trace: Trace) -> str:
    """The types that a name has instead of the queried one."""
    types = trace.pipeline.zone.types(trace.found.end)
    return f"it only has {', '.join(map(type_text, types))}" if types else _PARENT


# ---------------------------------------------------------------------------------------
# Names of Services.


class ServiceView(Struct, frozen=True):
    """A Service with its EndpointSlices."""

    service: Service
    slices: Sequence[EndpointSlice]

    def __str__(self) -> str:
        return str(self.service.key)

    @property
    def endpoints(self) -> list[Endpoint]:
        return [one for piece in self.slices for one in piece.endpoints]

    def ready(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint has names (spec.publishNotReadyAddresses)."""
        return endpoint.ready or self.service.publish_not_ready

    @property
    def readiness(self) -> str:
        return f"{sum(map(self.ready, self.endpoints))} of {len(self.endpoints)} endpoints"

    def ports(self) -> list[tuple[str, str]]:
        """The name and the protocol of each port that has SRV names."""
        holders = self.slices if self.service.headless else (self.service,)
        return list(
            dict.fromkeys((port.name, port.protocol) for one in holders for port in one.ports)
        )


def service_view(trace: Trace, key: Key) -> ServiceView | None:
    """The Service of this key; None if it does not exist."""
    state = trace.pipeline.state
    service = state.get(key)
    return ServiceView(service, state.slices_of(key)) if isinstance(service, Service) else None


def _under_svc(trace: Trace, apex: Name, labels: list[str]) -> None:
    if not labels:
        trace.because("it is the parent of all Services; a name starts with SERVICE.NAMESPACE")
        return
    *rest, namespace = labels
    service = rest.pop() if rest else ""
    trace.target = Target(apex, namespace, service, ".".join(rest))
    if not _namespace(trace, namespace):
        return
    if not service:
        trace.because(f"it is the namespace {namespace}; its Services lie below it")
        return
    key = Key("Service", namespace, service)
    view = service_view(trace, key)
    if view is None:
        trace.fail("service", f"namespace {namespace} has no Service {service}")
        for piece in trace.pipeline.state.slices_of(key):
            trace.cite(piece)
            trace.step("endpoint", None, f"{piece.key} names it, but only a Service makes the name")
        return
    trace.cite(view.service)
    trace.step("service", True, _description(view.service))
    for problem in trace.pipeline.problems.get(key, ()):
        trace.step("service", False, problem)
    if failed := trace.pipeline.failed.get(key):
        trace.step("service", False, f"its names could not be computed, a bug: {failed}")
    if view.service.type == "ExternalName":
        _external_name(trace, view.service, rest)
        return
    _readiness(trace, view)
    if rest and rest[0].startswith("_"):
        _port(trace, view, rest)
    elif rest:
        _endpoint(trace, view, ".".join(rest))
    _outcome(trace, view, rest)


def _namespace(trace: Trace, namespace: str) -> bool:
    thing = trace.pipeline.state.get(Key("Namespace", "", namespace))
    if thing is not None:
        trace.cite(thing)
        trace.step("namespace", True, f"namespace {namespace} exists")
    elif any(True for _ in trace.pipeline.state.services(namespace)):
        trace.step("namespace", True, f"namespace {namespace} has Services")
    else:
        trace.fail("namespace", f"namespace {namespace} does not exist")
        return False
    return True


def _description(service: Service) -> str:
    if service.type == "ExternalName":
        return f"{service.key} is an ExternalName for {service.external_name}"
    if service.headless:
        return f"{service.key} is headless: its addresses are those of its endpoints"
    if not service.cluster_ips:
        return f"{service.key} has no ClusterIP yet"
    addresses = ", ".join(map(address_text, service.cluster_ips))
    allocated = "; dnsd allocated it, because the manifest gives none" if service.allocated else ""
    return f"{service.key} ({service.type}) has the ClusterIP {addresses}{allocated}"


def _external_name(trace: Trace, service: Service, rest: Sequence[str]) -> None:
    end = text_of(trace.found.end)
    if rest:
        trace.fail("alias", f"{service.key} is an ExternalName, which has no names below it")
    elif is_address(service.external_name.rstrip(".")):
        trace.fail(
            "alias", f"externalName of {service.key} is an address, and a CNAME needs a name"
        )
    elif trace.found.kind == "servfail":
        trace.fail("alias", "its aliases form a loop, or a chain of more than ten names")
    else:
        trace.step("alias", True, f"it is an alias of {end}")
        missing = not trace.found.left and trace.found.kind != "answer"
        more = f", and {end} has no such record" if missing else ""
        trace.because(f"{service.key} is an ExternalName for {service.external_name}{more}")


def _readiness(trace: Trace, view: ServiceView) -> None:
    trace.cite(*view.slices)
    service = view.service
    ready = any(map(view.ready, view.endpoints))
    text = f"{view.readiness} are ready"
    if not view.slices:
        text = f"no EndpointSlice belongs to {view}"
    elif service.publish_not_ready:
        text = f"all {len(view.endpoints)} endpoints count as ready (publishNotReadyAddresses)"
    trace.step("readiness", ready, text)
    if ready:
        return
    if service.headless:
        trace.because(f"headless {view} has no ready endpoint ({text})")
    elif service.cluster_ips and trace.pipeline.zone.config.empty_services == "nxdomain":
        trace.because(f"{view} has no ready endpoint, and empty_services is nxdomain ({text})")


def _port(trace: Trace, view: ServiceView, rest: Sequence[str]) -> None:
    ports = view.ports()
    listed = ", ".join(f"{name or '(unnamed)'}/{protocol}" for name, protocol in ports) or "none"
    if len(rest) > 2 or (len(rest) == 2 and not rest[1].startswith("_")):
        trace.fail("port", f"{'.'.join(rest)} is not of the form _PORT._PROTOCOL")
    elif len(rest) == 1:
        protocol = rest[0][1:].upper()
        known = protocol in {one for _, one in ports}
        trace.step("port", known, f"the ports of {view} are {listed}")
        trace.because(
            _PARENT if known else f"{view} has no {protocol} port; its ports are {listed}"
        )
    else:
        wanted = (rest[0][1:], rest[1][1:].upper())
        if wanted in ports:
            trace.step("port", True, f"{view} has the port {'/'.join(wanted)}")
        else:
            trace.fail("port", f"{view} has no port {'/'.join(wanted)}; its ports are {listed}")


def endpoint_label(endpoint: Endpoint) -> str:
    """The label of an endpoint that is named by its hostname or its first address."""
    if endpoint.hostname:
        return endpoint.hostname.lower()
    return address_label(endpoint.addresses[0])[1:].decode() if endpoint.addresses else ""


def _has_label(endpoint: Endpoint, label: str) -> bool:
    if label in (endpoint.hostname.lower(), endpoint.pod):
        return True
    return any(address_label(one)[1:].decode() == label for one in endpoint.addresses)


def _endpoint(trace: Trace, view: ServiceView, label: str) -> None:
    if not view.service.headless and not trace.pipeline.zone.config.endpoint_records:
        trace.fail("endpoint", f"endpoints of {view} have no names (endpoint_records is off)")
        return
    for piece in view.slices:
        for endpoint in (one for one in piece.endpoints if _has_label(one, label)):
            addresses = ", ".join(map(address_text, endpoint.addresses))
            pod = f" (Pod {endpoint.pod})" if endpoint.pod else ""
            if view.ready(endpoint):
                trace.step("endpoint", True, f"endpoint {addresses}{pod} is in {piece.key}")
            else:
                trace.fail("endpoint", f"endpoint {addresses}{pod} of {view} is not ready")
            return
    trace.fail("endpoint", f"{view} has no endpoint {label}")


def _outcome(trace: Trace, view: ServiceView, rest: Sequence[str]) -> None:
    """The reason when no part of the name is missing."""
    service, kind = view.service, trace.found.kind
    if kind == "answer" and trace.type == Type.SRV:
        trace.because(f"these are the ports of {view}")
    elif kind == "answer" and rest:
        trace.because(f"it is an endpoint of {view}")
    elif kind == "answer" and service.headless:
        trace.because(f"{view.readiness} of the headless {view} are ready")
    elif kind == "answer":
        allocated = ", allocated by dnsd" if service.allocated else ""
        trace.because(f"it is the ClusterIP of {view}{allocated}")
    elif kind == "nodata" and not service.headless and not service.cluster_ips:
        trace.because(f"{view} has no ClusterIP yet")
    elif kind == "nodata":
        trace.because(_other_types(trace))
    else:
        trace.because(trace.last("service"))


# ---------------------------------------------------------------------------------------
# Names of pods, and of addresses.


def _under_pod(trace: Trace, labels: list[str]) -> None:
    mode = trace.pipeline.zone.config.pods
    if mode == "disabled":
        trace.fail("pod", "names of pods are off (pods: disabled)")
    elif not labels:
        trace.because("it is the parent of the names of pods")
    elif not _namespace(trace, labels[-1]):
        return
    elif len(labels) == 1:
        trace.because(f"it is the namespace {labels[0]}; its pods lie below it")
    else:
        _pod(trace, labels[:-1], labels[-1], mode)


def _pod(trace: Trace, labels: list[str], namespace: str, mode: str) -> None:
    address = address_of(labels[0].encode("ascii", "replace")) if len(labels) == 1 else None
    if address is None:
        trace.fail("pod", f"{'.'.join(labels)} is not an address written with dashes")
        return
    text = address_text(address)
    pods = [one for one in trace.pipeline.state.pods_with(address) if one.namespace == namespace]
    trace.cite(*pods)
    running = [pod for pod in pods if pod.running]
    if mode == "insecure":
        trace.step("pod", True, "each address has a pod name (pods: insecure)")
        trace.because(f"it encodes {text}, and pods: insecure accepts each address")
    elif running:
        trace.step("pod", True, f"Pod {running[0].name} has {text}")
        trace.because(f"{running[0].key} has this address")
    else:
        trace.fail("pod", f"no running Pod in namespace {namespace} has {text} (pods: verified)")


def _reverse(trace: Trace) -> None:
    address = _address(trace.name)
    if address is None:
        trace.because("it is only part of an address")
        return
    text = address_text(address)
    contributors = trace.pipeline.zone.contributors(trace.name)
    services = [one for one in contributors if one.kind == "Service"]
    if not services:
        trace.fail("address", f"no Service and no ready endpoint has the address {text}")
        return
    roles = []
    for view in filter(None, (service_view(trace, one) for one in services[:MAX_CITED])):
        trace.cite(view.service)
        role = "the ClusterIP" if address in view.service.cluster_ips else "an endpoint"
        roles.append(f"{text} is {role} of {view}")
        if role == "an endpoint":
            holders = [
                piece
                for piece in view.slices
                if any(address in one.addresses for one in piece.endpoints)
            ]
            trace.cite(*holders)
    for one in roles:
        trace.step("address", True, one)
    trace.because(" and ".join(roles[:3]))


def _address(name: Name) -> bytes | None:
    """The address of a reverse name (RFC 1035 3.5, RFC 3596 2.5); None if it is not a whole one."""
    labels = [label.decode("ascii", "replace") for label in labels_of(name)][:-2][::-1]
    try:
        if is_below(name, IN_ADDR_ARPA) and len(labels) == 4:
            octets = [int(label) for label in labels]
            return bytes(octets) if [str(one) for one in octets] == labels else None
        if is_below(name, IP6_ARPA) and len(labels) == 32 and all(len(one) == 1 for one in labels):
            return IPv6Address(int("".join(labels), 16)).packed
    except ValueError:
        return None
    return None
