"""Draws docs/images/first-screen.svg: real commands, run on the seed, as a terminal shows them.

    python docs/pictures.py

Nothing in the picture is written by hand: dnsd serves config/examples/seed on the port that
`make run` takes, dig asks it, `dnsd explain` is asked why a name does not exist, each on a
terminal of its own so that colours are as they are. rich draws what came out. The token in
the address of the page, which is another one at every run, is cut.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "first-screen.svg"
WIDTH = 112
SEED = "config/examples/seed"
DNS, ADMIN = "127.0.0.1:1053", "127.0.0.1:8053"  # of `make run`
QUESTIONS = (
    "webui-svc.default.svc.cluster.local",
    "externalname-svc.default.svc.cluster.local",
)
WHY = "webui-scv.default"
_PATIENCE = 20.0  # seconds
_THEME = TerminalTheme(
    (22, 27, 34),
    (222, 228, 235),
    [
        *((72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)),
        *((88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)),
    ],
)


def main() -> None:
    """Runs the commands and writes the picture."""
    console = Console(
        record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    with tempfile.TemporaryDirectory() as state:
        server, said = _serve(state)
        try:
            _show(console, "make run", said)
            for name in QUESTIONS:
                asked = f"dig -p 1053 @127.0.0.1 {name} +noall +answer"
                _show(console, asked, _output(asked.split()))
            why = ("explain", WHY)
            _show(console, f"dnsd {' '.join(why)}", _output(_dnsd(*why), {"DNSD_STATE_DIR": state}))
        finally:
            server.terminate()
            server.wait()
    PICTURE.write_text(_svg(console), encoding="utf-8")


def _svg(console: Console) -> str:
    drawn = console.export_svg(title="dnsd", theme=_THEME, unique_id="dnsd")
    # The fonts would come from a web site; whoever looks has a font of his own.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    return drawn.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")


def _dnsd(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dnsd", *arguments]


def _show(console: Console, command: str, output: str) -> None:
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    console.print(Text.from_ansi(output.strip("\r\n")))
    console.print()


def _serve(state: str) -> tuple[subprocess.Popen[bytes], str]:
    """A running dnsd, and what it said when it answered."""
    flags = ("--manifests", SEED, "--listen", DNS, "--admin", ADMIN, "--state-dir", state)
    command = _dnsd("serve", *flags)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)  # noqa: S603 - ours
    lines = []
    for line in server.stdout or ():
        lines.append(line.decode())
        if line.startswith(b"admin:"):
            return server, re.sub(r"token=\S+", "token=…", "".join(lines))
    raise SystemExit(f"dnsd serve ended: {server.wait()}")


def _output(command: Sequence[str], environ: dict[str, str] | None = None) -> str:
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    more = {"COLUMNS": str(WIDTH), "TERM": "xterm-256color", **(environ or {})}
    environ = {**os.environ, **more}
    process = subprocess.Popen(  # noqa: S603 - the commands are above
        command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environ
    )
    os.close(slave)
    out, end = b"", time.monotonic() + _PATIENCE
    try:
        while (piece := os.read(master, 65536)) and time.monotonic() < end:
            out += piece
    except OSError:
        pass  # Linux says so when the last writer is gone
    process.wait(_PATIENCE)
    os.close(master)
    return out.decode().replace("\r\n", "\n")


if __name__ == "__main__":
    main()
