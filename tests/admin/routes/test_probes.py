"""Probes, metrics, status, and sources over HTTP."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.admin.running import READ, Admin, admin
from tests.admin.serving import NAME, Api
from tests.helpers import until


async def test_before_the_first_sync_dnsd_is_not_ready(
    tmp_path: Path,
) -> None:
    async with admin(tmp_path, objects=False) as api:
        status, text = await api.call("GET", "/readyz", None)
        assert (status, text) == (
            503,
            "not synced: a source is not complete\n",
        )
        found = await api.get("/api/v1/explain", name="web.prod.svc.cluster.local.")
        assert found["rcode"] == "SERVFAIL"


async def test_the_status_has_objects_services_readiness_and_settings(api: Admin) -> None:
    found = await api.get("/api/v1/status")
    assert found["objects"]["Service"] == api.plane.pipeline.state.counts()["Service"]
    assert found["services"]["headless"] > 3
    assert found["ready"] == {"ok": False, "reason": "no worker answers"}
    assert found["settings"]["ttl"] == "5"
    (source,) = (await api.get("/api/v1/sources"))["sources"]
    assert source["name"] == "manifests"


async def test_prometheus_parses_the_metrics(api: Admin) -> None:
    status, text = await api.call("GET", "/metrics", None)
    assert status == 200
    found = {family.name for family in text_string_to_metric_families(text)}
    assert {"dnsd_queries", "dnsd_zone_serial", "dnsd_change_seconds"} <= found


async def test_no_response_contains_a_token(api: Admin) -> None:
    for path in ("/api/v1/status", "/metrics", "/"):
        _, body = await api.call("GET", path)
        assert READ not in str(body)


def test_a_synced_dnsd_is_ready_and_healthy(running: Api) -> None:
    assert running.text("/readyz") == "synced\n"
    assert running.text("/healthz") == "every process is alive\n"


def test_metrics_count_queries(running: Api) -> None:
    running.server.query(NAME)

    def counted() -> bool:
        found = re.search(
            r'dnsd_queries_total\{outcome="answer",rcode="NOERROR",transport="udp",type="A"\}'
            r" ([0-9.]+)",
            running.text("/metrics"),
        )
        return found is not None and float(found[1]) > 0

    until(counted)
    assert "dnsd_worker_up{" in running.text("/metrics")
