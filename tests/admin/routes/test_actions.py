"""Actions over HTTP: drain, reload, snapshot, flush, and log level."""

from __future__ import annotations

from urllib.error import HTTPError

import pytest

from tests.admin.running import Admin
from tests.admin.serving import Api
from tests.helpers import until


async def test_draining_ends_readiness_until_it_is_taken_back(api: Admin) -> None:
    drain = "/api/v1/drain"
    assert (await api.call("POST", drain, json={}))[1] == {"draining": True}
    status, text = await api.call("GET", "/readyz", None)
    assert (status, text) == (503, "draining: requested through the API\n")
    assert (await api.call("POST", drain, json={"draining": False}))[0] == 200
    assert "draining" not in (await api.call("GET", "/readyz", None))[1]


async def test_reload_works_and_a_missing_snapshot_or_worker_is_reported(api: Admin) -> None:
    assert (await api.call("POST", "/api/v1/reload", json={}))[0] == 200
    assert api.reloads == 1
    status, problem = await api.call("POST", "/api/v1/snapshot", json={})
    assert (status, "no snapshot is kept" in problem["detail"]) == (409, True)
    assert (await api.call("POST", "/api/v1/cache/flush", json={}))[0] == 503


async def test_the_log_level_is_set(api: Admin) -> None:
    status, body = await api.call("PUT", "/api/v1/loglevel", json={"level": "debug"})
    assert (status, body) == (200, {"level": "debug"})
    await api.call("PUT", "/api/v1/loglevel", json={"level": "info"})


def test_flush_without_forwarding_is_a_conflict(running: Api) -> None:
    with pytest.raises(HTTPError) as caught:
        running.call("/api/v1/cache/flush", "POST", {})
    assert caught.value.code == 409


def test_a_reload_is_logged(running: Api) -> None:
    assert running.call("/api/v1/reload", "POST", {}) == {"reloaded": True}
    until(lambda: running.server.logged("reloaded"))
