"""The selection of a running dnsd and its token by flags, variables, and settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.commands.answering import answering, http
from tests.commands.running import Capture, Running, complaint, run
from tests.serving import serving

GONE = "http://127.0.0.1:1"


class TestFinding:
    """The choice of the dnsd, and of the token."""

    def test_server_and_state_directory_select_it(self, there: Running, capsys: Capture) -> None:
        assert run(capsys, "status", *there.flags).code == 0

    def test_its_own_settings_select_it(
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

    def test_its_token_is_found_in_the_runtime_directory(
        self, manifests: Path, capsys: Capture
    ) -> None:
        """XDG_RUNTIME_DIR holds the token of a dnsd without a state directory."""
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
    def test_a_wildcard_address_is_reached_on_loopback(
        self, admin: str, place: str, capsys: Capture
    ) -> None:
        os.environ["DNSD_ADMIN"] = admin
        assert complaint(capsys, ["status"], 1).startswith(f"no dnsd at {place}: ")

    def test_variables_select_it(self, there: Running, capsys: Capture) -> None:
        os.environ["DNSD_SERVER"] = there.url
        os.environ["DNSD_TOKEN"] = there.token
        assert run(capsys, "status").code == 0

    def test_flags_win_over_files_and_files_over_variables(
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

    def test_an_api_that_is_off_requires_a_server(self, capsys: Capture) -> None:
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
    def test_an_invalid_token_file_is_refused(
        self, content: str | None, line: str, capsys: Capture, tmp_path: Path
    ) -> None:
        path = tmp_path / "token"
        if content is not None:
            path.write_text(content)
        error = complaint(capsys, ["status", "--server", GONE, "--token-file", str(path)], 2)
        assert error.startswith(f"--token-file: {path}")
        assert error.endswith(line)

    def test_a_found_token_is_sent_to_loopback_only(self, tmp_path: Path) -> None:
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
