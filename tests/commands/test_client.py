"""The client of the API: URLs, limits, and the text of each failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dnsd.commands import Failure
from dnsd.commands.client import MAX_RESPONSE, ApiUrl, Client, api_url
from tests.commands.answering import answering, http
from tests.commands.running import Capture, Running, complaint, run
from tests.serving import ENVIRONMENT

GONE = "http://127.0.0.1:1"  # tcpmux; an unprivileged process cannot listen there


class TestEndpoints:
    @pytest.mark.parametrize(
        ("url", "place"),
        [
            ("http://127.0.0.1:8053", ApiUrl("http", "127.0.0.1", 8053)),
            ("http://127.0.0.1:8053/", ApiUrl("http", "127.0.0.1", 8053)),
            ("https://dns.example/dnsd/", ApiUrl("https", "dns.example", 443, "/dnsd")),
            ("http://[::1]:99", ApiUrl("http", "::1", 99)),
            ("dns.example", ApiUrl("http", "dns.example", 8053)),
            ("127.0.0.1:99", ApiUrl("http", "127.0.0.1", 99)),
        ],
    )
    def test_a_url_is_an_endpoint(self, url: str, place: ApiUrl) -> None:
        assert api_url(url) == place
        assert api_url(str(place)) == place

    @pytest.mark.parametrize(
        "url", ["ftp://x", "http://", "http://x:99999", "http://a b", "http://[::1", "http://x\n"]
    )
    def test_other_text_is_refused(self, url: str) -> None:
        with pytest.raises(
            ValueError, match=r"is not a URL; write it like http://127\.0\.0\.1:8053"
        ):
            api_url(url)

    @pytest.mark.parametrize("url", ["http://me:pw@x", "http://x?token=1", "http://x/#token=1"])
    def test_a_user_query_or_fragment_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="give the token with --token-file"):
            api_url(url)

    def test_the_error_names_the_flag_or_variable(self, capsys: Capture) -> None:
        error = complaint(capsys, ["status", "--server", "ftp://x"], 2)
        assert error == "--server: 'ftp://x' is not a URL; write it like http://127.0.0.1:8053"
        os.environ["DNSD_SERVER"] = "ftp://y"
        assert complaint(capsys, ["status"], 2).startswith("DNSD_SERVER: 'ftp://y' is not a URL")

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
    def test_loopback_addresses_are_local(self, host: str, local: bool) -> None:
        assert ApiUrl("http", host, 1).local is local


class TestFailures:
    """One line with the URL, and exit code 1."""

    def test_a_closed_port_is_reported_with_the_remedy(self, capsys: Capture) -> None:
        assert complaint(capsys, ["status", "--server", GONE], 1) == (
            f"no dnsd at {GONE}: connection refused; start it, or check the admin address"
        )

    def test_an_unknown_host_is_named(self, capsys: Capture) -> None:
        error = complaint(capsys, ["status", "--server", "http://nothing.invalid:1"], 1)
        assert error.startswith(
            "no dnsd at http://nothing.invalid:1: the host name does not resolve"
        )

    def test_a_missing_token_is_reported_with_the_flags_that_give_it(
        self, there: Running, capsys: Capture, tmp_path: Path
    ) -> None:
        arguments = ["status", "--server", there.url, "--state-dir", str(tmp_path)]
        assert complaint(capsys, arguments, 1) == (
            f"{there.url} requires a token, and none was found; give --token-file FILE, DNSD_TOKEN,"
            " or --state-dir DIR of that dnsd"
        )

    def test_a_wrong_token_is_reported_with_its_source(
        self, there: Running, capsys: Capture, tmp_path: Path
    ) -> None:
        path = tmp_path / "token"
        path.write_text("a-token-of-somebody-else")
        arguments = ["status", "--server", there.url, "--token-file", str(path)]
        error = complaint(capsys, arguments, 1)
        assert error == f"{there.url} does not accept the token in {path}"
        assert "somebody-else" not in error

    @pytest.mark.parametrize("reply", [b"", b"\x00\x0c\x12\x34\x80\x01", b"220 mail\r\n"])
    def test_a_port_with_another_protocol_is_not_a_dnsd(
        self, reply: bytes, capsys: Capture
    ) -> None:
        with answering(reply) as (url, _):
            error = complaint(capsys, ["status", "--server", url], 1)
        assert error.startswith((f"{url} is not a dnsd: it does not use HTTP", f"no dnsd at {url}"))

    def test_another_web_server_is_not_a_dnsd(self, capsys: Capture) -> None:
        with answering(http("404 Not Found", b"<p>gone", "text/html")) as (url, _):
            error = complaint(capsys, ["status", "--server", url], 1)
        assert error == f"{url} is not a dnsd: it answers 404 Not Found"

    def test_a_redirect_is_not_followed(self, capsys: Capture) -> None:
        reply = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        with answering(reply) as (url, got):
            error = complaint(capsys, ["status", "--server", url, "--token", "t" * 20], 1)
        assert error == f"{url} is not a dnsd: it answers 302 Found"
        assert len(got) == 1

    def test_a_response_that_is_not_json_is_not_of_a_dnsd(self, capsys: Capture) -> None:
        with answering(http("200 OK", b"hello")) as (url, _):
            error = complaint(capsys, ["status", "--server", url], 1)
        assert error == f"{url} is not a dnsd: its response is not JSON"

    @pytest.mark.parametrize("body", [b"{}", b"[]", b"1", b'{"status": "ok"}'])
    def test_json_of_another_server_is_not_of_a_dnsd(self, body: bytes, capsys: Capture) -> None:
        with answering(http("200 OK", body)) as (url, _):
            error = complaint(capsys, ["status", "--server", url], 1)
        assert error == f"{url} is not a dnsd: its response is other JSON"

    def test_an_incomplete_response_is_an_error(self, capsys: Capture) -> None:
        whole = http("200 OK", b"{" + b" " * 1000 + b"}")
        with answering(whole[:-500]) as (url, _):
            error = complaint(capsys, ["status", "--server", url], 1)
        assert error.startswith(f"{url}: the response is incomplete")

    def test_https_at_an_http_port_is_reported_with_the_remedy(
        self, there: Running, capsys: Capture
    ) -> None:
        url = there.url.replace("http://", "https://")
        error = complaint(capsys, ["status", "--server", url], 1)
        assert error == f"{url} does not use TLS; try http://"

    def test_an_invalid_certificate_file_is_named(self, capsys: Capture, tmp_path: Path) -> None:
        path = tmp_path / "ca.pem"
        url = "https://127.0.0.1:1"
        error = complaint(capsys, ["status", "--server", url, "--ca", str(path)], 1)
        assert error == f"--ca: {path}: No such file or directory"
        path.write_text("nothing")
        assert complaint(capsys, ["status", "--server", url, "--ca", str(path)], 1).startswith(
            f"--ca: {path}: "
        )

    def test_a_problem_of_dnsd_is_its_detail(self, there: Running, capsys: Capture) -> None:
        assert complaint(capsys, ["query", "a..b", *there.flags], 1) == (
            "name: 'a..b' is not a domain name"
        )


def test_a_certificate_is_trusted_with_ca(tmp_path: Path, capsys: Capture) -> None:
    """A self-signed certificate is refused without --ca."""
    from tests.certificates import Authority
    from tests.commands.running import running

    authority = Authority(tmp_path)
    certificate, key = authority.pair("server")
    flags = ("--admin-tls-cert", str(certificate), "--admin-tls-key", str(key))
    with running(tmp_path, *flags) as there:
        assert there.url.startswith("https://")
        error = complaint(capsys, ["status", *there.flags], 1)
        assert error.startswith(f"{there.url}: ")
        assert error.endswith("; give its certificate with --ca FILE")
        assert run(capsys, "status", *there.flags, "--ca", str(authority.ca)).code == 0


def test_a_response_over_the_limit_is_refused() -> None:
    big = b" " * (MAX_RESPONSE + 2)
    too_much = pytest.raises(Failure, match="exceeds 64 MiB")
    with answering(http("200 OK", big)) as (url, _), too_much:
        Client(api_url(url)).get("/status")


def test_a_remote_command_imports_no_server() -> None:
    """A remote command must start fast in a script."""
    program = (
        "import sys; from dnsd.cli import main; main(['status', '--server', 'http://127.0.0.1:1']);"
        "heavy = ('aiohttp', 'yaml', 'kubernetes', 'dnslib', 'sqlite3', 'dnsd.zone.pipeline');"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert found.stdout.strip() == ""
