"""The health check of the image: a running dnsd, and other servers at its port."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dnsd.commands.health import problem
from tests.certificates import Authority
from tests.helpers import until
from tests.serving import SEED, serving


def admin_of(text: str) -> str:
    """ADDRESS:PORT of the API, as dnsd has printed it."""
    found = re.search(r"^admin: https?://([^/]+)/", text, re.M)
    return found[1] if found else ""


@pytest.fixture
def certificate(tmp_path) -> tuple[Path, Path]:
    return Authority(tmp_path).pair("dnsd-admin.dns.svc")


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A port where one request is answered like that."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def once() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        thread = threading.Thread(target=once, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_dnsd_that_serves_is_alive(tls, certificate, tmp_path):
    """The name and the issuer of its certificate do not matter."""
    lines = ["admin: 127.0.0.1:0", f"manifests: {SEED}"]
    if tls:
        lines += [f"admin_tls_cert: {certificate[0]}", f"admin_tls_key: {certificate[1]}"]
    config = tmp_path / "dnsd.yaml"
    config.write_text("\n".join(lines))
    environ = {"DNSD_ADMIN": "", "DNSD_CONFIG": str(config)}
    with serving(environ=environ) as server:
        admin = until(lambda: admin_of(server.stdout), "the API is open")
        here = {"DNSD_CONFIG": str(config), "DNSD_ADMIN": admin}
        until(lambda: problem(here) == "", "it is alive")
        everywhere = {**here, "DNSD_ADMIN": admin.replace("127.0.0.1", "0.0.0.0")}
        assert problem(everywhere) == ""
        server.process.kill()
        server.ended()
        assert problem(here).startswith(f"{admin}: ")


def test_without_the_api_dnsd_counts_as_healthy():
    assert problem({"DNSD_ADMIN": "off"}) == ""


def test_an_unhealthy_dnsd_gives_the_reason():
    reply = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\n\r\nworker 1: no"
    with answering(reply) as admin:
        assert problem({"DNSD_ADMIN": admin}) == "503 worker 1: no"


def test_a_port_without_http_is_unhealthy():
    with answering(b"SSH-2.0-other\r\n") as admin:
        assert "SSH-2.0-other" in problem({"DNSD_ADMIN": admin})


def test_a_file_that_cannot_be_read_is_named():
    assert "DNSD_CONFIG: /nowhere does not exist" in problem({"DNSD_CONFIG": "/nowhere"})
