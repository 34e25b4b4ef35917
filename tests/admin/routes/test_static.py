"""The files of the page: policy, caching, and names."""

from __future__ import annotations

import pytest

from dnsd.admin.routes.static import UI, files
from tests.admin.running import Admin


async def test_the_page_allows_its_own_files_only(api: Admin) -> None:
    async with api.client.get(api.url + "/") as response:
        policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")


async def test_an_unchanged_file_is_not_sent_again(api: Admin) -> None:
    async with api.client.get(api.url + "/ui/main.js") as response:
        tag = response.headers["ETag"]
        assert await response.read() == (UI / "main.js").read_bytes()
    headers = {"If-None-Match": tag}
    async with api.client.get(api.url + "/ui/main.js", headers=headers) as response:
        assert (response.status, await response.read()) == (304, b"")


@pytest.mark.parametrize(
    "name", ["none.js", "../openapi.yaml", "..%2fopenapi.yaml", "%2fetc/hosts"]
)
async def test_only_files_of_the_page_are_served(api: Admin, name: str) -> None:
    status, _ = await api.call("GET", f"/ui/{name}")
    assert status == 404


def test_each_file_of_the_page_has_a_served_type() -> None:
    assert {path.name for path in UI.iterdir()} == set(files())
