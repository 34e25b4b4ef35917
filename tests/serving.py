"""A `dnsd` process, for tests of its behavior from outside.

In `tests/` (support of all tests). Change here: how a test starts dnsd and queries it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query
import msgspec

from tests.helpers import until

ROOT = Path(__file__).parent.parent
SEED = ROOT / "config" / "examples" / "seed"

# The environment of the machine must not change the result of a test.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("DNSD_")}
ENVIRONMENT["DNSD_ADMIN"] = "off"  # a test of the admin API sets it


class Serving:
    """A running `dnsd serve`. `host` and `port`: its first address, when it answers."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._out, self._err = folder / "stdout", folder / "stderr"
        self.host, self.port = "", 0

    @property
    def stdout(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def log(self) -> list[dict[str, object]]:
        """The lines of the log so far."""
        return [msgspec.json.decode(line) for line in self.stderr.splitlines()]

    def logged(self, event: str) -> list[dict[str, object]]:
        """The lines of the log with this event."""
        return [line for line in self.log() if line["event"] == event]

    def wait_until_it_answers(self) -> None:
        """Wait for the greeting, and read the address from it."""

        def answers() -> bool:
            assert self.process.poll() is None, f"dnsd ended: {self.stderr}"
            return "try: dig" in self.stdout

        until(answers, "dnsd serve answers")
        found = re.search(r"answers on (?:\[(.+?)\]|([0-9.]+)):([0-9]+)", self.stdout)
        assert found
        self.host, self.port = found[1] or found[2], int(found[3])

    def query(self, name: str, type_: str = "A", *, tcp: bool = False) -> dns.message.Message:
        """The reply to one query; over UDP, a lost query is sent again."""
        query = dns.message.make_query(name, type_)
        if tcp:
            return dns.query.tcp(query, self.host, port=self.port, timeout=10)
        for _ in range(9):
            try:
                return dns.query.udp(query, self.host, port=self.port, timeout=1)
            except dns.exception.Timeout:
                continue
        return dns.query.udp(query, self.host, port=self.port, timeout=1)

    def values(self, name: str, type_: str = "A") -> list[str]:
        """The sorted data of the records in the answer section, as text."""
        answer = self.query(name, type_).answer
        return sorted(rdata.to_text() for rrset in answer for rdata in rrset)

    def workers(self) -> list[int]:
        """The pids of its workers."""
        return children(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(timeout=20)


@contextmanager
def serving(*flags: str, environ: dict[str, str] | None = None) -> Iterator[Serving]:
    """A `dnsd serve` that answers, with these flags, on a free port of 127.0.0.1."""
    listen = () if "--listen" in flags else ("--listen", "127.0.0.1:0")
    with started("serve", *listen, "--log-format", "json", *flags, environ=environ) as server:
        server.wait_until_it_answers()
        yield server


@contextmanager
def started(*arguments: str, environ: dict[str, str] | None = None) -> Iterator[Serving]:
    """A `dnsd` process with these arguments; the end of the block kills it."""
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "stdout").open("wb") as out, Path(folder, "stderr").open("wb") as err:
            process = subprocess.Popen(
                command(arguments),
                stdout=out,
                stderr=err,
                env={**ENVIRONMENT, **(environ or {})},
                # Its own session, as for a service: the priority of dnsd then affects dnsd only.
                start_new_session=True,
            )
        server = Serving(process, Path(folder))
        try:
            yield server
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def dnsd(
    *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The result of a `dnsd` command that ends by itself."""
    return subprocess.run(
        command(arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env={**ENVIRONMENT, **(environ or {})},
        check=False,
    )


def command(arguments: Sequence[str]) -> list[str]:
    """The command line of dnsd with these arguments."""
    return [sys.executable, "-m", "dnsd", *arguments]


def children(pid: int) -> list[int]:
    """The pids of the children of `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def service(name: str, address: str, namespace: str = "default") -> str:
    """The manifest of a Service with this ClusterIP."""
    return (
        "apiVersion: v1\nkind: Service\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n---\n"
    )
