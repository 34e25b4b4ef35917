"""`dnsd top`: one screen, and a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
from pathlib import Path

from dnsd.commands.top import outcomes, sparkline
from tests.commands.running import Capture, Running, complaint, run, running
from tests.helpers import until
from tests.serving import ENVIRONMENT, command, service

WEB = "web.default.svc.cluster.local"


def test_once_prints_names_nxdomains_clients_and_types(there: Running, capsys: Capture) -> None:
    missing = "missing.default.svc.cluster.local"

    def seen() -> str:
        there.server.query(WEB)
        there.server.query(missing)
        out = run(capsys, "top", "--once", *there.flags).out
        return out if out.count(missing) == 2 else ""

    out = until(seen)
    assert "NXDOMAIN" in out
    assert "127.0.0.1" in out.partition("Clients")[2]
    assert "types: A " in out
    assert "\x1b" not in out


def test_json_has_the_window_and_the_status(there: Running, capsys: Capture) -> None:
    found = run(capsys, "top", "--json", "--window", "10m", *there.flags).json
    assert found["top"]["window"] == "10m"
    assert found["status"]["version"]


def test_on_a_terminal_it_updates_until_ctrl_c(tmp_path: Path) -> None:
    """While dnsd is unreachable, it shows the error and the last data."""
    with running(tmp_path, web=service("web", "10.96.0.1")) as there:
        screen = _Screen(["top", "--interval", "0.2", *there.flags])
        try:
            screen.wait_for("queries per second")
            there.server.process.kill()
            there.server.ended()
            screen.wait_for("connection refused")
            screen.process.send_signal(signal.SIGINT)
            assert until(lambda: screen.ended(), "Ctrl-C ends it") == [0]
        finally:
            screen.close()


def test_without_a_dnsd_it_fails(capsys: Capture) -> None:
    assert complaint(capsys, ["top", "--server", "http://127.0.0.1:1"], 1)


class _Screen:
    """A command on a terminal of its own."""

    def __init__(self, arguments: list[str]) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        environ = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
        self.process = subprocess.Popen(
            command(arguments), stdin=slave, stdout=slave, stderr=slave, env=environ,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def wait_for(self, words: str) -> None:
        self.text = ""
        until(lambda: words in self.read(), f"the screen shows {words!r}")

    def read(self) -> str:
        with contextlib.suppress(BlockingIOError, OSError):
            self.text += os.read(self._master, 65536).decode("utf-8", "replace")
        return self.text

    def ended(self) -> list[int]:
        self.read()  # a full terminal would block it
        code = self.process.poll()
        return [] if code is None else [code]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


def test_a_sparkline_scales_to_its_largest_value() -> None:
    assert sparkline([]) == sparkline([0.0]) == ""
    assert sparkline([0.0, 5.0, 10.0]) == " ▄█"


def test_rates_are_summed_by_outcome() -> None:
    rates = {"queries.udp.A.nxdomain": 1.0, "queries.tcp.A.nxdomain": 0.5, "udp.sent": 9.0}
    assert outcomes(rates) == "nxdomain 1.5"
    assert outcomes({}) == "no queries"
