"""`dnsd query`: the reply and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.running import Capture, Running, run, running
from tests.serving import service

WEB = "web.default.svc.cluster.local"


@pytest.mark.parametrize(
    ("name", "type_", "code", "first"),
    [
        (WEB, "A", 0, "NOERROR  flags: aa rd"),
        ("none.default.svc.cluster.local", "A", 3, "NXDOMAIN  flags: aa rd"),
        (WEB, "AAAA", 4, "NOERROR, no record of that type (NODATA)  flags: aa rd"),
        ("example.org", "A", 5, "REFUSED  flags: rd"),
    ],
)
def test_the_exit_code_follows_the_answer(
    there: Running, name: str, type_: str, code: int, first: str, capsys: Capture
) -> None:
    found = run(capsys, "query", name, type_, *there.flags)
    assert (found.code, found.out.splitlines()[0]) == (code, first)


def test_the_records_are_printed(there: Running, capsys: Capture) -> None:
    out = run(capsys, "query", WEB, *there.flags).out
    assert out.endswith(f"\nAnswer\n  {WEB}.  5  A  10.96.0.1\n")


def test_short_prints_the_values(there: Running, capsys: Capture) -> None:
    assert run(capsys, "query", "--short", WEB, *there.flags).out == "10.96.0.1\n"


def test_json_has_the_packets(there: Running, capsys: Capture) -> None:
    found = run(capsys, "query", "--json", "--over", "udp", WEB, *there.flags).json
    assert found["answer"][0]["value"] == "10.96.0.1"
    assert bytes.fromhex(found["reply"])[2] & 0x80


def test_the_client_address_decides_by_policy(tmp_path: Path, capsys: Capture) -> None:
    flags = ("--allow-query", "127.0.0.0/8")
    with running(tmp_path, *flags, web=service("web", "10.96.0.1")) as there:
        arguments = ("query", WEB, *there.flags)
        assert run(capsys, *arguments, "--client", "127.0.0.1").code == 0
        assert run(capsys, *arguments, "--client", "192.0.2.1").code == 5
