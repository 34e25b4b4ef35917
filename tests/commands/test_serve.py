"""`dnsd serve`: what keeps it from starting is one line and an exit code."""

from __future__ import annotations

from pathlib import Path

from tests.commands.running import Capture, complaint


def test_without_a_source_the_usage_is_wrong(capsys: Capture) -> None:
    error = complaint(capsys, ["serve", "--listen", "127.0.0.1:0", "--admin", "off"], 2)
    assert "give --manifests DIR or --kubernetes" in error


def test_a_missing_directory_of_manifests_is_named(capsys: Capture, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    flags = ["--listen", "127.0.0.1:0", "--admin", "off"]
    assert missing in complaint(capsys, ["serve", "--manifests", missing, *flags], 2)
