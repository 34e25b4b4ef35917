"""A running dnsd with its admin API, for tests."""

from __future__ import annotations

import re
from typing import Any
from urllib.request import Request, urlopen

import msgspec

from tests.helpers import until
from tests.serving import Serving

NAME = "webui-svc.default.svc.cluster.local"


class Api:
    """A running dnsd, its URL and token, as `serve` printed them."""

    def __init__(self, server: Serving) -> None:
        self.server = server
        found = until(lambda: re.search(r"admin: (https?://\S+?)/#token=(\S+)", server.stdout))
        self.url, self.token = found[1], found[2]

    def open(self, path: str, method: str = "GET", body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else msgspec.json.encode(body)
        request = Request(self.url + path, data, headers, method=method)
        return urlopen(request, timeout=20)

    def call(self, path: str, method: str = "GET", body: object = None) -> Any:
        with self.open(path, method, body) as response:
            return msgspec.json.decode(response.read())

    def text(self, path: str) -> str:
        with self.open(path) as response:
            found: str = response.read().decode()
            return found
