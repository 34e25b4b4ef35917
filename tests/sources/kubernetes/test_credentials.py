"""Credentials from kubeconfigs, exec plugins, certificates, and service accounts."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from structlog.testing import capture_logs

from dnsd.sources.kubernetes.client import Client, connect
from dnsd.sources.kubernetes.credentials import Access
from dnsd.sources.kubernetes.errors import ApiError, BadCredentials, Unreachable
from tests.certificates import Authority
from tests.fakekube.connect import QUICK
from tests.fakekube.plain import kubeconfig
from tests.fakekube.server import FakeKube
from tests.helpers import eventually

NAMESPACES = "/api/v1/namespaces"


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
async def kube(authority):
    async with FakeKube(tls=authority.server()) as server:
        server.tokens = {"right"}
        yield server


def write(
    kube: FakeKube, authority: Authority, path: Path, user: dict[str, Any], **cluster: Any
) -> Access:
    known = {"certificate-authority": str(authority.ca)}
    path.write_text(kube.kubeconfig(user, known | cluster))
    return Access(str(path))


def read(path: str) -> bytes:
    return Path(path).read_bytes()


async def namespaces_seen(access: Access) -> list[str]:
    """Names of the namespaces that these credentials may list."""
    client = await connect(access, QUICK)
    try:
        return await names(client)
    finally:
        await client.close()


async def names(client: Client) -> list[str]:
    items = (await client.fetch(NAMESPACES, dict))["items"]
    return [item["metadata"]["name"] for item in items]


class TestKubeconfig:
    async def test_a_token_authorizes(self, kube, authority, tmp_path):
        access = write(kube, authority, tmp_path / "config", {"token": "right"})
        assert await namespaces_seen(access) == ["default", "kube-system"]
        assert kube.seen[-1].token == "right"

    async def test_a_relative_token_file_is_beside_the_kubeconfig(self, kube, authority, tmp_path):
        (tmp_path / "secret").write_text("right\n")
        access = write(kube, authority, tmp_path / "config", {"tokenFile": "secret"})
        assert await namespaces_seen(access) == ["default", "kube-system"]

    async def test_a_client_certificate_may_be_files_or_data(self, kube, authority, tmp_path):
        certificate, key = authority.pair("reader")
        files = {"client-certificate": str(certificate), "client-key": str(key)}
        data = {
            f"{name}-data": base64.b64encode(read(path)).decode() for name, path in files.items()
        }
        for user in (files, data):
            access = write(kube, authority, tmp_path / "config", user)
            assert await namespaces_seen(access) == ["default", "kube-system"]

    async def test_a_ca_may_be_data(self, kube, authority, tmp_path):
        path = tmp_path / "config"
        data = base64.b64encode(authority.ca.read_bytes()).decode()
        path.write_text(kube.kubeconfig({"token": "right"}, {"certificate-authority-data": data}))
        assert await namespaces_seen(Access(str(path))) == ["default", "kube-system"]

    async def test_a_server_of_another_ca_gets_no_request(self, kube, tmp_path):
        folder = tmp_path / "other"
        folder.mkdir()
        access = write(kube, Authority(folder), tmp_path / "config", {"token": "right"})
        with pytest.raises(Unreachable, match="certificate"):
            await namespaces_seen(access)
        assert not kube.seen

    async def test_the_context_selects_the_user(self, kube, authority, tmp_path):
        access = write(kube, authority, tmp_path / "config", {"token": "right"})
        text = yaml.safe_load(read(access.kubeconfig))
        text["users"].append({"name": "stranger", "user": {"token": "wrong"}})
        text["contexts"].append({"name": "no", "context": {"cluster": "fake", "user": "stranger"}})
        (tmp_path / "config").write_text(yaml.safe_dump(text))
        assert await namespaces_seen(Access(access.kubeconfig, "fake"))
        with pytest.raises(ApiError) as caught:
            await namespaces_seen(Access(access.kubeconfig, "no"))
        assert caught.value.status == 401

    async def test_kubeconfig_may_list_several_files(self, kube, authority, tmp_path):
        access = write(kube, authority, tmp_path / "config", {"token": "right"})
        whole = yaml.safe_load(read(access.kubeconfig))
        users = {"apiVersion": "v1", "kind": "Config", "users": whole.pop("users")}
        paths = tmp_path / "a", tmp_path / "b"
        for path, part in zip(paths, (whole, users), strict=True):
            path.write_text(yaml.safe_dump(part))
        environ = {"KUBECONFIG": ":".join(map(str, paths))}
        assert await namespaces_seen(Access(environ=environ)) == ["default", "kube-system"]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (None, "no such file"),
            ("", "not a complete kubeconfig"),
            ("[1, 2", "is not valid YAML: .*expected"),
            ("apiVersion: v1\nkind: Config\n", "current-context"),
            ("current-context: x\ncontexts: []\nclusters: []\nusers: []\n", "name x"),
        ],
    )
    async def test_the_error_for_a_broken_file_names_it(self, text, problem, tmp_path):
        path = tmp_path / "broken"
        if text is not None:
            path.write_text(text)
        with pytest.raises(BadCredentials, match=problem) as caught:
            await connect(Access(str(path)), QUICK)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    async def test_the_error_for_an_unknown_context_names_it(self, kube, authority, tmp_path):
        access = write(kube, authority, tmp_path / "config", {"token": "right"})
        with pytest.raises(BadCredentials, match="object with name production"):
            await connect(Access(access.kubeconfig, "production"), QUICK)

    async def test_the_error_for_a_missing_ca_names_the_file(self, kube, authority, tmp_path):
        missing = str(tmp_path / "gone.crt")
        access = write(
            kube, authority, tmp_path / "config", {}, **{"certificate-authority": missing}
        )
        with pytest.raises(BadCredentials, match=r"gone\.crt"):
            await connect(access, QUICK)

    async def test_a_broken_certificate_is_an_error(self, kube, authority, tmp_path):
        for name in ("c.crt", "c.key"):
            (tmp_path / name).write_text("nonsense")
        user = {"client-certificate": "c.crt", "client-key": "c.key"}
        with pytest.raises(BadCredentials, match="TLS of"):
            await connect(write(kube, authority, tmp_path / "config", user), QUICK)


def plugin(folder: Path, status: str) -> dict[str, Any]:
    """A user whose exec plugin prints an ExecCredential with the status `status` evaluates to.

    It counts its runs in the file `runs`.
    """
    script = folder / "plugin.py"
    script.write_text(
        "import json, pathlib, sys\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        "runs = folder / 'runs'\n"
        "runs.write_text(runs.read_text() + 'x' if runs.exists() else 'x')\n"
        f"status = {status}\n"
        "if status is None: sys.exit('the plugin is out of order')\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1',"
        " 'kind': 'ExecCredential', 'status': status}))\n"
    )
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(script)],
            "interactiveMode": "Never",
        }
    }


class TestExecPlugin:
    async def test_a_plugin_may_print_a_token(self, kube, authority, tmp_path):
        user = plugin(tmp_path, "{'token': 'right'}")
        assert await namespaces_seen(write(kube, authority, tmp_path / "config", user))

    async def test_a_plugin_may_print_a_certificate(self, kube, authority, tmp_path):
        certificate, key = authority.pair("reader")
        status = (
            f"{{'clientCertificateData': pathlib.Path({str(certificate)!r}).read_text(),"
            f" 'clientKeyData': pathlib.Path({str(key)!r}).read_text()}}"
        )
        assert await namespaces_seen(
            write(kube, authority, tmp_path / "config", plugin(tmp_path, status))
        ) == [
            "default",
            "kube-system",
        ]

    async def test_a_certificate_is_renewed_before_it_expires(self, kube, authority, tmp_path):
        certificate, key = authority.pair("reader")
        soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = (
            f"{{'clientCertificateData': pathlib.Path({str(certificate)!r}).read_text(),"
            f" 'clientKeyData': pathlib.Path({str(key)!r}).read_text(),"
            f" 'expirationTimestamp': {soon!r}}}"
        )
        access = write(kube, authority, tmp_path / "config", plugin(tmp_path, status))
        assert await namespaces_seen(access)
        assert (tmp_path / "runs").read_text() == "xx"

    @pytest.mark.parametrize("second", ["None", "{}", "{'token': 7}"])
    async def test_a_renewal_that_fails_leaves_the_credentials_in_use(
        self, second, kube, authority, tmp_path
    ):
        soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        once = f"{{'token': 'right', 'expirationTimestamp': {soon!r}}}"
        status = f"{once} if runs.read_text() == 'x' else {second}"
        access = write(kube, authority, tmp_path / "config", plugin(tmp_path, status))
        assert await namespaces_seen(access)
        assert (tmp_path / "runs").read_text() == "xx"

    async def test_a_renewed_certificate_that_is_broken_is_not_used(
        self, kube, authority, tmp_path
    ):
        certificate, key = authority.pair("reader")
        (tmp_path / "broken").write_text("nonsense")
        soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        file = f"{str(certificate)!r} if runs.read_text() == 'x' else folder / 'broken'"
        status = (
            f"{{'clientCertificateData': pathlib.Path({file}).read_text(),"
            f" 'clientKeyData': pathlib.Path({str(key)!r}).read_text(),"
            f" 'expirationTimestamp': {soon!r}}}"
        )
        access = write(kube, authority, tmp_path / "config", plugin(tmp_path, status))
        assert await namespaces_seen(access)
        assert (tmp_path / "runs").read_text() == "xx"

    async def test_a_failing_plugin_is_an_error_not_an_anonymous_request(
        self, kube, authority, tmp_path
    ):
        access = write(kube, authority, tmp_path / "config", plugin(tmp_path, "None"))
        with pytest.raises(
            BadCredentials,
            match="exec plugin of user 'reader' ended with 1: the plugin is out of order",
        ):
            await connect(access, QUICK)
        assert not kube.seen

    async def test_a_token_is_renewed_before_it_expires(self, kube, authority, tmp_path):
        """If less than five minutes are left, the plugin runs before the next request."""
        soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = f"{{'token': runs.read_text(), 'expirationTimestamp': {soon!r}}}"
        access = write(kube, authority, tmp_path / "config", plugin(tmp_path, status))
        kube.tokens = {"xx", "xxx"}
        client = await connect(access, QUICK)
        try:
            assert await names(client)
            assert await names(client)
        finally:
            await client.close()
        assert [seen.token for seen in kube.seen] == ["xx", "xxx"]

    async def test_a_plugin_without_expiry_runs_again_only_after_a_401(
        self, kube, authority, tmp_path
    ):
        status = "{'token': runs.read_text()}"
        access = write(kube, authority, tmp_path / "config", plugin(tmp_path, status))
        kube.tokens = {"x"}
        client = await connect(access, QUICK)
        try:
            assert await names(client)
            assert await names(client)
            assert (tmp_path / "runs").read_text() == "x"
            kube.tokens = {"xx"}
            with pytest.raises(ApiError):
                await names(client)
            assert await names(client)
        finally:
            await client.close()


def hanging(folder: Path, runs: int) -> dict[str, Any]:
    """A user whose plugin hangs from the run after `runs` on, and writes its pid to `pid`."""
    soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    user = plugin(folder, f"{{'token': 'right', 'expirationTimestamp': {soon!r}}}")
    script = folder / "plugin.py"
    script.write_text(
        script.read_text().replace(
            "print(",
            f"if len(runs.read_text()) > {runs}:\n"
            "    import os, time\n"
            "    (folder / 'begun').write_text(str(os.getpid()))\n"
            "    (folder / 'begun').rename(folder / 'pid')\n"
            "    time.sleep(60)\n"
            "print(",
        )
    )
    return user


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class TestExecPluginThatHangs:
    async def test_a_plugin_that_hangs_at_the_start_is_ended(self, kube, authority, tmp_path):
        access = write(kube, authority, tmp_path / "config", hanging(tmp_path, 0))
        changed = msgspec.structs.replace(QUICK, exec=2.0)
        with pytest.raises(BadCredentials, match=r"exec plugin .* did not end"):
            await connect(access, changed)
        pid = int((tmp_path / "pid").read_text())
        await eventually(lambda: is_gone(pid))

    async def test_a_plugin_that_hangs_at_renewal_delays_one_request(
        self, kube, authority, tmp_path
    ):
        access = write(kube, authority, tmp_path / "config", hanging(tmp_path, 1))
        client = await connect(access, msgspec.structs.replace(QUICK, exec=2.0, reply=1.0))
        try:
            waiting = asyncio.create_task(names(client))
            await eventually((tmp_path / "pid").exists)
            assert await names(client)  # with the token that is there
            assert await waiting
            pid = int((tmp_path / "pid").read_text())
            await eventually(lambda: is_gone(pid))
        finally:
            await client.close()

    async def test_closing_the_client_ends_the_plugin_and_canceling_a_request_does_not(
        self, kube, authority, tmp_path
    ):
        access = write(kube, authority, tmp_path / "config", hanging(tmp_path, 1))
        client = await connect(access, QUICK)
        try:
            waiting = asyncio.create_task(names(client))
            await eventually((tmp_path / "pid").exists)
            pid = int((tmp_path / "pid").read_text())
            waiting.cancel()
            await asyncio.wait({waiting})
            assert await names(client)
            assert not is_gone(pid)
        finally:
            await client.close()
        await eventually(lambda: is_gone(pid))


class TestServiceAccount:
    def access(self, kube: FakeKube, authority: Authority, folder: Path) -> Access:
        environ = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(kube.port),
        }
        return Access(environ=environ, token_file=str(folder / "token"), ca_file=str(authority.ca))

    async def test_the_token_and_ca_of_the_pod_are_used(self, kube, authority, tmp_path):
        (tmp_path / "token").write_text("right")
        access = self.access(kube, authority, tmp_path)
        assert access.in_cluster
        assert await namespaces_seen(access) == ["default", "kube-system"]

    async def test_a_rotated_token_works_with_the_request_after_the_401(
        self, kube, authority, tmp_path
    ):
        (tmp_path / "token").write_text("right")
        client = await connect(self.access(kube, authority, tmp_path), QUICK)
        try:
            assert await names(client)
            (tmp_path / "token").write_text("newer")
            kube.tokens = {"newer"}
            with pytest.raises(ApiError):
                await names(client)
            assert await names(client)
        finally:
            await client.close()

    async def test_a_token_that_is_being_replaced_is_read_later(self, kube, authority, tmp_path):
        (tmp_path / "token").write_text("right")
        client = await connect(self.access(kube, authority, tmp_path), QUICK)
        try:
            (tmp_path / "token").unlink()
            kube.tokens = {"newer"}
            with pytest.raises(ApiError):  # 401, and no token to renew with: the old one stays
                await names(client)
            (tmp_path / "token").write_text("newer")
            with pytest.raises(ApiError):
                await names(client)
            assert await names(client)
        finally:
            await client.close()

    async def test_a_bug_during_a_renewal_is_logged(self, kube, authority, tmp_path):
        (tmp_path / "token").write_text("wrong")
        client = await connect(self.access(kube, authority, tmp_path), QUICK)
        try:
            client.access = None  # what no caller does
            with capture_logs() as logs, pytest.raises(ApiError):
                await names(client)
            (line,) = logs
            assert line["task"] == "load the credentials again"
            assert line["exc_info"]
        finally:
            await client.close()

    async def test_many_requests_that_get_401_at_once_each_get_its_error(
        self, kube, authority, tmp_path
    ):
        """Each may find the load of another one done, and start the next."""
        (tmp_path / "token").write_text("wrong")
        client = await connect(self.access(kube, authority, tmp_path), QUICK)
        try:
            requests = (names(client) for _ in range(50))
            found = await asyncio.gather(*requests, return_exceptions=True)
            assert {(type(one), getattr(one, "status", 0)) for one in found} == {(ApiError, 401)}
        finally:
            await client.close()

    async def test_a_kubeconfig_takes_precedence_over_the_pod(self, kube, authority, tmp_path):
        access = write(kube, authority, tmp_path / "config", {"token": "right"})
        environ = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "1"}
        assert await namespaces_seen(Access(access.kubeconfig, environ=environ))

    async def test_a_missing_token_is_an_error(self, kube, authority, tmp_path):
        with pytest.raises(BadCredentials, match=r"service account.*token file does not exist"):
            await connect(self.access(kube, authority, tmp_path), QUICK)


async def test_the_endpoint_differs_by_server_and_by_ca(authority, tmp_path):
    """Two clusters at one address differ by their CA."""
    other = tmp_path / "other"
    other.mkdir()
    first, second = str(authority.ca), str(Authority(other).ca)

    async def endpoint(host: str, ca: str) -> str:
        text = kubeconfig(host, cluster={"certificate-authority": ca})
        (tmp_path / "config").write_text(text)
        client = await connect(Access(str(tmp_path / "config")), QUICK)
        await client.close()
        return client.endpoint

    hosts = [("https://10.96.0.1", first), ("https://10.96.0.1", second), ("https://x", first)]
    assert len({await endpoint(*one) for one in hosts}) == 3
    assert await endpoint(*hosts[0]) == await endpoint(*hosts[0])
