"""Debian's NSD on loopback, serving a zone of the test's choosing."""

from __future__ import annotations

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


def find_nsd() -> str:
    """Where NSD is; skips the test when it is nowhere."""
    path = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip("NSD is not installed (Debian's package nsd)")
    return path


@contextmanager
def nsd(folder: Path, zone: str, text: str) -> Iterator[int]:
    """The port of an NSD that serves `zone` from this zone-file text."""
    program = find_nsd()
    port = unused_port()
    (folder / "zone").write_text(text)
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
    try:
        until(lambda: process.poll() is not None or _answers(port, zone), "NSD answers")
        assert process.poll() is None, (folder / "nsd.log").read_text()
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, zone: str) -> bool:
    try:
        reply = dns.query.udp(dns.message.make_query(zone, "SOA"), "127.0.0.1", 0.2, port)
    except (dns.exception.DNSException, OSError):
        return False
    return bool(reply.answer)
