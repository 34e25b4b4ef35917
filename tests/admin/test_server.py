"""The start and the end of the admin API: its socket, token, and files."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import aiohttp
import pytest

from dnsd.admin.auth import find_token
from dnsd.admin.server import AdminServer
from dnsd.control.plane import ControlPlane
from dnsd.control.serial import SerialFile
from dnsd.control.serve import bind
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Endpoint
from dnsd.sources.source import Batch
from tests.admin.running import HERE
from tests.admin.serving import NAME, Api
from tests.helpers import until
from tests.serving import SEED, dnsd, serving, started


async def nothing() -> None:
    """No reload."""


async def test_an_early_connection_is_answered_once_the_workers_are_open(tmp_path: Path) -> None:
    settings = Settings.of(
        manifests=str(tmp_path),
        state_dir=str(tmp_path / "state"),
        listen=(Endpoint(HERE),),
        admin=HERE,
    )
    async with AsyncExitStack() as stack:
        plane = ControlPlane(settings, bind(settings), [], SerialFile(settings.state_dir))
        stack.push_async_callback(plane.supervisor.stop)
        front = AdminServer(settings)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        serve = asyncio.create_task(front.run(plane, nothing))
        stack.callback(serve.cancel)
        url = front.url.partition("#")[0]
        early = asyncio.create_task(client.get(f"{url}healthz"))
        plane.supervisor.start()
        plane.publish(Batch((), synced=True))  # the names are known, no table is sent yet
        plane.supervisor.release()
        response = await early
        assert response.status == 200
        assert [one.state for one in plane.supervisor.status()] == ["open"]


class TestToken:
    def test_the_own_token_is_printed_found_and_private(self, running: Api, state: Path) -> None:
        port = int(running.url.rpartition(":")[2])
        assert find_token(str(state), port) == running.token
        assert stat.S_IMODE((state / "admin.token").stat().st_mode) == 0o600
        with pytest.raises(HTTPError) as caught:
            urlopen(running.url + "/api/v1/zones", timeout=20)
        assert caught.value.code == 401

    def test_the_own_token_is_not_logged(self, running: Api) -> None:
        assert running.token not in running.server.stderr

    def test_with_a_token_file_dnsd_creates_none(self, tmp_path: Path) -> None:
        tokens = tmp_path / "tokens"
        tokens.write_text("me read a-token-of-my-own-kind\n")
        flags = ("--manifests", str(SEED), "--admin", "127.0.0.1:0", "--admin-tokens", str(tokens))
        with serving(*flags, environ={"XDG_RUNTIME_DIR": str(tmp_path)}) as server:
            until(lambda: "admin: http://127.0.0.1:" in server.stdout)
            assert "token=" not in server.stdout
        assert not (tmp_path / "dnsd").exists()


class TestStartsAndEnds:
    def test_a_draining_dnsd_is_not_ready(self, tmp_path: Path) -> None:
        environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
        flags = ("--manifests", str(SEED), "--admin", "127.0.0.1:0", "--drain-quiet", "2s")
        with serving(*flags, environ=environ) as server:
            api = Api(server)
            until(lambda: api.text("/readyz"))
            server.signal(signal.SIGTERM)

            def draining() -> bool:
                try:
                    api.text("/readyz")
                except HTTPError as error:
                    return b"draining" in error.read()
                return False

            until(draining)
            assert server.ended() == 0

    @pytest.mark.parametrize("how", ["flag", "variable"])
    def test_a_busy_port_is_refused_with_the_flag_or_variable(self, how: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            address = f"127.0.0.1:{busy.getsockname()[1]}"
            flag = ("--admin", address) if how == "flag" else ()
            environ = {} if flag else {"DNSD_ADMIN": address}
            found = dnsd(
                "serve", "--manifests", str(SEED), "--listen", "127.0.0.1:0", *flag, environ=environ
            )
        assert found.returncode == 2
        origin = "--admin" if flag else "DNSD_ADMIN"
        assert found.stderr.splitlines()[-1] == (
            f"dnsd: {origin}: cannot listen on {address}: another program has this port, or"
            " dnsd runs already; give another"
        )

    def test_a_port_where_dnsd_answers_dns_is_refused(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            place = f"127.0.0.1:{other.getsockname()[1]}"  # free again in a moment
        found = dnsd("serve", "--manifests", str(SEED), "--listen", place, "--admin", place)
        assert found.returncode == 2
        assert found.stderr.splitlines()[-1] == (
            f"dnsd: --admin: cannot listen on {place}: dnsd answers DNS there; give"
            " another port, or off"
        )

    @pytest.mark.parametrize(
        ("flags", "problem"),
        [
            (("--admin-tls-key", os.devnull), "--admin-tls-key: requires admin_tls_cert"),
            (("--admin-tls-cert", os.devnull), "--admin-tls-cert: cannot be used"),
            (("--admin-tokens", os.devnull), "--admin-tokens: /dev/null: has no token"),
        ],
    )
    def test_unusable_files_are_refused(self, flags: tuple[str, ...], problem: str) -> None:
        found = dnsd(
            *("serve", "--manifests", str(SEED), "--listen", "127.0.0.1:0"),
            *("--admin", "127.0.0.1:0", *flags),
        )
        assert found.returncode == 2
        assert problem in found.stderr

    def test_damaged_records_are_not_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "records.json").write_text("[")
        found = dnsd(
            *("serve", "--manifests", str(SEED), "--listen", "127.0.0.1:0"),
            *("--admin", "off", "--state-dir", str(tmp_path)),
        )
        assert found.returncode == 2
        assert "records.json: is damaged" in found.stderr
        assert (tmp_path / "records.json").read_text() == "["

    def test_a_history_that_cannot_be_saved_does_not_stop_dnsd(self, tmp_path: Path) -> None:
        (tmp_path / "history.sqlite").mkdir()
        flags = ("--manifests", str(SEED), "--state-dir", str(tmp_path), "--admin", "127.0.0.1:0")
        with serving(*flags) as server:
            api = Api(server)
            assert api.call("/api/v1/history")["changes"] == []
            assert api.call("/api/v1/status")["history"]["on_disk"] is False
            assert server.values(NAME) == ["10.96.100.100"]
            assert server.logged("the history cannot be saved to disk, and ends with this run")

    def test_the_history_survives_a_restart(self, tmp_path: Path) -> None:
        state = str(tmp_path / "state")
        folder = tmp_path / "manifests"
        folder.mkdir()
        flags = ("--manifests", str(folder), "--state-dir", state, "--admin", "127.0.0.1:0")

        def write(address: str) -> None:
            text = (
                "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
                f"spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n"
            )
            (folder / "new").write_text(text)
            (folder / "new").rename(folder / "web.yaml")

        path = "/api/v1/history?name=web.default.svc.cluster.local"

        def changes(api: Api) -> list[str]:
            found = api.call(path + "&limit=100")["changes"]
            return [one["after"]["values"][0] for one in found if one["type"] == "A"]

        with serving(*flags) as server:
            api = Api(server)
            # Only changes after the start are recorded; the first status shows that it is over.
            until(lambda: api.call("/api/v1/status")["history"]["on_disk"])
            write("10.96.0.1")
            until(lambda: changes(api) == ["10.96.0.1"])
            server.signal(signal.SIGTERM)
            assert server.ended() == 0
        write("10.96.0.2")
        with serving(*flags) as server:
            api = Api(server)
            until(lambda: changes(api) == ["10.96.0.2", "10.96.0.1"])
            assert api.call(path)["changes"][0]["cause"]["kind"] == "Restart"

    def test_off_opens_no_api(self) -> None:
        with started("serve", "--manifests", str(SEED), "--listen", "127.0.0.1:0") as server:
            server.wait_until_it_answers()
            assert "admin:" not in server.stdout
