"""The client of the API: where it looks, what it sends, and what it says when that fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dnsd.commands import Failure
from dnsd.commands.client import MAX_RESPONSE, Client, Endpoint, endpoint_of
from tests.commands.running import Capture, Running, complaint, run
from tests.serving import ENVIRONMENT, serving

GONE = "http://127.0.0.1:1"  # tcpmux; nobody listens there without being root


@contextmanager
def answering(reply: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives every request the same bytes; its URL, and the requests it got."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    got.append(peer.recv(65536))
                    peer.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", got
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def http(status: str, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


class TestPlaces:
    @pytest.mark.parametrize(
        ("url", "place"),
        [
            ("http://127.0.0.1:8053", Endpoint("http", "127.0.0.1", 8053)),
            ("http://127.0.0.1:8053/", Endpoint("http", "127.0.0.1", 8053)),
            ("https://dns.example/dnsd/", Endpoint("https", "dns.example", 443, "/dnsd")),
            ("http://[::1]:99", Endpoint("http", "::1", 99)),
            ("dns.example", Endpoint("http", "dns.example", 8053)),
            ("127.0.0.1:99", Endpoint("http", "127.0.0.1", 99)),
        ],
    )
    def test_good_ones(self, url: str, place: Endpoint) -> None:
        assert endpoint_of(url) == place
        assert endpoint_of(str(place)) == place

    @pytest.mark.parametrize(
        "url", ["ftp://x", "http://", "http://x:99999", "http://a b", "http://[::1", "http://x\n"]
    )
    def test_bad_ones(self, url: str) -> None:
        with pytest.raises(
            ValueError, match=r"is not a URL; write it like http://127\.0\.0\.1:8053"
        ):
            endpoint_of(url)

    @pytest.mark.parametrize("url", ["http://me:pw@x", "http://x?token=1", "http://x/#token=1"])
    def test_what_would_be_lost_on_the_way(self, url: str) -> None:
        with pytest.raises(ValueError, match="give the token with --token-file"):
            endpoint_of(url)

    def test_a_bad_one_on_the_command_line(self, capsys: Capture) -> None:
        said = complaint(capsys, ["status", "--server", "ftp://x"], 2)
        assert said == "--server: 'ftp://x' is not a URL; write it like http://127.0.0.1:8053"
        os.environ["DNSD_SERVER"] = "ftp://y"
        assert complaint(capsys, ["status"], 2).startswith("DNSD_SERVER: 'ftp://y' is not a URL")


class TestFinding:
    """Which dnsd is asked, and with which token."""

    def test_server_and_state_directory(self, there: Running, capsys: Capture) -> None:
        assert run(capsys, "status", *there.flags).code == 0

    def test_by_the_settings_it_was_started_with(
        self, there: Running, capsys: Capture, tmp_path: Path
    ) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text(
            f"admin: {there.url.removeprefix('http://')!r}\nstate_dir: {there.state}\n"
        )
        assert run(capsys, "status", "--config", str(config)).code == 0
        os.environ["DNSD_ADMIN"] = there.url.removeprefix("http://")
        os.environ["DNSD_STATE_DIR"] = str(there.state)
        assert run(capsys, "status").code == 0

    def test_without_a_state_directory(self, manifests: Path, capsys: Capture) -> None:
        """The token lies where this user's programs keep such things."""
        runtime = manifests.parent / "runtime"
        runtime.mkdir()
        environ = {"XDG_RUNTIME_DIR": str(runtime)}
        flags = ("--manifests", str(manifests), "--admin", "127.0.0.1:0")
        with serving(*flags, environ=environ) as server:
            url = server.stdout.partition("admin: ")[2].split("/#")[0]
            assert run(capsys, "status", "--server", url).code == 1
            os.environ.update(environ)
            assert run(capsys, "status", "--server", url).code == 0

    @pytest.mark.parametrize(
        ("admin", "place"),
        [
            ("0.0.0.0:99", "http://127.0.0.1:99"),
            ("[::]:99", "http://[::1]:99"),
            ("127.0.0.2:99", "http://127.0.0.2:99"),
        ],
    )
    def test_an_address_that_is_all_addresses(
        self, admin: str, place: str, capsys: Capture
    ) -> None:
        os.environ["DNSD_ADMIN"] = admin
        assert complaint(capsys, ["status"], 1).startswith(f"no dnsd at {place}: ")

    def test_by_variables(self, there: Running, capsys: Capture) -> None:
        os.environ["DNSD_SERVER"] = there.url
        os.environ["DNSD_TOKEN"] = there.token
        assert run(capsys, "status").code == 0

    def test_the_flag_beats_the_file_beats_the_variable(
        self, there: Running, capsys: Capture, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text(there.token + "\n")
        os.environ["DNSD_TOKEN"] = "not-a-token-it-knows"
        server = ("--server", there.url)
        good = ("--token-file", str(tmp_path / "token"))
        assert run(capsys, "status", *server).code == 1
        assert run(capsys, "status", *server, *good).code == 0
        assert run(capsys, "status", *server, *good, "--token", "nor-this-one-at-all").code == 1
        del os.environ["DNSD_TOKEN"]
        os.environ["DNSD_TOKEN_FILE"] = str(tmp_path / "token")
        assert run(capsys, "status", *server).code == 0

    def test_an_api_that_is_off(self, capsys: Capture) -> None:
        os.environ["DNSD_ADMIN"] = "off"
        assert complaint(capsys, ["status"], 2) == "DNSD_ADMIN: is off; give --server URL"

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ("", "is empty; write the token to it"),
            ("two words", "must hold one token and nothing else"),
            (None, "No such file or directory"),
        ],
    )
    def test_a_bad_token_file(
        self, content: str | None, line: str, capsys: Capture, tmp_path: Path
    ) -> None:
        path = tmp_path / "token"
        if content is not None:
            path.write_text(content)
        said = complaint(capsys, ["status", "--server", GONE, "--token-file", str(path)], 2)
        assert said.startswith(f"--token-file: {path}")
        assert said.endswith(line)

    def test_a_found_token_stays_on_this_machine(self, tmp_path: Path) -> None:
        from dnsd.admin.auth import TOKEN_FILE, own_token
        from dnsd.commands.remote import connect
        from dnsd.control.settings import Settings

        token = own_token(tmp_path / TOKEN_FILE)
        settings = Settings.of(state_dir=str(tmp_path))
        with answering(http("200 OK", b'{"workers": []}')) as (url, got):
            connect({"server": url}, settings).get("/status")
        assert f"Authorization: Bearer {token}".encode() in got[0]
        elsewhere = connect({"server": "http://192.0.2.1:8053"}, settings)
        assert elsewhere.token == ""

    @pytest.mark.parametrize(
        ("host", "local"),
        [
            ("localhost", True),
            ("127.0.0.9", True),
            ("::1", True),
            ("192.0.2.1", False),
            ("localhost.example", False),
        ],
    )
    def test_which_machine_is_this_one(self, host: str, local: bool) -> None:
        assert Endpoint("http", host, 1).local is local


