"""Services and namespaces.

In `admin/routes/` (control plane: HTTP). Change here: what the API shows of a Service.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from dnsd.admin.records import shown
from dnsd.admin.routes.history import shown_entry
from dnsd.admin.routing import LabelText, Limit, Parameters, Problem, Request, Route, TypeText
from dnsd.cluster.objects import EndpointSlice, Key, Service
from dnsd.dns.addresses import address_text

_MAX_SHOWN = 2000  # endpoints, and names, of one Service
_CHANGES = 20


class ServicesQuery(Parameters, frozen=True):
    """A filter. `name`: part of the name of a Service; `cursor`: NAMESPACE/NAME."""

    namespace: LabelText = ""
    name: LabelText = ""
    type: TypeText = ""
    limit: Limit = 100
    cursor: Annotated[str, Meta(max_length=130)] = ""


async def services(request: Request) -> Any:
    """A page of Services, by namespace and name."""
    query, state = request.query, request.context.pipeline.state
    found = sorted(
        (one.namespace, one.name)
        for one in state.services(query.namespace or None)
        if query.name in one.name and query.type in ("", _type(one))
    )
    if query.cursor:
        namespace, _, name = query.cursor.partition("/")
        found = [one for one in found if one > (namespace, name)]
    page = found[: query.limit]
    return {
        "services": [_summary(request, _service(request, *one)) for one in page],
        "next": "/".join(page[-1]) if len(found) > len(page) else None,
    }


def _type(service: Service) -> str:
    return "headless" if service.headless else service.type


def _service(request: Request, namespace: str, name: str) -> Service:
    """The Service of this name. Raises Problem 404."""
    service = request.context.pipeline.state.get(Key("Service", namespace, name))
    if not isinstance(service, Service):
        raise Problem(404, f"Service {namespace}/{name} does not exist")
    return service


def _summary(request: Request, service: Service) -> dict[str, object]:
    pipeline = request.context.pipeline
    slices = pipeline.state.slices_of(service.key)
    endpoints = [
        one.ready or service.publish_not_ready for piece in slices for one in piece.endpoints
    ]
    failed = pipeline.failed.get(service.key)
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
        "problems": [*pipeline.problems.get(service.key, ()), *([failed] if failed else [])],
    }


async def service(request: Request) -> Any:
    """One Service: the object, its endpoints, its names, and its last changes."""
    context = request.context
    found = _service(request, request.path("namespace"), request.path("name"))
    slices = context.pipeline.state.slices_of(found.key)
    changes = await context.history.find(contributor=found.key, limit=_CHANGES)
    names = [one for one in context.pipeline.zone.contribution(found.key) if one.type]
    return {
        **_summary(request, found),
        "object": _fields(
            found, "labels", "uid", "version", "created", "origin", "publish_not_ready"
        ),
        "slices": [_fields(one, "name", "version", "origin", "trigger_time") for one in slices],
        "addresses": _endpoints(slices),
        "names": [shown(one) for one in names[:_MAX_SHOWN]],
        "changes": [shown_entry(one) for one in changes],
    }


def _fields(thing: object, *names: str) -> dict[str, object]:
    return {name: getattr(thing, name) for name in names}


def _endpoints(slices: tuple[EndpointSlice, ...]) -> list[dict[str, object]]:
    return [
        {
            "addresses": [address_text(address) for address in one.addresses],
            **_fields(one, "ready", "hostname", "pod", "node"),
            "slice": piece.name,
        }
        for piece in slices
        for one in piece.endpoints
    ][:_MAX_SHOWN]


async def namespaces(request: Request) -> Any:
    """All namespaces: those with a Namespace object, and those with Services only."""
    state = request.context.pipeline.state
    objects = {one.name: one for one in state.namespaces()}
    counts = dict.fromkeys(objects, 0) | state.service_counts()
    return {
        "namespaces": [
            {
                "name": name,
                "services": counts[name],
                "exists": name in objects,
                "labels": objects[name].labels if name in objects else {},
            }
            for name in sorted(counts)
        ]
    }


ROUTES = (
    Route("GET", "/api/v1/services", services, query=ServicesQuery),
    Route("GET", "/api/v1/services/{namespace}/{name}", service),
    Route("GET", "/api/v1/namespaces", namespaces),
)
