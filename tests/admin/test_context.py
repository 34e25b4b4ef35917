"""The context of the API: latencies of changes, probes, and observers, with real workers."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from structlog.testing import capture_logs

from dnsd.cluster.objects import EndpointSlice, Key
from dnsd.dns.names import name_from_text
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.change import Cause
from tests.admin.running import Admin, admin
from tests.helpers import eventually
from tests.zone.made import packed, piece, service


def triggered(one: EndpointSlice, at: datetime) -> EndpointSlice:
    text = at.isoformat().replace("+00:00", "Z")
    return msgspec.structs.replace(one, trigger_time=text)


def headless(api: Admin, address: str, at: datetime) -> None:
    """Feed a headless Service with one endpoint that the cluster changed at this time."""
    api.feed(service("new", headless=True))
    api.feed(triggered(piece(address, name="new-1", service="new"), at))


async def test_programming_latency_starts_at_the_trigger_time(tmp_path: Path) -> None:
    async with admin(tmp_path, workers=True) as api:
        await eventually(lambda: api.context.begun)
        context = api.context
        assert context.change_seconds.count == 0  # the names of the start are not changes
        headless(api, "10.1.0.1", datetime.now(UTC))
        await eventually(lambda: context.programming["headless"].count == 1)
        assert context.change_seconds.count == 2
        assert context.programming["headless"].total > 0
        assert context.programming["cluster_ip"].count == 0
        status, text = await api.call("GET", "/metrics", None)
        assert status == 200
        assert 'dnsd_programming_seconds_count{service_kind="headless"} 1.0' in text


async def test_trigger_times_before_the_start_and_invalid_ones_are_ignored(tmp_path: Path) -> None:
    async with admin(tmp_path, workers=True) as api:
        await eventually(lambda: api.context.begun)
        old = triggered(piece("10.1.0.2", name="new-1", service="new"), datetime(2020, 1, 1))
        api.feed(service("new", headless=True))
        api.feed(old)
        api.feed(msgspec.structs.replace(old, trigger_time="yesterday", endpoints=()))
        await eventually(lambda: api.context.change_seconds.count == 3)
        assert api.context.programming["headless"].count == 0


async def test_a_cause_from_a_wrong_wall_clock_does_not_delay_other_changes(tmp_path: Path) -> None:
    """A change is paired with its acknowledgment by the monotonic clock only."""
    async with admin(tmp_path, workers=True) as api:
        await eventually(lambda: api.context.begun)
        name = name_from_text("pinned.cluster.local.")
        record = RRset(name, int(Type.A), 5, packed("192.0.2.1"))
        later = Cause(Key("Record", "cluster.local.", "pinned/A"), at=time.time() + 3600)
        api.plane.place(later.key, [record], later)
        headless(api, "10.1.0.1", datetime.now(UTC))
        await eventually(lambda: api.context.programming["headless"].count == 1)


async def test_the_uptime_ignores_a_step_of_the_wall_clock(tmp_path: Path) -> None:
    async with admin(tmp_path) as api:
        api.plane.started_at += 3600
        assert (await api.get("/api/v1/status"))["uptime"] >= 0


async def test_a_history_that_cannot_follow_a_rebuild_is_logged(tmp_path: Path) -> None:
    async with admin(tmp_path) as api:
        await eventually(lambda: api.context.begun)
        await api.context.history.close()
        config = msgspec.structs.replace(api.plane.pipeline.zone.config, ttl=77)
        with capture_logs() as logs:
            api.plane.pipeline.reconfigure(config)
            await eventually(
                lambda: "record the rebuilt zone" in {line.get("task") for line in logs}
            )


async def test_an_open_worker_is_healthy_and_ready(tmp_path: Path) -> None:
    async with admin(tmp_path, workers=True) as api:
        assert (await api.call("GET", "/readyz", None)) == (200, "synced\n")
        assert (await api.call("GET", "/healthz", None))[0] == 200


async def test_a_worker_that_ends_is_replaced_and_the_reason_reported(tmp_path: Path) -> None:
    async with admin(tmp_path, workers=True) as api:
        (worker,) = api.context.workers()
        os.kill(worker.pid, signal.SIGKILL)
        await eventually(lambda: api.context.workers()[0].restarts == 1)
        await eventually(lambda: api.context.ready().ok)
        assert (await api.get("/api/v1/status"))["workers"][0]["last_end"]
