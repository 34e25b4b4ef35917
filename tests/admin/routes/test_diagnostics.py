"""Resolve, explain, and plan over HTTP."""

from __future__ import annotations

import pytest

from tests.admin.running import READ, Admin, manifest
from tests.cases.cluster import port, service

YAML = {"Content-Type": "application/yaml"}


async def test_an_explanation_has_verdict_steps_objects_change_and_search_list(api: Admin) -> None:
    api.apply(service("api", "10.96.0.99", ports=[port(443)]))
    await api.context.history.flush()
    found = await api.get("/api/v1/explain", name="api.prod")
    assert found["verdict"].startswith("api.prod.svc.cluster.local. A resolves to 10.96.0.99")
    assert found["changed"]["before"] == ["api.prod.svc.cluster.local. 5 IN A 10.96.0.13"]
    assert found["objects"][-1]["name"] == "api"
    assert {step["what"] for step in found["steps"]} >= {"zone", "namespace", "service"}
    assert len(found["search"]) == 4
    missing = await api.get("/api/v1/explain", name="wbe.prod.svc.cluster.local.")
    assert missing["nearest"][0]["name"] == "web.prod.svc.cluster.local."


@pytest.mark.parametrize("query", ["name=a..b", "name=web&type=NOPE", "name=web&client=x", ""])
async def test_an_invalid_question_is_a_bad_request(api: Admin, query: str) -> None:
    for path in ("explain", "resolve"):
        assert (await api.call("GET", f"/api/v1/{path}?{query}"))[0] == 400


async def test_resolve_without_workers_is_unavailable(api: Admin) -> None:
    status, body = await api.call("GET", "/api/v1/resolve?name=web.prod.svc.cluster.local")
    assert (status, body["detail"]) == (503, "no worker answers now")


async def test_a_plan_lists_changes_and_applies_nothing(api: Admin) -> None:
    serial = api.plane.pipeline.zone.serial
    body = manifest(service("api", "10.96.0.99", ports=[port(443, "https")]))
    status, found = await api.call("POST", "/api/v1/plan", READ, data=body, headers=YAML)
    assert status == 200, found
    assert found["breaks"]
    assert {row["name"] for row in found["appear"]} == {
        "_https._tcp.api.prod.svc.cluster.local.",
        "99.0.96.10.in-addr.arpa.",
    }
    assert found["change"][0]["before"] == ["10.96.0.13"]
    assert found["change"][0]["asked"] == 0
    assert api.plane.pipeline.zone.serial == serial
    mode = "/api/v1/plan?mode=delete"
    status, found = await api.call("POST", mode, READ, json=service("api", "10.96.0.13"))
    assert len(found["vanish"]) == 3


async def test_unreadable_manifests_are_unprocessable(api: Admin) -> None:
    for body in (b"{unfinished: [", b"kind: Service\nmetadata: {name: -}\n"):
        status, found = await api.call("POST", "/api/v1/plan", data=body, headers=YAML)
        assert (status, len(found["problems"])) == (422, 1), found
    status, found = await api.call("POST", "/api/v1/plan", data=b"", headers=YAML)
    assert (status, found["verdict"]) == (200, "No name would change.")
