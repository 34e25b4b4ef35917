"""Make the pictures of the documentation from a running dnsd.

    python docs/pictures.py [terminal] [page]

In `docs/` (documentation). Change here: the pictures, and what dnsd shows in them.

* `terminal` draws docs/images/first-screen.svg: the output of dnsd on the seed manifests, of dig,
  and of `dnsd explain`, each on its own terminal, so that the colors are real. rich draws the SVG.
* `page` takes the screenshots docs/images/page-*.png: Chromium shows the page while a client sends
  queries for two minutes.

Nothing in a picture is written by hand. The token, which differs in each run, is removed. dnsd uses
the ports of `make run`, so nothing else may use them.
"""

from __future__ import annotations

import math
import os
import pty
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import dns.message
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
WIDTH = 112  # columns of the terminal
SEED = "config/examples/seed"
HOST, PORT, ADMIN_PORT = "127.0.0.1", 1053, 8053  # of `make run`
NAMES = (
    "webui-svc.default.svc.cluster.local",
    "externalname-svc.default.svc.cluster.local",
)
MISSING = "webui-scv.default"
TRAFFIC = 115.0  # seconds of queries before the first screenshot
QPS = 130  # mean rate of these queries
_TIMEOUT = 20.0  # seconds
_QUERIES = (  # (name, type, weight)
    (NAMES[0], "A", 8),
    (NAMES[0], "AAAA", 3),
    (NAMES[1], "A", 2),
    (f"{MISSING}.svc.cluster.local", "A", 3),
    ("example.org", "A", 1),
)
_THEME = TerminalTheme(
    (22, 27, 34),
    (222, 228, 235),
    [
        *((72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)),
        *((88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)),
    ],
)


def main(parts: Sequence[str]) -> None:
    """Make the pictures of these parts; of all parts without arguments."""
    makers = {"terminal": terminal, "page": page}
    for part in parts or makers:
        makers[part]()


@contextmanager
def serving(manifests: str, state: str) -> Iterator[str]:
    """A dnsd that answers during the block, and its greeting."""
    flags = ("--manifests", manifests, "--state-dir", state, "--log-level", "warning")
    listen = ("--listen", f"{HOST}:{PORT}", "--admin", f"{HOST}:{ADMIN_PORT}")
    command = _dnsd("serve", *flags, *listen)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)  # noqa: S603
    try:
        lines: list[str] = []
        for line in server.stdout or ():
            lines.append(line.decode())
            if line.startswith(b"admin:"):
                break
        else:
            raise SystemExit(f"dnsd serve ended with exit code {server.wait()}")
        yield "".join(lines)
    finally:
        server.terminate()
        server.wait()


def _dnsd(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dnsd", *arguments]


# -- terminal ------------------------------------------------------------------------------


def terminal() -> None:
    """Draw first-screen.svg."""
    console = Console(
        record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    with tempfile.TemporaryDirectory() as state, serving(SEED, state) as greeting:
        _show(console, "make run", re.sub(r"token=\S+", "token=…", greeting))
        for name in NAMES:
            command = f"dig -p {PORT} @{HOST} {name} +noall +answer"
            _show(console, command, _output(command.split()))
        explain = _output(_dnsd("explain", MISSING), {"DNSD_STATE_DIR": state})
        _show(console, f"dnsd explain {MISSING}", explain)
    drawn = console.export_svg(title="dnsd", theme=_THEME, unique_id="dnsd")
    # rich links fonts of a web site. The picture uses the fonts of the reader instead.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    drawn = drawn.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")
    (IMAGES / "first-screen.svg").write_text(drawn, encoding="utf-8")


def _show(console: Console, command: str, output: str) -> None:
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    console.print(Text.from_ansi(output.strip("\r\n")))
    console.print()


def _output(command: Sequence[str], environ: dict[str, str] | None = None) -> str:
    """The output of a command on a terminal."""
    master, slave = pty.openpty()
    more = {"COLUMNS": str(WIDTH), "TERM": "xterm-256color", **(environ or {})}
    environ = {**os.environ, **more}
    process = subprocess.Popen(  # noqa: S603
        command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environ
    )
    os.close(slave)
    out, end = b"", time.monotonic() + _TIMEOUT
    with suppress(OSError):  # Linux raises it when the last writer has closed the terminal
        while (piece := os.read(master, 65536)) and time.monotonic() < end:
            out += piece
    process.wait(_TIMEOUT)
    os.close(master)
    return out.decode().replace("\r\n", "\n")


# -- page ----------------------------------------------------------------------------------


def page() -> None:
    """Take the screenshots of the overview, of explain (dark), and of live queries on a phone."""
    with tempfile.TemporaryDirectory() as work:
        manifests = Path(work, "manifests")
        shutil.copytree(ROOT / SEED, manifests)
        with serving(str(manifests), str(Path(work, "state"))) as greeting, queries():
            (url,) = re.findall(r"^admin: (\S+)", greeting, re.MULTILINE)
            with sync_playwright() as playwright:
                chromium = shutil.which("chromium")
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
                )
                _screenshots(browser, url, manifests)
                browser.close()


def _screenshots(browser: Any, url: str, manifests: Path) -> None:
    def opened(size: tuple[int, int], scheme: str, view: str) -> Any:
        viewport = {"width": size[0], "height": size[1]}
        tab = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
        tab.goto(url)
        tab.get_by_role("link", name=view, exact=True).click()
        return tab

    overview = opened((1280, 850), "light", "Overview")
    for turn in range(5):  # changes, so that the overview has the time of a change
        _change(manifests, turn)
        time.sleep(TRAFFIC / 5)
    overview.screenshot(path=IMAGES / "page-overview.png")
    explain = opened((1280, 900), "dark", "Explain")
    explain.get_by_label("Name", exact=True).fill(MISSING)
    explain.get_by_role("button", name="Explain").click()
    explain.get_by_text("does not exist (NXDOMAIN)").first.wait_for()
    explain.screenshot(path=IMAGES / "page-explain.png")
    phone = opened((390, 844), "light", "Live queries")
    phone.get_by_text("NXDOMAIN").last.wait_for()
    time.sleep(2.0)  # until the list is full
    phone.screenshot(path=IMAGES / "page-phone.png")


def _change(manifests: Path, turn: int) -> None:
    """Replace a manifest by one with another address."""
    draft = manifests / ".draft"
    draft.write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: shown, namespace: default}\n"
        f"spec: {{clusterIP: 10.96.101.{turn + 1}, ports: [{{port: 80}}]}}\n"
    )
    draft.replace(manifests / "shown.yaml")


@contextmanager
def queries() -> Iterator[None]:
    """A client that sends queries during the block, at a rate that changes."""
    stop, draw = threading.Event(), random.Random(1035)  # noqa: S311
    names, types, weights = zip(*_QUERIES, strict=True)
    packets = [
        dns.message.make_query(name, type_).to_wire()
        for name, type_ in zip(names, types, strict=True)
    ]

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((HOST, PORT))
            sock.setblocking(False)
            rate = float(QPS)
            while not stop.wait(draw.expovariate(rate)):
                now = time.monotonic()
                rate = QPS * (1 + 0.4 * math.sin(now / 5) + 0.3 * math.sin(now / 2))
                with suppress(OSError):
                    sock.send(draw.choices(packets, weights)[0])
                    sock.recv(4096)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
