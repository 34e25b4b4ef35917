"""A name of ours taken apart: zone, namespace, Service, port, endpoint, readiness.

`walk` follows the grammar of `dnsd.zone.schema` from the right, and writes each part it
meets into a `Trace` as a step, with the objects it saw. What the name's fate hung on is the
`reason`, a clause that can stand behind a colon. The first reason stays: what is missing
further to the right explains all that is missing to its left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address

from msgspec import Struct

from dnsd.answer.pods import address_of
from dnsd.cluster.objects import Endpoint, EndpointSlice, Key, Object, Service
from dnsd.dns.addresses import address_text, is_address
from dnsd.dns.names import IN_ADDR_ARPA, IP6_ARPA, Name, is_below, labels_of, text_of
from dnsd.dns.types import Type, type_text
from dnsd.explain.lookup import Found
from dnsd.explain.nearest import nearest
from dnsd.zone.building import address_label
from dnsd.zone.merge import APEX
from dnsd.zone.pipeline import Pipeline

_CITED = 20  # objects of one kind named in an explanation


class Step(Struct, frozen=True):
    """One thing that was looked at. `ok`: it helps, it hinders (False), it is as it is (None)."""

    what: str
    ok: bool | None
    said: str


class Cited(Struct, frozen=True):
    """An object an answer rests on, as it was when it was read."""

    kind: str
    namespace: str
    name: str
    version: str = ""
    origin: str = ""
    uid: str = ""


class Target(Struct, frozen=True):
    """A name under svc.Z in parts. `rest`: the labels in front of the Service."""

    apex: Name
    namespace: str = ""
    service: str = ""
    rest: str = ""


class Trace:
    """What was found on the way: steps, objects, the reason."""

    def __init__(self, pipeline: Pipeline, name: Name, type_: int, found: Found) -> None:
        self.pipeline, self.name, self.type, self.found = pipeline, name, type_, found
        self.steps: list[Step] = []
        self.objects: dict[Key, Cited] = {}
        self.reason = ""
        self.refused = False
        self.target: Target | None = None

    def step(self, what: str, ok: bool | None, said: str) -> None:
        self.steps.append(Step(what, ok, said))

    def because(self, reason: str) -> None:
        self.reason = self.reason or reason

    def fail(self, what: str, said: str) -> None:
        """A step that is the reason."""
        self.step(what, False, said)
        self.because(said)

    def last(self, what: str) -> str:
        return next((one.said for one in reversed(self.steps) if one.what == what), "")

    def cite(self, thing: Object) -> None:
        key = thing.key
        if sum(one.kind == key.kind for one in self.objects.values()) < _CITED:
            self.objects[key] = Cited(*key, thing.version, thing.origin, thing.uid)

    def namespaces(self) -> set[str]:
        """The namespaces that have Services, whether or not there is an object for them."""
        return set(self.pipeline.state.service_counts())

    def siblings(self) -> Iterator[tuple[str, str]]:
        """Names beside the one that is missing, below the Service that exists."""
        target = self.target
        if target is None or not target.rest:
            return
        key = Key("Service", target.namespace, target.service)
        service = self.pipeline.state.get(key)
        if not isinstance(service, Service):
            return
        base = f"{target.service}.{target.namespace}.svc.{text_of(target.apex)}"
        slices = self.pipeline.state.slices_of(key)
        if target.rest.startswith("_"):
            for name, protocol in dict.fromkeys(_ports(service, slices)):
                if name:
                    yield f"_{name}._{protocol.lower()}.{base}", f"port {name}"
            return
        labels = {_label(one) for piece in slices for one in piece.endpoints if one.ready}
        for near in nearest(target.rest, labels.__contains__, lambda: labels):
            yield f"{near}.{base}", "an endpoint of this Service"


def walk(trace: Trace, apex: Name) -> None:
    """Takes the trail's name, which lies in the zone `apex`, apart."""
    _contributors(trace)
    zone = trace.pipeline.zone
    if apex in zone.external:
        from dnsd.explain.external import walk_external

        walk_external(trace, apex)
        return
    if apex not in zone.config.zones:
        _reverse(trace)
        return
    labels = [label.decode("ascii", "backslashreplace") for label in labels_of(trace.name)]
    own = labels[: len(labels) - len(list(labels_of(apex)))]
    if own[-1:] == ["svc"]:
        _under_svc(trace, apex, own[:-1])
    elif own[-1:] == ["pod"]:
        _under_pod(trace, own[:-1])
    elif not own:
        trace.because("it is the zone itself" if trace.found.kind == "answer" else _has(trace))
    elif APEX in zone.contributors(trace.name) or zone.exists(trace.name):
        trace.because(
            "the zone has it by itself"
            if trace.found.kind == "answer"
            else "it is only the way to names below it"
            if not zone.types(trace.name)
            else _has(trace)
        )
    else:
        trace.fail("name", f"names of Services end with .svc.{text_of(apex)}")
        trace.target = Target(apex)


