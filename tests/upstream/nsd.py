"""Debian's NSD on loopback, serving a zone of the test's choosing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from tests.helpers import until
from tests.upstream.scripted import unused_port

_ATTEMPTS = 5


def find_nsd() -> str:
    """The path of NSD; skips the test if NSD is not installed."""
    path = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin:/usr/local/sbin")
    if path is None and os.environ.get("DNSD_CI"):
        pytest.fail("NSD is not installed, and DNSD_CI is set")
    if path is None:
        pytest.skip("NSD is not installed (Debian's package nsd)")
    return path


@contextmanager
def nsd(folder: Path, zone: str, text: str) -> Iterator[int]:
    """The port of an NSD that serves `zone` from this zone-file text."""
    process, port = _start(folder, zone, text)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(folder: Path, zone: str, text: str) -> tuple[subprocess.Popen[bytes], int]:
    """A running NSD and its port; another port if it was taken before NSD bound it."""
    program = find_nsd()
    (folder / "zone").write_text(text)
    for _ in range(_ATTEMPTS):
        port = unused_port()
        (folder / "nsd.conf").write_text(
            "server:\n"
            f"  ip-address: 127.0.0.1@{port}\n"
            '  username: ""\n  chroot: ""\n  server-count: 1\n  rrl-ratelimit: 0\n'
            f'  zonesdir: "{folder}"\n  pidfile: "{folder}/nsd.pid"\n  database: ""\n'
            f'  zonelistfile: "{folder}/zone.list"\n  xfrdfile: "{folder}/xfrd.state"\n'
            f'  xfrdir: "{folder}"\n  logfile: "{folder}/nsd.log"\n'
            "remote-control:\n  control-enable: no\n"
            f'zone:\n  name: "{zone}"\n  zonefile: "zone"\n'
        )
        process = subprocess.Popen(
            [program, "-d", "-c", str(folder / "nsd.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda p=process, n=port: p.poll() is not None or _answers(n, zone), "NSD answers")
        if process.poll() is None:
            return process, port
        log = (folder / "nsd.log").read_text()
        assert "already in use" in log, log
    raise AssertionError(f"no port was free in {_ATTEMPTS} attempts: {log}")


def _answers(port: int, zone: str) -> bool:
    try:
        reply = dns.query.udp(dns.message.make_query(zone, "SOA"), "127.0.0.1", 0.2, port)
    except (dns.exception.DNSException, OSError):
        return False
    return bool(reply.answer)
