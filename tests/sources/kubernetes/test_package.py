"""dnsd imports only what it uses of the official package, and restricts no other user of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dnsd.sources.kubernetes.errors import BadCredentials
from dnsd.sources.kubernetes.package import kubeconfig, service_account

_CONFIG = {
    "current-context": "a",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"exec": {"command": "x"}}}],
}
_CONNECT = """
import asyncio, sys
from dnsd.sources.kubernetes.client import connect
from dnsd.sources.kubernetes.credentials import Access

async def main():
    client = await connect(Access(sys.argv[1]))
    await client.close()

asyncio.run(main())
"""
_MODULES = 'print(*(n for n in ("requests", "urllib3", "kubernetes.client") if n in sys.modules))'
_IMPORT = """
from kubernetes import client
from kubernetes.aio import watch
print(client.V1Service.__name__, watch.Watch.__name__)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    config = _CONFIG | {"users": [{"name": "u", "user": {"token": "t"}}]}
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    return tmp_path / "config"


def run(code: str, path: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_the_blocking_client_is_imported_only_by_other_code(path: Path) -> None:
    assert run(_CONNECT + _MODULES + _IMPORT, path) == ["", "V1Service Watch"]


def test_a_package_that_is_imported_already_stays(path: Path) -> None:
    before = "import kubernetes.aio, sys; before = sys.modules['kubernetes']\n"
    after = "assert sys.modules['kubernetes'] is before and before.aio.client"
    run(before + _CONNECT + after, path)


async def test_the_result_of_the_exec_plugin_replaces_its_section(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(yaml.safe_dump(_CONFIG))
    seen = []

    async def plugin(user: str, section: object) -> dict[str, str]:
        seen.append((user, section))
        return {"token": "secret"}

    configuration = await kubeconfig(str(tmp_path / "config"), "", plugin)
    assert seen == [("u", {"command": "x"})]
    assert configuration.api_key == {"BearerToken": "Bearer secret"}


@pytest.mark.parametrize("user", [[], "text", 7])
async def test_a_user_that_is_not_a_mapping_is_an_error(user: object, tmp_path: Path) -> None:
    config = _CONFIG | {"users": [{"name": "u", "user": user}]}
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    with pytest.raises(BadCredentials, match="is not a complete kubeconfig"):
        await kubeconfig(str(tmp_path / "config"), "", lambda user, section: None)  # type: ignore


def test_a_missing_service_account_is_an_error() -> None:
    with pytest.raises(BadCredentials, match="the service account: Service host/port is not set"):
        service_account("token", "ca.crt", {})
