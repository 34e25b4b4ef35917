"""A control plane with its admin API on real sockets, for tests. Workers are optional."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from dnsd.admin.app import Gate, application, listening
from dnsd.admin.auth import Tokens
from dnsd.admin.context import Context
from dnsd.admin.records import Records
from dnsd.cluster.objects import Event, from_plain
from dnsd.control.plane import ControlPlane
from dnsd.control.serial import SerialFile
from dnsd.control.serve import bind
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address, Endpoint
from dnsd.observe.history import History
from dnsd.sources.manifests.source import Manifests
from dnsd.sources.source import Batch
from tests.cases import cluster

READ, WRITE = "token-that-may-read", "token-that-may-write"
HERE = Address("127.0.0.1", 0)


class Admin:
    """A control plane, the context of its API, and a client."""

    def __init__(
        self, plane: ControlPlane, context: Context, url: str, client: aiohttp.ClientSession
    ) -> None:
        self.plane, self.context, self.url, self.client = plane, context, url, client
        self.reloads = 0

    def feed(self, *events: Event, synced: bool = True) -> None:
        self.plane.publish(Batch(events, synced))

    def apply(self, *plains: dict[str, Any]) -> None:
        self.feed(*(one for plain in plains for one in from_plain(plain)))

    async def call(
        self,
        method: str,
        path: str,
        token: str | None = WRITE,
        *,
        json: Any = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> tuple[int, Any]:
        """Status and body, decoded."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with self.client.request(
            method, self.url + path, json=json, headers=sent, allow_redirects=False, **more
        ) as response:
            if response.content_type.endswith("json"):
                return response.status, await response.json(content_type=None)
            return response.status, await response.text()

    async def get(self, path: str, **params: Any) -> Any:
        """The body of a GET that succeeds."""
        status, body = await self.call("GET", path, params=params)
        assert status == 200, body
        return body


@asynccontextmanager
async def admin(
    folder: Path, *, workers: bool = False, objects: bool = True, **settings: Any
) -> AsyncIterator[Admin]:
    """The API of a control plane with the cluster of the query tables."""
    (folder / "manifests").mkdir()
    (folder / "tokens").write_text(f"reader read {READ}\nwriter write {WRITE}\n")
    (folder / "tokens").chmod(0o600)
    plain: dict[str, Any] = {
        "manifests": str(folder / "manifests"),
        "state_dir": str(folder / "state"),
        "listen": (Endpoint(HERE),),
        "uvloop": "off",
        **settings,
    }
    chosen = Settings.of(**plain)
    async with AsyncExitStack() as stack:
        source = Manifests(chosen.manifests.directory)
        plane = ControlPlane(chosen, bind(chosen), [source], SerialFile(chosen.state_dir))
        stack.push_async_callback(plane.supervisor.stop)
        history = History(
            chosen.state_dir, max_age=chosen.history.max_age, max_bytes=chosen.history.max_size
        )
        stack.push_async_callback(history.close)
        records = Records(chosen.state_dir)

        async def reload() -> None:
            made.reloads += 1

        context = Context(plane, history, records, reload)
        gate = Gate(Tokens(str(folder / "tokens")), chosen.admin.hosts, chosen.admin.anonymous_read)
        sock = stack.enter_context(socket.create_server((HERE.host, HERE.port)))
        await stack.enter_async_context(listening(application(context, gate), sock))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        url = f"http://{HERE.host}:{sock.getsockname()[1]}"
        made = Admin(plane, context, url, client)
        if objects:
            made.apply(*cluster.objects())
        records.apply(plane.place)
        if workers:
            plane.supervisor.start()
            plane.supervisor.release()
            await plane.supervisor.opened()
        running = asyncio.create_task(context.run())
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def pages(api: Admin, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
    """The items of all pages."""
    found: list[dict[str, Any]] = []
    for _ in range(1000):
        body = await api.get(path, **params)
        found += body[key]
        if body["next"] is None:
            return found
        params["cursor"] = body["next"]
    raise AssertionError("there is always a next page")


def manifest(*plains: dict[str, Any]) -> bytes:
    return yaml.safe_dump_all(plains).encode()