def _contributors(trace: Trace) -> None:
    """Records pinned by hand, which may stand anywhere; several contributors at one name."""
    contributors = trace.pipeline.zone.contributors(trace.name)
    pinned = [contributor for contributor in contributors if contributor.kind == "Record"]
    for contributor in pinned:
        trace.step("record", True, f"{contributor.name} is pinned by hand (API /records)")
        trace.objects[contributor] = Cited(*contributor, origin="admin API")
        if trace.type == _type_of(contributor) and trace.found.kind == "answer":
            trace.because("the record is pinned by hand")
    zone = trace.pipeline.zone
    if pinned and len(contributors) > len(pinned) and zone.zone_of(trace.name) not in zone.external:
        others = ", ".join(
            str(contributor) for contributor in contributors if contributor.kind != "Record"
        )
        trace.step("conflict", None, f"the name belongs to {others} too; the records are joined")


def _type_of(contributor: Key) -> int | None:
    text = contributor.name.rpartition("/")[2]
    return next((int(one) for one in Type if one.name == text), None)


def _has(trace: Trace) -> str:
    """What a name has instead of the type asked for."""
    types = trace.pipeline.zone.types(trace.found.end)
    if not types:
        return "it has no records of any type, names below it do"
    return f"it has {', '.join(type_text(one) for one in types)} only"


# ---------------------------------------------------------------------------------------
# Names of Services.


def _under_svc(trace: Trace, apex: Name, labels: list[str]) -> None:
    if not labels:
        trace.because("it is where all Services lie; names begin with a Service and a namespace")
        return
    *rest, namespace = labels
    service = rest.pop() if rest else ""
    trace.target = Target(apex, namespace, service, ".".join(rest))
    if not _namespace(trace, namespace):
        return
    if not service:
        trace.because(f"it is the namespace {namespace}; Services lie below it")
        return
    key = Key("Service", namespace, service)
    thing = trace.pipeline.state.get(key)
    if not isinstance(thing, Service):
        trace.fail("service", f"namespace {namespace} has no Service {service}")
        for piece in trace.pipeline.state.slices_of(key):
            trace.cite(piece)
            trace.step("endpoint", None, f"{piece.key} names it, but a Service makes the name")
        return
    trace.cite(thing)
    trace.step("service", True, _describe(thing))
    _troubles(trace, key)
    if thing.type == "ExternalName":
        _external(trace, thing, rest)
        return
    slices = trace.pipeline.state.slices_of(key)
    _readiness(trace, thing, slices)
    if rest and rest[0].startswith("_"):
        _port(trace, thing, slices, rest)
    elif rest and rest != ["_tcp"]:
        _endpoint(trace, thing, slices, ".".join(rest))
    _result(trace, thing, slices, rest)


def _namespace(trace: Trace, namespace: str) -> bool:
    thing = trace.pipeline.state.get(Key("Namespace", "", namespace))
    if thing is not None:
        trace.cite(thing)
        trace.step("namespace", True, f"namespace {namespace} exists")
        return True
    if any(True for _ in trace.pipeline.state.services(namespace)):
        trace.step("namespace", True, f"namespace {namespace} has Services")
        return True
    trace.fail("namespace", f"there is no namespace {namespace}")
    return False


def _describe(service: Service) -> str:
    who = f"Service {service.namespace}/{service.name}"
    if service.type == "ExternalName":
        return f"{who} is an ExternalName for {service.external_name}"
    if service.headless:
        return f"{who} is headless: its endpoints are its addresses"
    if not service.cluster_ips:
        return f"{who} has no ClusterIP yet"
    addresses = ", ".join(map(address_text, service.cluster_ips))
    made = ", which dnsd allocated because its manifest names none" if service.allocated else ""
    return f"{who} ({service.type}) has the ClusterIP {addresses}{made}"


def _troubles(trace: Trace, key: Key) -> None:
    for problem in trace.pipeline.problems.get(key, ()):
        trace.step("service", False, problem)
    failed = trace.pipeline.failed.get(key)
    if failed:
        trace.step("service", False, f"its names could not be computed, a bug: {failed}")


