"""dnsd.admin.server: when the door opens."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from dnsd.admin.server import AdminServer
from dnsd.control.plane import ControlPlane
from dnsd.control.serial import SerialFile
from dnsd.control.serve import bind
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Endpoint
from dnsd.sources.source import Batch
from tests.admin.running import HERE


async def nothing() -> None:
    """No reload."""


async def test_who_knocks_early_is_let_in_once_the_workers_answer(tmp_path: Path) -> None:
    settings = Settings.of(
        manifests=str(tmp_path),
        state_dir=str(tmp_path / "state"),
        listen=(Endpoint(HERE),),
        admin=HERE,
    )
    async with AsyncExitStack() as stack:
        plane = ControlPlane(settings, bind(settings), [], SerialFile(settings.state_dir))
        stack.push_async_callback(plane.supervisor.stop)
        front = AdminServer(settings)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        running = asyncio.create_task(front.run(plane, nothing))
        stack.callback(running.cancel)
        url = front.url.partition("#")[0]
        knock = asyncio.create_task(client.get(f"{url}healthz"))
        plane.supervisor.start()
        plane.publish(Batch((), synced=True))  # the names are known, no table is sent yet
        plane.supervisor.release()
        response = await knock
        assert response.status == 200
        assert [one.state for one in plane.supervisor.status()] == ["open"]
