"""The desk: how long changes take, and what the probes say, with real workers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dnsd.cluster.objects import EndpointSlice
from tests.admin.running import admin
from tests.helpers import eventually
from tests.zone.made import piece, service


def triggered(one: EndpointSlice, at: datetime) -> EndpointSlice:
    text = at.isoformat().replace("+00:00", "Z")
    return msgspec.structs.replace(one, trigger_time=text)


async def test_programming_latency(tmp_path: Path) -> None:
    async with admin(tmp_path, workers=True) as api:
        await eventually(lambda: api.context.begun)
        context = api.context
        assert context.change_seconds.count == 0  # the start is no change
        now = datetime.now(UTC)
        api.feed(service("new", headless=True))
        api.feed(triggered(piece("10.1.0.1", name="new-1", service="new"), now))
        await eventually(lambda: context.programming["headless"].count == 1)
        assert context.change_seconds.count == 2
        assert 0 < context.programming["headless"].total < 20
        assert context.programming["cluster_ip"].count == 0
        old = triggered(piece("10.1.0.2", name="new-1", service="new"), datetime(2020, 1, 1))
        bad = msgspec.structs.replace(old, trigger_time="yesterday", endpoints=())
        api.feed(old)
        api.feed(bad)
        await eventually(lambda: context.change_seconds.count == 4)
        assert context.programming["headless"].count == 1
        status, text = await api.call("GET", "/metrics", None)
        assert status == 200
        assert 'dnsd_programming_seconds_count{service_kind="headless"} 1.0' in text
        assert (await api.call("GET", "/readyz", None)) == (200, "synced\n")
        assert (await api.call("GET", "/healthz", None))[0] == 200


async def test_a_worker_that_ends_is_noticed_and_replaced(tmp_path: Path) -> None:
    async with admin(tmp_path, workers=True) as api:
        (link,) = api.plane.supervisor._workers()
        link.kill("a test")
        await link.ended
        await eventually(lambda: api.context.ready().ok)
        (worker,) = (await api.get("/api/v1/status"))["workers"]
        assert worker["restarts"] == 1
        assert "a test" in worker["last_end"]
