"""The exec plugin of a kubeconfig is run once, and its ExecCredential is checked."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from dnsd.sources.kubernetes.execplugin import ExecStatus, PluginError, run

VERSION = "client.authentication.k8s.io/v1"


def section(code: str, **more: Any) -> dict[str, Any]:
    """A plugin that is a line of Python."""
    return {"command": sys.executable, "args": ["-c", code], "apiVersion": VERSION} | more


def printing(status: str, version: str = VERSION) -> str:
    return f"import json, os; print(json.dumps({{'apiVersion': {version!r}, 'status': {status}}}))"


async def test_a_plugin_gets_its_variables_and_the_version_it_shall_use() -> None:
    token = "os.environ['COLOR'] + json.loads(os.environ['KUBERNETES_EXEC_INFO'])['apiVersion']"
    plugin = section(printing(f"{{'token': {token}}}"), env=[{"name": "COLOR", "value": "blue "}])
    assert (await run(plugin)).user == {"token": f"blue {VERSION}"}


def test_a_certificate_becomes_data_of_a_kubeconfig() -> None:
    status = ExecStatus(client_certificate_data="abc", client_key_data="def")
    assert status.user == {
        "client-certificate-data": "YWJj",
        "client-key-data": "ZGVm",
    }


async def test_the_expiry_has_a_time_zone() -> None:
    at = "'token': 'a', 'expirationTimestamp': '2026-01-01T00:00:00{}'"
    status = await run(section(printing("{" + at.format("Z") + "}")))
    assert status.expiration_timestamp is not None
    assert status.expiration_timestamp.timestamp() == 1767225600
    with pytest.raises(PluginError, match="did not print an ExecCredential"):
        await run(section(printing("{" + at.format("") + "}")))


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        ({"apiVersion": VERSION}, "cannot be run: .*command"),
        ({"command": "true"}, "cannot be run: .*apiVersion"),
        ({"command": "/nowhere/plugin", "apiVersion": VERSION}, "cannot be run"),
        (section("import sys; sys.exit('out of order')"), "ended with 1: out of order"),
        (section("print('{')"), "did not print an ExecCredential"),
        (section("import sys; sys.stdout.buffer.write(b'\"\\xff\"')"), "did not print"),
        (section(printing("{}", "v0")), "printed the version v0, not client"),
        (section(printing("None")), "did not print an ExecCredential"),
    ],
)
async def test_the_error_of_a_plugin_names_the_cause(plugin: dict[str, Any], problem: str) -> None:
    with pytest.raises(PluginError, match=problem):
        await run(plugin)


@pytest.mark.parametrize("status", [ExecStatus(), ExecStatus(client_certificate_data="abc")])
def test_a_status_without_credentials_is_an_error(status: ExecStatus) -> None:
    with pytest.raises(PluginError, match="neither a token nor a client certificate"):
        status.user  # noqa: B018
