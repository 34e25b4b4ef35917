"""Tokens: the token file, its changes, and the token that dnsd creates."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dnsd.admin.auth import (
    BadTokens,
    Role,
    Tokens,
    find_token,
    own_token,
    private,
    read,
    token_path,
)

ONE, TWO, THREE = "one-token-of-length", "two-token-of-length", "three-token-of-length"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    write(path, f"# operators\nalice write {ONE}  # on call\n\nbob read {TWO}\n")
    return path


def write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)


class TestFile:
    def test_a_token_has_its_name_and_role(self, file: Path) -> None:
        tokens = Tokens(str(file))
        alice, bob = tokens.find(ONE), tokens.find(TWO)
        assert alice is not None
        assert bob is not None
        assert (alice.name, alice.role) == ("alice", Role.WRITE)
        assert (bob.name, bob.role) == ("bob", Role.READ)

    @pytest.mark.parametrize("wrong", ["", "x", ONE[:-1], ONE + "x", ONE.upper(), "é" * 20])
    def test_an_unknown_token_has_no_identity(self, file: Path, wrong: str) -> None:
        assert Tokens(str(file)).find(wrong) is None

    def test_a_changed_file_takes_effect(self, file: Path) -> None:
        tokens = Tokens(str(file))
        write(file, f"carol read {THREE}\n")
        assert tokens.find(ONE) is None
        assert tokens.find(THREE) is not None

    def test_an_invalid_change_keeps_the_previous_tokens(self, file: Path) -> None:
        tokens = Tokens(str(file))
        write(file, f"carol admin {THREE}\n")
        with capture_logs() as logs:
            assert tokens.find(ONE) is not None
            assert tokens.find(ONE) is not None
        assert [one["log_level"] for one in logs] == ["error"]
        assert "not a role" in logs[0]["problem"]
        file.unlink()
        assert tokens.find(TWO) is not None

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "has no token"),
            ("alice write", ":1: has 2 words"),
            (f"\nalice admin {ONE}", ":2: 'admin' is not a role"),
            ("alice read short", "must have 16 to 512"),
        ],
    )
    def test_an_error_names_the_line_and_the_reason(
        self, tmp_path: Path, text: str, problem: str
    ) -> None:
        path = tmp_path / "tokens"
        write(path, text)
        with pytest.raises(BadTokens, match=problem) as caught:
            read(str(path))
        assert "short" not in str(caught.value).replace("must", "")

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(BadTokens, match="No such file"):
            Tokens(str(tmp_path / "none"))


class TestOwn:
    def test_the_token_is_created_once_with_mode_0600(self, tmp_path: Path) -> None:
        path = token_path(str(tmp_path), 8053)
        token = own_token(path)
        assert len(token) >= 40
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert own_token(path) == token == find_token(str(tmp_path), 8053)
        found = Tokens(own=token).find(token)
        assert found is not None
        assert found.role is Role.WRITE

    def test_a_token_that_others_can_read_is_replaced(self, tmp_path: Path) -> None:
        path = token_path(str(tmp_path), 8053)
        token = own_token(path)
        path.chmod(0o644)
        assert find_token(str(tmp_path), 8053) == ""
        assert own_token(path) != token
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text("x" * 40)
        (tmp_path / "elsewhere").chmod(0o600)
        (tmp_path / "admin.token").symlink_to(tmp_path / "elsewhere")
        assert own_token(tmp_path / "admin.token") != "x" * 40
        assert (tmp_path / "elsewhere").read_text() == "x" * 40

    def test_without_a_state_directory_the_runtime_directory_is_used(self, tmp_path: Path) -> None:
        environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
        path = token_path("", 8053, environ)
        own = own_token(private(path.parent) / path.name)
        assert path == tmp_path / "dnsd" / "admin-8053.token"
        assert find_token("", 8053, environ) == own
        assert find_token("", 8054, environ) == ""

    def test_a_directory_that_others_can_write_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "dnsd").mkdir()
        os.chmod(tmp_path / "dnsd", 0o777)
        with pytest.raises(PermissionError):
            private(tmp_path / "dnsd")
