"""Services and namespaces over HTTP."""

from __future__ import annotations

from tests.admin.running import Admin, pages
from tests.cases.cluster import port, service


async def test_the_pages_hold_each_service_once(api: Admin) -> None:
    found = await pages(api, "/api/v1/services", "services", limit=5)
    there = api.plane.pipeline.state.counts()["Service"]
    assert len({(one["namespace"], one["name"]) for one in found}) == there
    headless = await pages(api, "/api/v1/services", "services", type="headless")
    assert {one["type"] for one in headless} == {"headless"}
    (web,) = await pages(api, "/api/v1/services", "services", namespace="staging")
    assert (web["name"], web["cluster_ips"]) == ("web", ["10.96.0.11"])


async def test_a_service_has_its_endpoints_slices_names_and_problems(api: Admin) -> None:
    api.apply(service("db", "None", ports=[port(5433, "sql")]))
    found = await api.get("/api/v1/services/prod/db")
    assert (found["ready"], found["endpoints"]) == (2, 3)
    assert [one["ready"] for one in found["addresses"]] == [True, True, False]
    assert found["slices"][0]["name"] == "db-a"
    assert "db-0.db.prod.svc.cluster.local." in {one["name"] for one in found["names"]}
    literal = await api.get("/api/v1/services/prod/literal")
    assert "is an address" in literal["problems"][0]
    assert (await api.call("GET", "/api/v1/services/prod/none"))[0] == 404


async def test_a_namespace_may_have_an_object_or_only_services(api: Admin) -> None:
    found = {one["name"]: one for one in (await api.get("/api/v1/namespaces"))["namespaces"]}
    assert found["empty"] == {"name": "empty", "services": 0, "exists": True, "labels": {}}
    assert (found["staging"]["services"], found["staging"]["exists"]) == (1, False)
