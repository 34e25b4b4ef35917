"""Services and namespaces, as dnsd sees them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from dnsd.admin.records import shown
from dnsd.admin.routes.history import shown_entry
from dnsd.admin.routing import Call, Problem, Route
from dnsd.cluster.objects import EndpointSlice, Key, Service
from dnsd.dns.addresses import address_text

_ENDPOINTS = 2000  # of one Service that are shown
_CHANGES = 20


class ServicesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked for. `name`: part of a Service's name; `cursor`: NAMESPACE/NAME."""

    namespace: Annotated[str, Meta(max_length=63)] = ""
    name: Annotated[str, Meta(max_length=63)] = ""
    type: Annotated[str, Meta(max_length=20)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Annotated[str, Meta(max_length=130)] = ""


async def services(call: Call) -> Any:
    """A page of Services, by namespace and name."""
    query, context = call.query, call.context
    state = context.pipeline.state
    found = sorted(
        (one.namespace, one.name)
        for one in state.services(query.namespace or None)
        if query.name in one.name and (not query.type or _type(one) == query.type)
    )
    if query.cursor:
        namespace, _, name = query.cursor.partition("/")
        found = [one for one in found if one > (namespace, name)]
    page = found[: query.limit]
    return {
        "services": [_summary(call, Key("Service", *one)) for one in page],
        "next": "/".join(page[-1]) if len(found) > len(page) else None,
    }


def _type(service: Service) -> str:
    return "headless" if service.headless else service.type


def _summary(call: Call, key: Key) -> dict[str, object]:
    pipeline = call.context.pipeline
    service = pipeline.state.get(key)
    if not isinstance(service, Service):
        raise Problem(404, f"there is no Service {key.namespace}/{key.name}")
    slices = pipeline.state.slices_of(key)
    endpoints = [
        one.ready or service.publish_not_ready for piece in slices for one in piece.endpoints
    ]
    return {
        "namespace": service.namespace,
        "name": service.name,
        "type": _type(service),
        "cluster_ips": [address_text(one) for one in service.cluster_ips],
        "allocated": service.allocated,
        "external_name": service.external_name,
        "ports": [
            {"name": port.name, "protocol": port.protocol, "port": port.port}
            for port in service.ports
        ],
        "ready": sum(endpoints),
        "endpoints": len(endpoints),
        "problems": _problems(call, key),
    }


def _problems(call: Call, key: Key) -> list[str]:
    pipeline = call.context.pipeline
    failed = pipeline.failed.get(key)
    return [*pipeline.problems.get(key, ()), *([failed] if failed else [])]


async def service(call: Call) -> Any:
    """One Service: the object, its endpoints, its names, its last changes."""
    context = call.context
    key = Key("Service", call.path("namespace"), call.path("name"))
    summary = _summary(call, key)
    thing = context.pipeline.state.get(key)
    slices = context.pipeline.state.slices_of(key)
    changes = await context.history.find(contributor=key, limit=_CHANGES)
    assert isinstance(thing, Service)  # noqa: S101 - _summary has seen it
    return {
        **summary,
        "object": {
            "labels": thing.labels,
            "uid": thing.uid,
            "version": thing.version,
            "created": thing.created,
            "origin": thing.origin,
            "publish_not_ready": thing.publish_not_ready,
        },
        "slices": [
            {
                "name": piece.name,
                "version": piece.version,
                "origin": piece.origin,
                "trigger_time": piece.trigger_time,
            }
            for piece in slices
        ],
        "addresses": _endpoints(slices),
        "names": [shown(one) for one in context.pipeline.zone.contribution(key) if one.type][
            :_ENDPOINTS
        ],
        "changes": [shown_entry(one) for one in changes],
    }


def _endpoints(slices: tuple[EndpointSlice, ...]) -> list[dict[str, object]]:
    return [
        {
            "addresses": [address_text(address) for address in one.addresses],
            "ready": one.ready,
            "hostname": one.hostname,
            "pod": one.pod,
            "node": one.node,
            "slice": piece.name,
        }
        for piece in slices
        for one in piece.endpoints
    ][:_ENDPOINTS]


async def namespaces(call: Call) -> Any:
    """All namespaces: those with an object, and those that only have Services."""
    state = call.context.pipeline.state
    there = {one.name: one for one in state.namespaces()}
    counts = dict.fromkeys(there, 0) | state.service_counts()
    return {
        "namespaces": [
            {
                "name": name,
                "services": counts[name],
                "exists": name in there,
                "labels": there[name].labels if name in there else {},
            }
            for name in sorted(counts)
        ]
    }


ROUTES = (
    Route("GET", "/api/v1/services", services, query=ServicesQuery),
    Route("GET", "/api/v1/services/{namespace}/{name}", service),
    Route("GET", "/api/v1/namespaces", namespaces),
)
