"""The resources over HTTP: zones, Services, history, explain, plan, records, actions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import dns.zone
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dnsd.admin.names import NameIndex, key_of, name_of_key
from dnsd.cluster.objects import Key
from dnsd.dns.names import name_from_text
from tests.admin.running import READ, Admin, admin, manifest
from tests.answer.building import pipeline_of
from tests.cases import cluster
from tests.cases.cluster import port, service
from tests.helpers import eventually

JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}
RECORDS = "/api/v1/zones/cluster.local/records"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Admin]:
    async with admin(tmp_path) as made:
        await eventually(lambda: made.context.begun)
        await made.context.history.flush()
        yield made


async def pages(api: Admin, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
    """Everything, page by page."""
    found: list[dict[str, Any]] = []
    for _ in range(1000):
        body = await api.get(path, **params)
        found += body[key]
        if body["next"] is None:
            return found
        params["cursor"] = body["next"]
    raise AssertionError("it never ends")


class TestZones:
    async def test_all_zones(self, api: Admin) -> None:
        found = {one["name"]: one for one in (await api.get("/api/v1/zones"))["zones"]}
        assert found["cluster.local."]["kind"] == "forward"
        assert found["10.in-addr.arpa."]["kind"] == "reverse"
        names = api.plane.pipeline.zone
        assert sum(one["names"] for one in found.values()) == len(names)

    async def test_records_page_by_page_are_all_of_them(self, api: Admin) -> None:
        zone = api.plane.pipeline.zone
        found = await pages(api, RECORDS, "records", limit=7)
        assert len({(one["name"], one["type"]) for one in found}) == len(found)
        apex = name_from_text("cluster.local.")
        wanted = [one for one in zone.rrsets() if zone.zone_of(one.name) == apex]
        assert len(found) == len(wanted)
        assert found[0]["type"] == "SOA"

    async def test_filters(self, api: Admin) -> None:
        async def names(**params: Any) -> set[str]:
            return {one["name"] for one in await pages(api, RECORDS, "records", **params)}

        assert await names(name="web.st") == {"web.staging.svc.cluster.local."}
        assert await names(name="WEB.ST") == {"web.staging.svc.cluster.local."}
        assert all(".staging." in name for name in await names(namespace="staging"))
        assert {name.rpartition("db.prod")[1] for name in await names(service="db")} == {"db.prod"}
        typed = await pages(api, RECORDS, "records", type="cname")
        assert {one["type"] for one in typed} == {"CNAME"}
        assert await names(name="nothing-of-that-name") == set()
        all_four = {"name": "web.prod", "type": "A", "namespace": "prod", "service": "web"}
        web, *endpoints = await pages(api, RECORDS, "records", limit=1, **all_four)
        assert all(".web.prod." in one["name"] for one in endpoints)
        assert web["owners"] == ["Service prod/web"]
        assert web["values"] == ["10.96.0.10"]

    async def test_a_zone_file_that_somebody_else_reads(self, api: Admin) -> None:
        status, text = await api.call("GET", RECORDS + "?format=zone")
        assert status == 200
        zone = dns.zone.from_text(text, "cluster.local.", relativize=False)
        assert zone.find_rdataset("web.prod.svc.cluster.local.", "A")[0].to_text() == "10.96.0.10"

    async def test_pages_go_on_while_names_change(self, api: Admin) -> None:
        first = await api.get(RECORDS, limit=3)
        api.apply(service("aaa", "10.96.3.3"), service("zzz", "10.96.3.4", ns="staging"))
        api.feed(Key("Service", "prod", "web"))
        rest = await pages(api, RECORDS, "records", limit=50, cursor=first["next"])
        names = [one["name"] for one in first["records"] + rest]
        assert "zzz.staging.svc.cluster.local." in names
        assert "web.prod.svc.cluster.local." not in names

    async def test_cursors_that_are_not_ours(self, api: Admin) -> None:
        for cursor in ("!", "AAAA", "x" * 20, "BGFycGE="):
            status, _ = await api.call("GET", RECORDS, params={"cursor": cursor})
            assert status == 400, cursor


class TestIndex:
    async def test_it_follows_every_change(self) -> None:
        pipeline = pipeline_of(cluster.objects())
        index = NameIndex(pipeline)
        await index.ready()
        for plain in cluster.objects():
            meta = plain["metadata"]
            key = Key(plain["kind"], meta.get("namespace", ""), meta["name"])
            pipeline.feed(type_batch(key), 0.0)
        assert index._keys == sorted(map(key_of, pipeline.zone.names()))

    async def test_a_zone_built_anew(self) -> None:
        pipeline = pipeline_of(cluster.objects())
        index = NameIndex(pipeline)
        await index.ready()
        pipeline.reconfigure(type(pipeline.zone.config)(zones=(name_from_text("other."),)))
        await index.ready()
        assert index._keys == sorted(map(key_of, pipeline.zone.names()))

    def test_keys(self) -> None:
        for text in (".", "a.", "web.default.svc.cluster.local.", "a\\.b.c."):
            assert name_of_key(key_of(name_from_text(text))) == name_from_text(text)
        for key in (b"\x05ab", b"\x00", b"\x40" + b"a" * 64):
            with pytest.raises(ValueError, match="not the key"):
                name_of_key(key)


def type_batch(key: Key) -> Any:
    from dnsd.sources.source import Batch

    return Batch((key,))


class TestServices:
    async def test_all_of_them_by_page(self, api: Admin) -> None:
        found = await pages(api, "/api/v1/services", "services", limit=5)
        there = api.plane.pipeline.state.counts()["Service"]
        assert len({(one["namespace"], one["name"]) for one in found}) == there
        headless = await pages(api, "/api/v1/services", "services", type="headless")
        assert {one["type"] for one in headless} == {"headless"}
        (web,) = await pages(api, "/api/v1/services", "services", namespace="staging")
        assert (web["name"], web["cluster_ips"]) == ("web", ["10.96.0.11"])

    async def test_one_of_them(self, api: Admin) -> None:
        api.apply(service("db", "None", ports=[port(5433, "sql")]))
        found = await api.get("/api/v1/services/prod/db")
        assert (found["ready"], found["endpoints"]) == (2, 3)
        assert [one["ready"] for one in found["addresses"]] == [True, True, False]
        assert found["slices"][0]["name"] == "db-a"
        assert "db-0.db.prod.svc.cluster.local." in {one["name"] for one in found["names"]}
        literal = await api.get("/api/v1/services/prod/literal")
        assert "is an address" in literal["problems"][0]
        assert (await api.call("GET", "/api/v1/services/prod/none"))[0] == 404

    async def test_namespaces(self, api: Admin) -> None:
        found = {one["name"]: one for one in (await api.get("/api/v1/namespaces"))["namespaces"]}
        assert found["empty"] == {"name": "empty", "services": 0, "exists": True, "labels": {}}
        assert (found["staging"]["services"], found["staging"]["exists"]) == (1, False)


class TestWhy:
    async def test_explain(self, api: Admin) -> None:
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
    async def test_what_cannot_be_asked(self, api: Admin, query: str) -> None:
        for path in ("explain", "resolve"):
            assert (await api.call("GET", f"/api/v1/{path}?{query}"))[0] == 400

    async def test_resolve_without_workers(self, api: Admin) -> None:
        status, body = await api.call("GET", "/api/v1/resolve?name=web.prod.svc.cluster.local")
        assert (status, body["detail"]) == (503, "no worker answers now")

    async def test_history(self, api: Admin) -> None:
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

    async def test_plan(self, api: Admin) -> None:
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

    async def test_plans_that_cannot_be_read(self, api: Admin) -> None:
        for body in (b"{unfinished: [", b"kind: Service\nmetadata: {name: -}\n"):
            status, found = await api.call("POST", "/api/v1/plan", data=body, headers=YAML)
            assert (status, len(found["problems"])) == (422, 1), found
        status, found = await api.call("POST", "/api/v1/plan", data=b"", headers=YAML)
        assert (status, found["verdict"]) == (200, "No name would change.")


class TestRecords:
    PATH = "/api/v1/records/cluster.local/api/A"
    BODY: ClassVar[dict[str, Any]] = {"ttl": 30, "values": ["192.0.2.7"]}

    async def test_the_life_of_one(self, api: Admin) -> None:
        status, made = await api.call("PUT", self.PATH, json=self.BODY)
        assert (status, made["name"], made["by"]) == (201, "api.cluster.local.", "writer")
        assert (await api.call("PUT", self.PATH, json=self.BODY))[0] == 200
        assert (await api.get(self.PATH))["values"] == ["192.0.2.7"]
        absolute = "/api/v1/records/cluster.local./api.cluster.local./a"
        assert (await api.get(absolute))["ttl"] == 30
        why = await api.get("/api/v1/explain", name="api.cluster.local.")
        assert "pinned by hand" in why["verdict"]
        (listed,) = (await api.get("/api/v1/records"))["records"]
        assert listed["conflicts"] == []
        assert (await api.call("DELETE", self.PATH))[0] == 200
        assert (await api.call("DELETE", self.PATH))[0] == 404
        assert (await api.call("GET", self.PATH))[0] == 404
        await api.context.history.flush()
        past = await api.get("/api/v1/history", name="api.cluster.local.")
        assert [one["cause"]["origin"] for one in past["changes"]] == ["unpinned", "pinned"]

    async def test_a_service_in_the_way(self, api: Admin) -> None:
        path = "/api/v1/records/cluster.local/web.prod.svc/A"
        status, problem = await api.call("PUT", path, json=self.BODY)
        assert (status, problem["owners"]) == (409, ["Service prod/web"])
        assert problem["forceable"] is True
        status, made = await api.call("PUT", path + "?force=true", json=self.BODY)
        assert (status, made["conflicts"]) == (201, ["Service prod/web"])
        why = await api.get("/api/v1/explain", name="web.prod.svc.cluster.local.")
        assert "conflict" in {step["what"] for step in why["steps"]}

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
    async def test_what_is_refused(
        self, api: Admin, path: str, body: dict[str, Any], expected: int
    ) -> None:
        status, problem = await api.call("PUT", path, json=body)
        assert (status, problem["status"]) == (expected, expected), problem
        assert (await api.get("/api/v1/records"))["records"] == []

    async def test_they_outlive_a_restart(self, tmp_path: Path) -> None:
        one, other = tmp_path / "one", tmp_path / "other"
        one.mkdir()
        other.mkdir()
        state = str(tmp_path / "state")
        async with admin(one, state_dir=state) as api:
            assert (await api.call("PUT", self.PATH, json=self.BODY))[0] == 201
        async with admin(other, state_dir=state) as api:
            assert (await api.get(self.PATH))["values"] == ["192.0.2.7"]
            assert (await api.get(RECORDS, name="api.cl"))["records"]


class TestActions:
    async def test_drain_and_readiness(self, api: Admin) -> None:
        drain = "/api/v1/drain"
        assert (await api.call("POST", drain, json={}))[1] == {"draining": True}
        status, text = await api.call("GET", "/readyz", None)
        assert (status, text) == (503, "draining: requested through the API\n")
        assert (await api.call("POST", drain, json={"draining": False}))[0] == 200
        assert "draining" not in (await api.call("GET", "/readyz", None))[1]

    async def test_reload_snapshot_flush(self, api: Admin) -> None:
        assert (await api.call("POST", "/api/v1/reload", json={}))[0] == 200
        assert api.reloads == 1
        status, problem = await api.call("POST", "/api/v1/snapshot", json={})
        assert (status, "no snapshot is kept" in problem["detail"]) == (409, True)
        assert (await api.call("POST", "/api/v1/cache/flush", json={}))[0] == 503

    async def test_loglevel(self, api: Admin) -> None:
        status, body = await api.call("PUT", "/api/v1/loglevel", json={"level": "debug"})
        assert (status, body) == (200, {"level": "debug"})
        await api.call("PUT", "/api/v1/loglevel", json={"level": "info"})


class TestStatus:
    async def test_before_anything_is_known(self, tmp_path: Path) -> None:
        async with admin(tmp_path, objects=False) as api:
            status, text = await api.call("GET", "/readyz", None)
            assert (status, text) == (
                503,
                "not synced: a source is not complete\n",
            )
            why = await api.get("/api/v1/explain", name="web.prod.svc.cluster.local.")
            assert why["rcode"] == "SERVFAIL"

    async def test_status_and_sources(self, api: Admin) -> None:
        found = await api.get("/api/v1/status")
        assert found["objects"]["Service"] == api.plane.pipeline.state.counts()["Service"]
        assert found["services"]["headless"] > 3
        assert found["ready"] == {"ok": False, "reason": "no worker answers"}
        assert found["settings"]["ttl"] == "5"
        (source,) = (await api.get("/api/v1/sources"))["sources"]
        assert source["name"] == "manifests"

    async def test_metrics_are_metrics(self, api: Admin) -> None:
        status, text = await api.call("GET", "/metrics", None)
        assert status == 200
        found = {family.name for family in text_string_to_metric_families(text)}
        assert {"dnsd_queries", "dnsd_zone_serial", "dnsd_change_seconds"} <= found

    async def test_no_secret_is_shown(self, api: Admin) -> None:
        for path in ("/api/v1/status", "/metrics", "/"):
            _, body = await api.call("GET", path)
            assert READ not in str(body)


class TestEvents:
    async def read(self, api: Admin, path: str, until: str, **headers: str) -> str:
        """What a stream says until it has said something."""
        said = ""
        async with api.client.get(
            api.url + path, headers={"Authorization": f"Bearer {READ}", **headers}
        ) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            if "live" not in headers:
                api.apply(service("new", "10.96.5.5"))
            async with asyncio.timeout(20):
                async for chunk in response.content.iter_any():
                    said += chunk.decode()
                    if until in said:
                        return said
        raise AssertionError(said)

    async def test_a_change_of_the_zone(self, api: Admin) -> None:
        said = await self.read(api, "/api/v1/events", "event: change")
        assert said.startswith(f"id: {api.plane.pipeline.zone.serial - 1}\nevent: hello\n")
        assert '"owner":"Service prod/new"' in said
        await eventually(lambda: len(api.context.events) == 0)

    async def test_who_comes_back_is_told_what_was_missed(self, api: Admin) -> None:
        serial = api.plane.pipeline.zone.serial
        api.apply(service("first", "10.96.5.6"))
        said = await self.read(api, f"/api/v1/events?since={serial}", "prod/new")
        assert said.index("prod/first") < said.index("prod/new")
        said = await self.read(
            api, "/api/v1/events", "prod/first", **{"Last-Event-ID": str(serial)}
        )
        assert "event: reset" not in said
        assert "event: reset" in await self.read(api, "/api/v1/events?since=5", "reset")

    async def test_not_too_many(self, api: Admin) -> None:
        from dnsd.admin.events import MAX_LISTENERS

        headers = {"Authorization": f"Bearer {READ}"}
        opened = [
            await api.client.get(api.url + "/api/v1/events", headers=headers)
            for _ in range(MAX_LISTENERS)
        ]
        assert (await api.call("GET", "/api/v1/events"))[0] == 503
        for response in opened:
            response.close()
        await eventually(lambda: len(api.context.events) == 0)
