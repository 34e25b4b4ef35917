"""Pinned records over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.admin.running import Admin, admin
from tests.admin.serving import Api
from tests.helpers import until

RECORDS = "/api/v1/zones/cluster.local/records"


class TestPinnedRecords:
    PATH = "/api/v1/records/cluster.local/api/A"
    BODY: ClassVar[dict[str, Any]] = {"ttl": 30, "values": ["192.0.2.7"]}

    async def test_a_record_is_created_replaced_and_deleted(self, api: Admin) -> None:
        status, made = await api.call("PUT", self.PATH, json=self.BODY)
        assert (status, made["name"], made["by"]) == (201, "api.cluster.local.", "writer")
        assert (await api.call("PUT", self.PATH, json=self.BODY))[0] == 200
        assert (await api.get(self.PATH))["values"] == ["192.0.2.7"]
        absolute = "/api/v1/records/cluster.local./api.cluster.local./a"
        assert (await api.get(absolute))["ttl"] == 30
        found = await api.get("/api/v1/explain", name="api.cluster.local.")
        assert "pinned by hand" in found["verdict"]
        (listed,) = (await api.get("/api/v1/records"))["records"]
        assert listed["conflicts"] == []
        assert (await api.call("DELETE", self.PATH))[0] == 200
        assert (await api.call("DELETE", self.PATH))[0] == 404
        assert (await api.call("GET", self.PATH))[0] == 404
        await api.context.history.flush()
        past = await api.get("/api/v1/history", name="api.cluster.local.")
        assert [one["cause"]["origin"] for one in past["changes"]] == ["unpinned", "pinned"]

    async def test_a_name_of_a_service_requires_force(self, api: Admin) -> None:
        path = "/api/v1/records/cluster.local/web.prod.svc/A"
        status, problem = await api.call("PUT", path, json=self.BODY)
        assert (status, problem["owners"]) == (409, ["Service prod/web"])
        assert problem["forceable"] is True
        status, made = await api.call("PUT", path + "?force=true", json=self.BODY)
        assert (status, made["conflicts"]) == (201, ["Service prod/web"])
        found = await api.get("/api/v1/explain", name="web.prod.svc.cluster.local.")
        assert "conflict" in {step["what"] for step in found["steps"]}

    @pytest.mark.parametrize(
        ("path", "body", "expected"),
        [
            (PATH, {"ttl": 30, "values": ["not an address"]}, 422),
            (PATH, {"ttl": -1, "values": ["192.0.2.7"]}, 422),
            (PATH, {"ttl": 30, "values": []}, 422),
            (PATH, {"ttl": 30}, 422),
            ("/api/v1/records/cluster.local/api/SOA", BODY, 422),
            ("/api/v1/records/other.example/api/A", BODY, 404),
            ("/api/v1/records/cluster.local/api.other.example./A", BODY, 422),
            ("/api/v1/records/cluster.local/ns.dns/A", BODY, 409),
        ],
    )
    async def test_invalid_records_are_refused(
        self, api: Admin, path: str, body: dict[str, Any], expected: int
    ) -> None:
        status, problem = await api.call("PUT", path, json=body)
        assert (status, problem["status"]) == (expected, expected), problem
        assert (await api.get("/api/v1/records"))["records"] == []

    async def test_records_survive_a_restart(self, tmp_path: Path) -> None:
        one, other = tmp_path / "one", tmp_path / "other"
        one.mkdir()
        other.mkdir()
        state = str(tmp_path / "state")
        async with admin(one, state_dir=state) as api:
            assert (await api.call("PUT", self.PATH, json=self.BODY))[0] == 201
        async with admin(other, state_dir=state) as api:
            assert (await api.get(self.PATH))["values"] == ["192.0.2.7"]
            assert (await api.get(RECORDS, name="api.cl"))["records"]


def test_a_pinned_record_is_answered_until_it_is_deleted(running: Api) -> None:
    path = "/api/v1/records/cluster.local/pinned/A"
    running.call(path, "PUT", {"ttl": 7, "values": ["192.0.2.7"]})
    until(lambda: running.server.values("pinned.cluster.local") == ["192.0.2.7"])
    running.call(path, "DELETE")
    until(lambda: running.server.values("pinned.cluster.local") == [])