def _external(trace: Trace, service: Service, rest: Sequence[str]) -> None:
    who = f"Service {service.namespace}/{service.name}"
    if rest:
        trace.fail("alias", f"nothing exists below {who}, which is an ExternalName")
    elif is_address(service.external_name.rstrip(".")):
        trace.fail("alias", f"{who} has an address as externalName, and no CNAME can hold one")
    elif trace.found.kind == "servfail":
        trace.fail("alias", "its aliases lead in a circle, or over more than ten names")
    else:
        trace.step("alias", True, f"it is an alias of {text_of(trace.found.end)}")
        trace.because(f"{who} is an ExternalName for {service.external_name}")
        if not trace.found.left and trace.found.kind != "answer":
            trace.reason += f", and {text_of(trace.found.end)} has no such record"


def _readiness(trace: Trace, service: Service, slices: Sequence[EndpointSlice]) -> None:
    for piece in slices:
        trace.cite(piece)
    ready, total = _counts(service, slices)
    said = f"{ready} of {total} endpoints are ready"
    if not slices:
        said = f"no EndpointSlice names Service {service.namespace}/{service.name}"
    elif service.publish_not_ready:
        said = f"all {total} endpoints count (publishNotReadyAddresses)"
    empty = trace.pipeline.zone.config.empty_services == "nxdomain"
    if not ready and (service.headless or (empty and service.cluster_ips)):
        kind = "headless " if service.headless else ""
        setting = "" if service.headless else " and empty_services is nxdomain"
        trace.step("readiness", False, said)
        who = f"{kind}Service {service.namespace}/{service.name}"
        trace.because(f"{who} has no ready endpoint{setting} ({said})")
    else:
        trace.step("readiness", ready > 0, said)


def _counts(service: Service, slices: Sequence[EndpointSlice]) -> tuple[int, int]:
    endpoints = [one for piece in slices for one in piece.endpoints]
    counting = sum(one.ready or service.publish_not_ready for one in endpoints)
    return counting, len(endpoints)


def _ports(service: Service, slices: Sequence[EndpointSlice]) -> Iterator[tuple[str, str]]:
    """Name and protocol of each port that has SRV names."""
    if not service.headless:
        yield from ((port.name, port.protocol) for port in service.ports)
        return
    yield from ((port.name, port.protocol) for piece in slices for port in piece.ports)


def _port(
    trace: Trace, service: Service, slices: Sequence[EndpointSlice], rest: Sequence[str]
) -> None:
    who = f"Service {service.namespace}/{service.name}"
    ports = dict.fromkeys(_ports(service, slices))
    listed = ", ".join(f"{name or '(no name)'}/{proto}" for name, proto in ports) or "none"
    if len(rest) > 2 or (len(rest) == 2 and not rest[1].startswith("_")):
        trace.fail("port", f"{'.'.join(rest)} is no _port._protocol")
    elif len(rest) == 1:
        known = rest[0][1:].upper() in {protocol for _, protocol in ports}
        trace.step("port", known, f"the ports of {who} are {listed}")
        if not known:
            trace.because(f"{who} has no {rest[0][1:].upper()} port; its ports are {listed}")
        else:
            trace.because("it is only the way to the ports below it")
    elif (rest[0][1:], rest[1][1:].upper()) in ports:
        trace.step("port", True, f"{who} has the port {rest[0][1:]}/{rest[1][1:].upper()}")
    else:
        wanted = f"{rest[0][1:]}/{rest[1][1:].upper()}"
        trace.fail("port", f"{who} has no port {wanted}; its ports are {listed}")


def _label(endpoint: Endpoint) -> str:
    """The label of an endpoint that is named by hostname or first address."""
    if endpoint.hostname:
        return endpoint.hostname.lower()
    return address_label(endpoint.addresses[0])[1:].decode() if endpoint.addresses else ""


def _called(endpoint: Endpoint, label: str) -> bool:
    if label in (endpoint.hostname.lower(), endpoint.pod):
        return True
    return any(address_label(one)[1:].decode() == label for one in endpoint.addresses)


