"""The API of a running dnsd: workers that answer, samples, the token, the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import dns.message
import dns.rrset
import msgspec
import pytest

from dnsd.admin.auth import find_token
from tests.helpers import until
from tests.serving import SEED, Serving, dnsd, serving, started

NAME = "webui-svc.default.svc.cluster.local"


class Api:
    """A running dnsd, its URL and token, as `serve` printed them."""

    def __init__(self, server: Serving) -> None:
        self.server = server
        found = until(lambda: re.search(r"admin: (https?://\S+?)/#token=(\S+)", server.stdout))
        self.url, self.token = found[1], found[2]

    def open(self, path: str, method: str = "GET", body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else msgspec.json.encode(body)
        request = Request(self.url + path, data, headers, method=method)
        return urlopen(request, timeout=20)

    def call(self, path: str, method: str = "GET", body: object = None) -> Any:
        with self.open(path, method, body) as response:
            return msgspec.json.decode(response.read())

    def text(self, path: str) -> str:
        with self.open(path) as response:
            found: str = response.read().decode()
            return found


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def api(state: Path) -> Iterator[Api]:
    flags = ("--manifests", str(SEED), "--admin", "127.0.0.1:0", "--state-dir", str(state))
    with serving(*flags) as server:
        yield Api(server)


class TestAnswers:
    def test_the_very_engines_answer(self, api: Api) -> None:
        found = api.call(f"/api/v1/resolve?name={NAME}&over=udp")
        assert (found["rcode"], found["answer"][0]["value"]) == ("NOERROR", "10.96.100.100")
        assert api.server.values(NAME) == ["10.96.100.100"]
        assert bytes.fromhex(found["reply"])[2:4] == b"\x85\x00"
        missing = api.call(f"/api/v1/resolve?name=no.{NAME}")
        assert (missing["rcode"], missing["authority"][0]["type"]) == ("NXDOMAIN", "SOA")

    def test_a_pinned_record_is_answered_until_it_is_gone(self, api: Api) -> None:
        path = "/api/v1/records/cluster.local/pinned/A"
        api.call(path, "PUT", {"ttl": 7, "values": ["192.0.2.7"]})
        until(lambda: api.server.values("pinned.cluster.local") == ["192.0.2.7"])
        api.call(path, "DELETE")
        until(lambda: api.server.values("pinned.cluster.local") == [])

    def test_ready_and_healthy(self, api: Api) -> None:
        assert api.text("/readyz") == "synced\n"
        assert api.text("/healthz") == "every process is alive\n"

    def test_there_is_no_cache_to_flush(self, api: Api) -> None:
        with pytest.raises(HTTPError) as caught:
            api.call("/api/v1/cache/flush", "POST", {})
        assert caught.value.code == 409

    def test_metrics_count_queries(self, api: Api) -> None:
        api.server.ask(NAME)

        def counted() -> bool:
            found = re.search(
                r'dnsd_queries_total\{outcome="answer",rcode="NOERROR",transport="udp",type="A"\}'
                r" ([0-9.]+)",
                api.text("/metrics"),
            )
            return found is not None and float(found[1]) > 0

        until(counted)
        assert "dnsd_worker_up{" in api.text("/metrics")

    def test_reload(self, api: Api) -> None:
        assert api.call("/api/v1/reload", "POST", {}) == {"reloaded": True}
        until(lambda: api.server.logged("reloaded"))


class TestQueries:
    def test_a_live_stream_with_a_filter(self, api: Api) -> None:
        lines: list[str] = []

        def listen() -> None:
            with api.open(
                "/api/v1/queries/stream?name=WebUI-svc.default&rcode=noerror"
            ) as response:
                for line in response:
                    lines.append(line.decode())
                    if line.startswith(b"data:") and b"webui" in line and b'"at"' in line:
                        return

        thread = threading.Thread(target=listen)
        thread.start()
        until(lambda: any("hello" in line for line in lines))

        def seen() -> bool:
            api.server.ask("clusterip-service.default.svc.cluster.local")
            api.server.ask(f"nothing.{NAME}")
            api.server.ask(NAME)
            return not thread.is_alive()

        until(seen)
        thread.join()
        data = [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: ")]
        assert [one["name"] for one in data[1:]] == [f"{NAME}."]
        assert data[1]["client"] == "127.0.0.1"

    def test_the_top(self, api: Api) -> None:
        def seen() -> bool:
            api.server.ask("missing.default.svc.cluster.local")
            top = api.call("/api/v1/queries/top?window=10m")
            nxdomains = {one["item"] for one in top["nxdomains"]}
            return "missing.default.svc.cluster.local." in nxdomains

        until(seen)
        top = api.call("/api/v1/queries/top?window=10m")
        assert "missing.default.svc.cluster.local." in {one["item"] for one in top["names"]}
        assert top["clients"][0]["item"] == "127.0.0.1"
        assert "A" in {one["item"] for one in top["types"]}
        assert top["sampled_one_in"] >= 1

    def test_a_plan_says_what_is_asked(self, api: Api) -> None:
        manifest = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "webui-svc", "namespace": "default"},
        }

        def asked() -> bool:
            api.server.ask(NAME)
            found = api.call("/api/v1/plan?mode=delete", "POST", manifest)
            return any(row["asked"] for row in found["vanish"])

        until(asked)


@contextmanager
def upstream() -> Iterator[int]:
    """A name server on loopback that knows one address for everything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        stop = threading.Event()

        def serve() -> None:
            sock.settimeout(0.05)
            while not stop.is_set():
                try:
                    packet, client = sock.recvfrom(4096)
                except TimeoutError:
                    continue
                query = dns.message.from_wire(packet)
                reply = dns.message.make_response(query)
                asked = query.question[0]
                reply.answer.append(dns.rrset.from_text(asked.name, 600, "IN", "A", "192.0.2.9"))
                sock.sendto(reply.to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            stop.set()
            thread.join()


class TestUpstream:
    def test_explain_and_flush(self, tmp_path: Path) -> None:
        environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
        with upstream() as port:
            flags = ("--manifests", str(SEED), "--admin", "127.0.0.1:0")
            flags += ("--upstream", f"udp://127.0.0.1:{port}")
            with serving(*flags, environ=environ) as server:
                api = Api(server)
                before = api.call("/api/v1/explain?name=www.example.org.")
                assert f"forwarded to udp://127.0.0.1:{port}" in before["verdict"]
                steps = {step["what"]: step["said"] for step in before["steps"]}
                assert "has no reply" in steps["cache"]
                assert before["outcome"] == "forwarded"
                resolved = api.call("/api/v1/resolve?name=www.example.org")
                assert resolved["answer"][0]["value"] == "192.0.2.9"
                after = api.call("/api/v1/explain?name=www.example.org.")
                steps = {step["what"]: step["said"] for step in after["steps"]}
                assert re.search(r"a cached reply \(NOERROR\) is valid for \d+ s", steps["cache"])
                stays = api.call("/api/v1/explain?name=www.example.local.")
                assert "special-use name" in stays["verdict"]
                alias = api.call("/api/v1/explain?name=externalname-svc")
                assert "is an alias of google.com." in alias["verdict"]
                flush = "/api/v1/cache/flush"
                assert api.call(flush + "?name=other.example", "POST", {}) == {"flushed": 0}
                assert api.call(flush + "?name=www.example.org", "POST", {}) == {"flushed": 1}
                until(lambda: "dnsd_upstream_up{" in api.text("/metrics"))
                assert 'dnsd_cache_lookups_total{result="miss"} ' in api.text("/metrics")


class TestToken:
    def test_it_is_printed_and_found_and_private(self, api: Api, state: Path) -> None:
        port = int(api.url.rpartition(":")[2])
        assert find_token(str(state), port) == api.token
        assert stat.S_IMODE((state / "admin.token").stat().st_mode) == 0o600
        with pytest.raises(HTTPError) as caught:
            urlopen(api.url + "/api/v1/zones", timeout=20)
        assert caught.value.code == 401

    def test_it_is_in_no_log(self, api: Api) -> None:
        assert api.token not in api.server.stderr

    def test_a_file_of_tokens_instead(self, tmp_path: Path) -> None:
        tokens = tmp_path / "tokens"
        tokens.write_text("me read a-token-of-my-own-kind\n")
        flags = ("--manifests", str(SEED), "--admin", "127.0.0.1:0", "--admin-tokens", str(tokens))
        with serving(*flags, environ={"XDG_RUNTIME_DIR": str(tmp_path)}) as server:
            until(lambda: "admin: http://127.0.0.1:" in server.stdout)
            assert "token=" not in server.stdout
        assert not (tmp_path / "dnsd").exists()


class TestStartsAndEnds:
    def test_not_ready_while_it_drains(self, tmp_path: Path) -> None:
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
    def test_a_busy_port(self, how: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            address = f"127.0.0.1:{busy.getsockname()[1]}"
            flag = ("--admin", address) if how == "flag" else ()
            environ = {} if flag else {"DNSD_ADMIN": address}
            found = dnsd(
                "serve", "--manifests", str(SEED), "--listen", "127.0.0.1:0", *flag, environ=environ
            )
        assert found.returncode == 2
        who = "--admin" if flag else "DNSD_ADMIN"
        assert found.stderr.splitlines()[-1] == (
            f"dnsd: {who}: cannot listen on {address}: another program has this port, or"
            " dnsd runs already; give another"
        )

    def test_a_port_where_dns_is_answered(self) -> None:
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
    def test_what_cannot_be_used(self, flags: tuple[str, ...], problem: str) -> None:
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

    def test_a_disk_that_takes_no_history(self, tmp_path: Path) -> None:
        (tmp_path / "history.sqlite").mkdir()
        flags = ("--manifests", str(SEED), "--state-dir", str(tmp_path), "--admin", "127.0.0.1:0")
        with serving(*flags) as server:
            api = Api(server)
            assert api.call("/api/v1/history")["changes"] == []
            assert api.call("/api/v1/status")["history"]["on_disk"] is False
            assert server.values(NAME) == ["10.96.100.100"]
            assert server.logged("the history cannot be saved to disk, and ends with this run")

    def test_history_across_a_restart(self, tmp_path: Path) -> None:
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
            # Only what changes after the start is news; the first contact tells it has begun.
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

    def test_off(self) -> None:
        with started("serve", "--manifests", str(SEED), "--listen", "127.0.0.1:0") as server:
            server.wait_until_it_answers()
            assert "admin:" not in server.stdout
