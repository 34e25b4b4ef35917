"""A `dnsd serve` of its own process, for tests that look at it from outside."""

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

# What a test inherits must not decide what it finds.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("DNSD_")}
ENVIRONMENT["DNSD_ADMIN"] = "off"  # unless a test is about it


class Serving:
    """A running `dnsd serve`. `host` and `port`: its first address, once it answers."""

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
        """The log's lines so far."""
        return [msgspec.json.decode(line) for line in self.stderr.splitlines()]

    def logged(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.log() if line["event"] == event]

    def wait_until_it_answers(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, f"it ended: {self.stderr}"
            return "try: dig" in self.stdout

        until(answers, "dnsd serve answers")
        found = re.search(r"answers on (?:\[(.+?)\]|([0-9.]+)):([0-9]+)", self.stdout)
        assert found
        self.host, self.port = found[1] or found[2], int(found[3])

    def ask(self, name: str, type_: str = "A", *, tcp: bool = False) -> dns.message.Message:
        """The answer to one question; UDP asks again when nothing comes."""
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
        """The answer section's values of that type, in text."""
        answer = self.ask(name, type_).answer
        return sorted(rdata.to_text() for rrset in answer for rdata in rrset)

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return children(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Its exit code, once it has one."""
        return self.process.wait(timeout=20)


@contextmanager
def serving(*flags: str, environ: dict[str, str] | None = None) -> Iterator[Serving]:
    """`dnsd serve` with these flags on a free port of 127.0.0.1, answering."""
    listen = () if "--listen" in flags else ("--listen", "127.0.0.1:0")
    with started("serve", *listen, "--log-format", "json", *flags, environ=environ) as server:
        server.wait_until_it_answers()
        yield server


@contextmanager
def started(*arguments: str, environ: dict[str, str] | None = None) -> Iterator[Serving]:
    """A `dnsd` process with these arguments; it is ended at the end."""
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "stdout").open("wb") as out, Path(folder, "stderr").open("wb") as err:
            process = subprocess.Popen(
                command(arguments),
                stdout=out,
                stderr=err,
                env={**ENVIRONMENT, **(environ or {})},
                # As a service has it: what dnsd gives way to is only what is dnsd's.
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
    """What a `dnsd` command does that ends by itself."""
    return subprocess.run(
        command(arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env={**ENVIRONMENT, **(environ or {})},
        check=False,
    )


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "dnsd", *arguments]


def children(pid: int) -> list[int]:
    """The process ids of the children of `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (one that is dead and not yet reaped does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def service(name: str, address: str, namespace: str = "default") -> str:
    """The manifest of a Service with this cluster IP."""
    return (
        "apiVersion: v1\nkind: Service\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n---\n"
    )