class TestComplaints:
    """One line, the place in it, exit code 1."""

    def test_nobody_there(self, capsys: Capture) -> None:
        assert complaint(capsys, ["status", "--server", GONE], 1) == (
            f"no dnsd at {GONE}: connection refused; start it, or check the admin address"
        )

    def test_no_such_host(self, capsys: Capture) -> None:
        said = complaint(capsys, ["status", "--server", "http://nothing.invalid:1"], 1)
        assert said.startswith(
            "no dnsd at http://nothing.invalid:1: the host name does not resolve"
        )

    def test_no_token(self, there: Running, capsys: Capture, tmp_path: Path) -> None:
        arguments = ["status", "--server", there.url, "--state-dir", str(tmp_path)]
        assert complaint(capsys, arguments, 1) == (
            f"{there.url} requires a token, and none was found; give --token-file FILE, DNSD_TOKEN,"
            " or --state-dir DIR of that dnsd"
        )

    def test_a_wrong_token(self, there: Running, capsys: Capture, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.write_text("a-token-of-somebody-else")
        arguments = ["status", "--server", there.url, "--token-file", str(path)]
        said = complaint(capsys, arguments, 1)
        assert said == f"{there.url} does not accept the token in {path}"
        assert "somebody-else" not in said

    @pytest.mark.parametrize("reply", [b"", b"\x00\x0c\x12\x34\x80\x01", b"220 mail\r\n"])
    def test_a_port_that_speaks_something_else(self, reply: bytes, capsys: Capture) -> None:
        with answering(reply) as (url, _):
            said = complaint(capsys, ["status", "--server", url], 1)
        assert said.startswith((f"{url} is not a dnsd: it does not use HTTP", f"no dnsd at {url}"))

    def test_a_web_server_of_somebody_else(self, capsys: Capture) -> None:
        with answering(http("404 Not Found", b"<p>gone", "text/html")) as (url, _):
            said = complaint(capsys, ["status", "--server", url], 1)
        assert said == f"{url} is not a dnsd: it answers 404 Not Found"

    def test_no_redirect_takes_the_token_along(self, capsys: Capture) -> None:
        reply = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        with answering(reply) as (url, got):
            said = complaint(capsys, ["status", "--server", url, "--token", "t" * 20], 1)
        assert said == f"{url} is not a dnsd: it answers 302 Found"
        assert len(got) == 1

    def test_an_answer_that_is_no_json(self, capsys: Capture) -> None:
        with answering(http("200 OK", b"hello")) as (url, _):
            said = complaint(capsys, ["status", "--server", url], 1)
        assert said == f"{url} is not a dnsd: its response is not JSON"

    @pytest.mark.parametrize("body", [b"{}", b"[]", b"1", b'{"status": "ok"}'])
    def test_json_of_somebody_else(self, body: bytes, capsys: Capture) -> None:
        with answering(http("200 OK", body)) as (url, _):
            said = complaint(capsys, ["status", "--server", url], 1)
        assert said == f"{url} is not a dnsd: its response is other JSON"

    def test_an_answer_that_breaks_off(self, capsys: Capture) -> None:
        whole = http("200 OK", b"{" + b" " * 1000 + b"}")
        with answering(whole[:-500]) as (url, _):
            said = complaint(capsys, ["status", "--server", url], 1)
        assert said.startswith(f"{url}: the response is incomplete")

    def test_https_where_there_is_none(self, there: Running, capsys: Capture) -> None:
        url = there.url.replace("http://", "https://")
        said = complaint(capsys, ["status", "--server", url], 1)
        assert said == f"{url} does not use TLS; try http://"

    def test_a_certificate_file_that_is_none(self, capsys: Capture, tmp_path: Path) -> None:
        path = tmp_path / "ca.pem"
        url = "https://127.0.0.1:1"
        said = complaint(capsys, ["status", "--server", url, "--ca", str(path)], 1)
        assert said == f"--ca: {path}: No such file or directory"
        path.write_text("nothing")
        assert complaint(capsys, ["status", "--server", url, "--ca", str(path)], 1).startswith(
            f"--ca: {path}: "
        )

    def test_what_dnsd_refuses_in_its_own_words(self, there: Running, capsys: Capture) -> None:
        assert complaint(capsys, ["query", "a..b", *there.flags], 1) == (
            "name: 'a..b' is not a domain name"
        )


def test_tls(tmp_path: Path, capsys: Capture) -> None:
    """https with a certificate of one's own, which --ca makes trusted."""
    from tests.commands.running import running
    from tests.fakekube.tls import Authority

    authority = Authority(tmp_path)
    certificate, key = authority.pair("server")
    flags = ("--admin-tls-cert", str(certificate), "--admin-tls-key", str(key))
    with running(tmp_path, *flags) as there:
        assert there.url.startswith("https://")
        said = complaint(capsys, ["status", *there.flags], 1)
        assert said.startswith(f"{there.url}: ")
        assert said.endswith("; give its certificate with --ca FILE")
        assert run(capsys, "status", *there.flags, "--ca", str(authority.ca)).code == 0


def test_an_endless_answer_is_cut() -> None:
    big = b" " * (MAX_RESPONSE + 2)
    too_much = pytest.raises(Failure, match="exceeds 64 MiB")
    with answering(http("200 OK", big)) as (url, _), too_much:
        Client(endpoint_of(url)).get("/status")


def test_asking_imports_little() -> None:
    """A command that only asks pays for no server: it has to be quick in a script."""
    program = (
        "import sys; from dnsd.cli import main; main(['status', '--server', 'http://127.0.0.1:1']);"
        "heavy = ('aiohttp', 'yaml', 'kubernetes', 'dnslib', 'sqlite3', 'dnsd.pipeline');"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert found.stdout.strip() == ""
