"""Existing names that the user may have meant instead of a missing one.

In `explain/` (control plane: pure). Change here: which names are suggested.

Candidates differ from the missing name in the part that is missing: the Service, its namespace, the
port, or the endpoint. Only names that exist are suggested.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.dns.names import text_of
from dnsd.explain.inside import endpoint_label, service_view
from dnsd.explain.nearest import nearest
from dnsd.explain.search_list import name_or_none
from dnsd.explain.trace import Target, Trace

_LIMIT = 8  # suggestions


class Near(Struct, frozen=True):
    """A name that exists, and why it is suggested."""

    name: str
    why: str


def suggestions(trace: Trace) -> tuple[Near, ...]:
    """Existing names close to the one that the trace did not find, best first."""
    if trace.target is None:
        return ()
    reasons: dict[str, str] = {}
    for name, why in _candidates(trace, trace.target):
        reasons.setdefault(name, why)
    zone = trace.pipeline.zone
    existing = (name for name in reasons if zone.exists(name_or_none(name) or b""))
    return tuple(Near(name, reasons[name]) for name in islice(existing, _LIMIT))


def _candidates(trace: Trace, target: Target) -> Iterator[tuple[str, str]]:
    if target.service:
        yield from _services(trace, target)
    if target.rest:
        yield from _below_service(trace, target)


def _services(trace: Trace, target: Target) -> Iterator[tuple[str, str]]:
    state, service = trace.pipeline.state, target.service
    prefix = f"{target.rest}." if target.rest else ""

    def name(service: str, namespace: str) -> str:
        return f"{prefix}{service}.{namespace}.svc.{text_of(target.apex)}"

    spaces = sorted({one.name for one in state.namespaces()} | set(state.service_counts()))
    for space in spaces:
        if space != target.namespace and state.get(Key("Service", space, service)):
            yield name(service, space), f"the same Service in namespace {space}"
    siblings = {one.name for one in state.services(target.namespace)}
    for near in nearest(service, siblings.__contains__, lambda: siblings):
        yield name(near, target.namespace), f"Service {near} in the same namespace"
    if not siblings:
        for near in nearest(target.namespace, set(spaces).__contains__, lambda: spaces):
            if state.get(Key("Service", near, service)):
                yield name(service, near), f"namespace {near}"


def _below_service(trace: Trace, target: Target) -> Iterator[tuple[str, str]]:
    """Ports and endpoints of the Service, if it exists."""
    view = service_view(trace, Key("Service", target.namespace, target.service))
    if view is None:
        return
    base = f"{target.service}.{target.namespace}.svc.{text_of(target.apex)}"
    if target.rest.startswith("_"):
        for port, protocol in view.ports():
            if port:
                yield f"_{port}._{protocol.lower()}.{base}", f"port {port}"
        return
    labels = {endpoint_label(one) for one in view.endpoints if one.ready}
    for near in nearest(target.rest, labels.__contains__, lambda: labels):
        yield f"{near}.{base}", "an endpoint of this Service"