def _endpoint(trace: Trace, service: Service, slices: Sequence[EndpointSlice], label: str) -> None:
    who = f"Service {service.namespace}/{service.name}"
    if not service.headless and not trace.pipeline.zone.config.endpoint_records:
        trace.fail("endpoint", f"endpoints of {who} have no names (endpoint_records is off)")
        return
    for piece in slices:
        for endpoint in piece.endpoints:
            if not _called(endpoint, label):
                continue
            addresses = ", ".join(map(address_text, endpoint.addresses))
            pod = f" (Pod {endpoint.pod})" if endpoint.pod else ""
            if endpoint.ready or service.publish_not_ready:
                trace.step("endpoint", True, f"endpoint {addresses}{pod} is in {piece.key}")
            else:
                trace.fail("endpoint", f"endpoint {addresses}{pod} of {who} is not ready")
            return
    trace.fail("endpoint", f"{who} has no endpoint {label}")


def _result(
    trace: Trace, service: Service, slices: Sequence[EndpointSlice], rest: Sequence[str]
) -> None:
    """The reason when nothing was missing."""
    who = f"Service {service.namespace}/{service.name}"
    kind = trace.found.kind
    if kind == "answer" and trace.type == Type.SRV:
        trace.because(f"these are the ports of {who}")
    elif kind == "answer" and rest:
        trace.because(f"it is an endpoint of {who}")
    elif kind == "answer" and service.headless:
        ready, total = _counts(service, slices)
        trace.because(f"{ready} of {total} endpoints of the headless {who} are ready")
    elif kind == "answer":
        made = ", allocated by dnsd" if service.allocated else ""
        trace.because(f"it is the ClusterIP of {who}{made}")
    elif kind == "nodata" and not service.headless and not service.cluster_ips:
        trace.because(f"{who} has no ClusterIP yet")
    elif kind == "nodata":
        trace.because(_has(trace))
    elif not trace.reason and trace.last("service"):
        trace.because(trace.last("service"))


# ---------------------------------------------------------------------------------------
# Names of pods, and of addresses.


def _under_pod(trace: Trace, labels: list[str]) -> None:
    mode = trace.pipeline.zone.config.pods
    if mode == "disabled":
        trace.fail("pod", "names of pods are off (pods: disabled)")
        return
    if not labels:
        trace.because("it is where the names of pods lie")
        return
    if not _namespace(trace, labels[-1]):
        return
    if len(labels) == 1:
        trace.because(f"it is the namespace {labels[0]}; pods lie below it")
        return
    address = address_of(labels[0].encode("ascii", "replace")) if len(labels) == 2 else None
    if address is None:
        trace.fail("pod", f"{'.'.join(labels[:-1])} is no address written with dashes")
        return
    pods = [one for one in trace.pipeline.state.pods_with(address) if one.namespace == labels[1]]
    for pod in pods:
        trace.cite(pod)
    running = [pod.name for pod in pods if pod.running]
    if mode == "insecure":
        trace.step("pod", True, "any address is a pod's name (pods: insecure)")
        trace.because(f"it spells {address_text(address)}, and any address will do")
    elif running:
        trace.step("pod", True, f"Pod {running[0]} has {address_text(address)}")
        trace.because(f"Pod {labels[1]}/{running[0]} has this address")
    else:
        who = f"no running Pod in namespace {labels[1]}"
        trace.fail("pod", f"{who} has {address_text(address)} (pods: verified)")


def _reverse(trace: Trace) -> None:
    address = _address(trace.name)
    if address is None:
        trace.because("it is no whole address, only the way to some")
        return
    text = address_text(address)
    contributors = [
        one for one in trace.pipeline.zone.contributors(trace.name) if one.kind == "Service"
    ]
    if not contributors:
        trace.fail("address", f"no Service and no ready endpoint has the address {text}")
        return
    said = []
    for contributor in contributors[:_CITED]:
        service = trace.pipeline.state.get(contributor)
        if not isinstance(service, Service):
            continue
        trace.cite(service)
        if address in service.cluster_ips:
            said.append(
                f"{text} is the ClusterIP of Service {contributor.namespace}/{contributor.name}"
            )
        else:
            said.append(
                f"{text} is an endpoint of Service {contributor.namespace}/{contributor.name}"
            )
            _cite_slice(trace, contributor, address)
    for one in said:
        trace.step("address", True, one)
    trace.because(" and ".join(said[:3]))


def _cite_slice(trace: Trace, contributor: Key, address: bytes) -> None:
    for piece in trace.pipeline.state.slices_of(contributor):
        if any(address in endpoint.addresses for endpoint in piece.endpoints):
            trace.cite(piece)


def _address(name: Name) -> bytes | None:
    """The address whose reverse name this is; None when it is none, or not whole."""
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
