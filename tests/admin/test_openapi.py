"""The description of the API is the API: routes, parameters, and what schemathesis finds."""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import schemathesis
import yaml
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from dnsd.admin.app import ROUTES
from dnsd.admin.routes.static import OPENAPI
from dnsd.admin.routing import Access, Route
from dnsd.transport.registry import TRANSPORTS
from tests.admin.running import READ, WRITE, Admin, admin
from tests.helpers import until

SPEC: dict[str, Any] = yaml.safe_load(OPENAPI.read_text(encoding="utf-8"))
API = [route for route in ROUTES if route.path not in ("/", "/ui/{file:.+}")]


def resolved(thing: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in thing:
        return thing
    found = SPEC
    for part in thing["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def operation(route: Route) -> dict[str, Any]:
    return SPEC["paths"][route.path][route.method.lower()]


def test_the_description_is_valid_openapi() -> None:
    validate(SPEC)


def test_routes_and_paths_agree() -> None:
    described = {
        (method.upper(), path)
        for path, item in SPEC["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == {(route.method, route.path) for route in API}


@pytest.mark.parametrize("route", API, ids=lambda route: f"{route.method} {route.path}")
def test_parameters_and_bodies_agree(route: Route) -> None:
    described = operation(route)
    given = [*described.get("parameters", ()), *SPEC["paths"][route.path].get("parameters", ())]
    parameters = [resolved(one) for one in given]
    in_query = {one["name"]: one for one in parameters if one["in"] == "query"}
    fields = {field.name: field for field in msgspec.structs.fields(route.query)}
    assert set(in_query) == set(fields)
    for name, field in fields.items():
        assert in_query[name].get("required", False) == field.required
    in_path = {one["name"] for one in parameters if one["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", route.path))
    body = resolved(described.get("requestBody", {"content": {}}))
    assert set(body["content"]) <= set(route.takes)
    assert bool(body["content"]) == bool(route.takes)
    assert (described.get("security") == []) == (route.access is Access.OPEN)
    assert described["summary"].endswith(".")


def test_a_query_is_resolved_over_each_transport_of_the_registry() -> None:
    (over,) = (
        one
        for one in SPEC["paths"]["/api/v1/resolve"]["get"]["parameters"]
        if one.get("name") == "over"
    )
    assert over["schema"]["enum"] == [transport.name for transport in TRANSPORTS]


def test_every_route_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    for route in API:
        assert f"`{route.method} {route.path}`" in page, route.path


async def test_the_description_is_served(tmp_path: Path) -> None:
    async with admin(tmp_path) as api:
        status, text = await api.call("GET", "/api/v1/openapi.yaml", READ)
        assert status == 200
        assert yaml.safe_load(text) == SPEC


# ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[Admin]:
    """The API in a thread with an event loop of its own, workers and all."""
    loop = asyncio.new_event_loop()
    found: list[Admin] = []

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with admin(Path(folder), workers=True) as made:
                found.append(made)
                await done.wait()

    async def main() -> None:
        await run()

    done = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    try:
        yield until(lambda: found and found[0])
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


schema = (
    schemathesis.openapi.from_dict(SPEC)
    .exclude(path_regex="events|stream")  # they send until the client closes them
    .exclude(path="/api/v1/loglevel")
)
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
)


@pytest.mark.slow
@schema.parametrize()
@hypothesis.settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    derandomize=True,
)
def test_each_response_conforms_to_the_description(case: Any, running: Admin) -> None:
    response = case.call(
        base_url=running.url, headers={"Authorization": f"Bearer {WRITE}"}, timeout=30
    )
    # The HTTP parser refuses a longer request line, in plain text, before dnsd knows the route.
    hypothesis.assume(len(response.request.url) < 8000)
    case.validate_response(response, checks=CHECKS)  # /resolve is 503: no worker answers here
