"""The history over HTTP."""

from __future__ import annotations

from tests.admin.running import Admin, pages
from tests.cases.cluster import port, service


async def test_changes_are_filtered_by_name_service_and_time(api: Admin) -> None:
    for i in range(1, 4):
        api.apply(service("api", f"10.96.9.{i}", ports=[port(443)]))
    found = await api.get("/api/v1/history", name="api.prod.svc.cluster.local", since="1h")
    assert [one["after"]["values"] for one in found["changes"]] == [
        ["10.96.9.3"],
        ["10.96.9.2"],
        ["10.96.9.1"],
    ]
    paged = await pages(api, "/api/v1/history", "changes", service="prod/api", limit=2)
    assert len([one for one in paged if one["name"].startswith("api.")]) >= 3
    for wrong in ("since=yesterday", "service=web", "name=a..b", "since=" + "9" * 30):
        assert (await api.call("GET", f"/api/v1/history?{wrong}"))[0] == 400
