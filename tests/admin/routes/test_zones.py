"""Zones and records: pages, filters, cursors, and zone files."""

from __future__ import annotations

from typing import Any

import dns.zone

from dnsd.cluster.objects import Key
from dnsd.dns.names import name_from_text
from tests.admin.running import Admin, pages
from tests.cases.cluster import service

RECORDS = "/api/v1/zones/cluster.local/records"


async def test_each_zone_has_its_kind_and_its_names(api: Admin) -> None:
    found = {one["name"]: one for one in (await api.get("/api/v1/zones"))["zones"]}
    assert found["cluster.local."]["kind"] == "forward"
    assert found["10.in-addr.arpa."]["kind"] == "reverse"
    names = api.plane.pipeline.zone
    assert sum(one["names"] for one in found.values()) == len(names)


async def test_the_pages_hold_each_record_once_and_start_with_the_soa(api: Admin) -> None:
    zone = api.plane.pipeline.zone
    found = await pages(api, RECORDS, "records", limit=7)
    assert len({(one["name"], one["type"]) for one in found}) == len(found)
    apex = name_from_text("cluster.local.")
    wanted = [one for one in zone.rrsets() if zone.zone_of(one.name) == apex]
    assert len(found) == len(wanted)
    assert found[0]["type"] == "SOA"


async def test_filters_are_combined(api: Admin) -> None:
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


async def test_another_parser_reads_the_zone_file(api: Admin) -> None:
    status, text = await api.call("GET", RECORDS + "?format=zone")
    assert status == 200
    zone = dns.zone.from_text(text, "cluster.local.", relativize=False)
    assert zone.find_rdataset("web.prod.svc.cluster.local.", "A")[0].to_text() == "10.96.0.10"


async def test_pages_continue_while_names_change(api: Admin) -> None:
    first = await api.get(RECORDS, limit=3)
    api.apply(service("aaa", "10.96.3.3"), service("zzz", "10.96.3.4", ns="staging"))
    api.feed(Key("Service", "prod", "web"))
    rest = await pages(api, RECORDS, "records", limit=50, cursor=first["next"])
    names = [one["name"] for one in first["records"] + rest]
    assert "zzz.staging.svc.cluster.local." in names
    assert "web.prod.svc.cluster.local." not in names


async def test_a_foreign_cursor_is_refused(api: Admin) -> None:
    for cursor in ("!", "AAAA", "x" * 20, "BGFycGE="):
        status, _ = await api.call("GET", RECORDS, params={"cursor": cursor})
        assert status == 400, cursor
