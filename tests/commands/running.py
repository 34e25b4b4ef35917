"""A running dnsd for commands, and a command line in this process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dnsd.cli import main
from tests.helpers import until
from tests.serving import Serving, serving

Capture = pytest.CaptureFixture[str]


class Running:
    """A `dnsd serve` with its API: URL, token, and manifests."""

    def __init__(self, server: Serving, manifests: Path, state: Path) -> None:
        self.server, self.manifests, self.state = server, manifests, state
        found = until(lambda: re.search(r"admin: (https?://\S+?)/#token=(\S+)", server.stdout))
        self.url, self.token = found[1], found[2]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that select it."""
        return ("--server", self.url, "--state-dir", str(self.state))


@contextmanager
def running(folder: Path, *flags: str, **files: str) -> Iterator[Running]:
    """A dnsd with its own manifests. `files`: name without suffix -> text."""
    manifests, state = folder / "manifests", folder / "state"
    manifests.mkdir()
    for name, text in files.items():
        (manifests / f"{name}.yaml").write_text(text)
    more = ("--manifests", str(manifests), "--state-dir", str(state), "--admin", "127.0.0.1:0")
    with serving(*more, *flags) as server:
        yield Running(server, manifests, state)


class Ran:
    """The result of a command line."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(capsys: Capture, *arguments: str) -> Ran:
    """Run one command line in this process."""
    code = main(arguments)
    captured = capsys.readouterr()
    return Ran(code, captured.out, captured.err)


def complaint(capsys: Capture, arguments: Sequence[str], code: int) -> str:
    """The one line on stderr of a command that fails with this code."""
    found = run(capsys, *arguments)
    assert (found.code, found.out) == (code, ""), found.err
    assert found.err.startswith("dnsd: ")
    assert found.err.count("\n") == 1
    return found.err.removeprefix("dnsd: ").rstrip("\n")
