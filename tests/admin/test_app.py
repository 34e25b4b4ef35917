"""The gate: tokens, hosts, origins, and bounds, in front of every route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dnsd.admin.app import MAX_CONNECTIONS, ROUTES
from dnsd.admin.routing import Access, Route
from tests.admin.running import READ, WRITE, Admin, admin
from tests.helpers import eventually

PARTS = {
    "{zone}": "cluster.local",
    "{name}": "web",
    "{type}": "A",
    "{namespace}": "prod",
    "{file:.+}": "app.js",
}


def filled(route: Route) -> str:
    path = route.path
    for part, value in PARTS.items():
        path = path.replace(part, value)
    assert "{" not in path
    return path


GUARDED = [route for route in ROUTES if route.access is not Access.OPEN]
WRITES = [route for route in ROUTES if route.access is Access.WRITE]


class TestTokens:
    async def test_every_guarded_route_requires_a_token(self, api: Admin) -> None:
        for route in GUARDED:
            for token in (None, "", "not-a-token-at-all", READ[:-1], READ + "x"):
                status, body = await api.call(route.method, filled(route), token)
                assert status == 401, (route.path, token)
                assert body["title"] == "Unauthorized"

    async def test_writes_require_the_role_write(self, api: Admin) -> None:
        assert len(WRITES) >= 7
        for route in WRITES:
            status, body = await api.call(route.method, filled(route), READ, json={})
            assert status == 403, route.path
            assert "has the role read; write is required" in body["detail"]
        assert await api.get("/api/v1/records") == {"records": [], "kept_on_disk": True}

    async def test_probes_and_metrics_require_no_token(self, api: Admin) -> None:
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            status, _ = await api.call("GET", path, None)
            assert status in (200, 503), path
            assert await api.call("HEAD", path, None) == (status, ""), path

    async def test_an_unknown_path_is_404_only_with_a_token(self, api: Admin) -> None:
        for path in ("/api/v1/nothing", "/nothing", "/api/v1/records/a/b", "/api/v2"):
            assert (await api.call("GET", path, None))[0] == 401, path
            assert (await api.call("GET", path))[0] == 404, path
        assert (await api.call("POST", "/api/v1/zones", None))[0] == 401
        assert (await api.call("POST", "/api/v1/zones"))[0] == 405

    async def test_a_changed_token_file_takes_effect(self, api: Admin, tmp_path: Path) -> None:
        (tmp_path / "tokens").write_text("other read another-token-of-length\n")
        assert (await api.call("GET", "/api/v1/zones", READ))[0] == 401
        assert (await api.call("GET", "/api/v1/zones", "another-token-of-length"))[0] == 200

    async def test_anonymous_access_is_read_only(self, tmp_path: Path) -> None:
        async with admin(tmp_path, admin_anonymous_read=True) as api:
            assert (await api.call("GET", "/api/v1/zones", None))[0] == 200
            assert (await api.call("GET", "/api/v1/zones", "wrong-token-of-length"))[0] == 401
            for route in WRITES:
                status, _ = await api.call(route.method, filled(route), None, json={})
                assert status == 401, route.path


class TestOrigins:
    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:80", "", "localhost.evil", "::"]
    )
    async def test_other_hosts_are_refused(self, api: Admin, host: str) -> None:
        for path in ("/api/v1/zones", "/", "/metrics", "/readyz"):
            status, body = await api.call("GET", path, headers={"Host": host})
            assert status in (400, 421), (path, body)

    async def test_addresses_and_admin_hosts_are_allowed(self, tmp_path: Path) -> None:
        async with admin(tmp_path, admin_hosts=("dnsd.example",)) as api:
            for host in ("localhost", "LOCALHOST:8053", "127.0.0.1:9", "[::1]:8", "10.1.2.3",
                         "dnsd.example", "DNSD.example.:8053"):  # fmt: skip
                status, body = await api.call("GET", "/api/v1/zones", headers={"Host": host})
                assert status == 200, (host, body)

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        ],
    )
    async def test_requests_of_other_sites_are_refused(
        self, api: Admin, headers: dict[str, str]
    ) -> None:
        assert (await api.call("GET", "/api/v1/zones", headers=headers))[0] == 403
        status, _ = await api.call("POST", "/api/v1/drain", json={}, headers=headers)
        assert status == 403
        assert not api.context.draining

    async def test_the_own_page_and_links_to_it_are_allowed(self, api: Admin) -> None:
        headers = {"Origin": api.url, "Sec-Fetch-Site": "same-origin"}
        assert (await api.call("GET", "/api/v1/zones", headers=headers))[0] == 200
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert (await api.call("GET", "/", None, headers=link))[0] == 200

    async def test_every_response_has_the_security_headers(self, api: Admin) -> None:
        for path in ("/", "/metrics", "/api/v1/zones", "/nothing", "/api/v1/zones?x=1"):
            async with api.client.get(
                api.url + path, headers={"Authorization": f"Bearer {READ}"}
            ) as response:
                policy = response.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'"), path
                assert "unsafe" not in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Referrer-Policy"] == "no-referrer"
                assert "Set-Cookie" not in response.headers
                assert "Access-Control-Allow-Origin" not in response.headers
                assert response.headers["Server"] == "dnsd"


class TestBounds:
    async def test_writes_require_json(self, api: Admin) -> None:
        for route in WRITES:
            if not route.takes:
                continue
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
                status, _ = await api.call(
                    route.method, filled(route), data=b"{}", headers={"Content-Type": kind}
                )
                assert status == 415, (route.path, kind)

    async def test_large_and_invalid_bodies_are_refused(self, api: Admin) -> None:
        json = {"Content-Type": "application/json"}
        path = "/api/v1/loglevel"
        big = b'{"level":"' + b"x" * 100_000 + b'"}'
        assert (await api.call("PUT", path, data=big, headers=json))[0] == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 10_000

        assert (await api.call("PUT", path, data=chunks(), headers=json))[0] == 413
        for body, expected in (
            (b"{", 400),
            (b"\xff", 400),
            (b"[" * 50_000, 422),
            (b"[]", 422),
            (b'{"level": "loud"}', 422),
            (b'{"level": "info", "more": 1}', 422),
        ):
            status, problem = await api.call("PUT", path, data=body, headers=json)
            assert (status, problem["status"]) == (expected, expected), body[:20]

    @pytest.mark.parametrize(
        "query",
        ["x=1", "limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "name=" + "x" * 300,
         "&".join(f"a{i}=1" for i in range(50)), "cursor=!", "format=xml"],
    )  # fmt: skip
    async def test_invalid_parameters_are_bad_requests(self, api: Admin, query: str) -> None:
        status, body = await api.call("GET", f"/api/v1/zones/cluster.local/records?{query}")
        assert (status, body["status"]) == (400, 400), body

    async def test_an_error_is_a_problem_document(self, api: Admin) -> None:
        headers = {"Authorization": f"Bearer {READ}"}
        async with api.client.get(api.url + "/api/v1/zones/none/records", headers=headers) as got:
            assert got.status == 404
            assert got.content_type == "application/problem+json"
            body: Any = await got.json(content_type=None)
        assert set(body) == {"type", "title", "status", "detail"}
        assert "zone 'none' does not exist; the zones are cluster.local." in body["detail"]

    async def test_bytes_that_are_not_http_are_a_bad_request(self, api: Admin) -> None:
        port = int(api.url.rpartition(":")[2])
        for sent in (b"\x16\x03\x01garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n"):  # fmt: skip
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            response = await asyncio.wait_for(reader.read(), 10)
            assert response.startswith(b"HTTP/1.")
            assert b" 400 " in response.splitlines()[0]
            writer.close()
        assert (await api.call("GET", "/api/v1/zones", WRITE))[0] == 200

    async def test_connections_beyond_the_limit_are_closed(self, api: Admin) -> None:
        port = int(api.url.rpartition(":")[2])
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        for _, one in (*opened, (reader, writer)):
            one.close()

        async def answered() -> bool:
            try:
                return (await api.call("GET", "/api/v1/zones"))[0] == 200
            except aiohttp.ClientError:
                return False

        assert await eventually(answered)


def test_the_table_has_each_route_once() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    opened = {route.path for route in ROUTES if route.access is Access.OPEN}
    assert opened == {"/healthz", "/readyz", "/metrics", "/", "/ui/{file:.+}"}
    for route in ROUTES:
        assert (route.method == "GET") == (
            route.access is not Access.WRITE and route.path != "/api/v1/plan"
        )
