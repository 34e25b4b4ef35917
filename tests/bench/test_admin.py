"""The client of the admin API: pages, streams, and tokens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from bench import admin
from tests.helpers import until


class Handler(BaseHTTPRequestHandler):
    """Pages of records with a cursor, and a stream with three events."""

    requests: ClassVar[list[tuple[str, dict[str, list[str]], str | None]]] = []

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        arguments = parse_qs(url.query)
        self.requests.append((url.path, arguments, self.headers["Authorization"]))
        self.send_response(200)
        self.end_headers()
        if url.path.endswith("/stream"):
            self.wfile.write(b"event: hello\n\n" + b"event: query\ndata: {}\n\n" * 3)
            return
        page = int(arguments.get("cursor", ["0"])[0])
        self.wfile.write(json.dumps({"next": str(page + 1)}).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def dnsd() -> Iterator[admin.Dnsd]:
    Handler.requests.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield admin.Dnsd(0, 0, 0, f"http://127.0.0.1:{server.server_port}", "secret")
        finally:
            server.shutdown()
            thread.join()


def test_each_page_is_read_with_the_cursor_of_the_previous_one(dnsd: admin.Dnsd) -> None:
    times = admin.pages(dnsd, 100)
    cursors = [arguments.get("cursor", [""])[0] for _, arguments, _ in Handler.requests]
    assert cursors == ["", *(str(page) for page in range(1, admin.PAGES))]
    assert len(times) == admin.PAGES


def test_requests_carry_the_token(dnsd: admin.Dnsd) -> None:
    admin.timed(dnsd, iter(["/api/v1/explain?name=a."]))
    assert [token for *_, token in Handler.requests] == ["Bearer secret"]


def test_the_query_events_of_a_stream_are_counted(dnsd: admin.Dnsd) -> None:
    with admin.reading(dnsd, "/api/v1/queries/stream?name=a") as count:
        until(lambda: count[0] == 3, "three events arrive")
