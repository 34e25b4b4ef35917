"""dnsd.admin.front: when the door opens."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from dnsd.admin.front import Front
from dnsd.cluster.source import Batch
from dnsd.house import House
from dnsd.serial import SerialFile
from dnsd.server import bind
from dnsd.settings import Settings
from tests.admin.running import HERE


async def nothing() -> None:
    """No reload."""


async def test_who_knocks_early_is_let_in_once_the_workers_answer(tmp_path: Path) -> None:
    settings = Settings(
        manifests=str(tmp_path), state_dir=str(tmp_path / "state"), listen=(HERE,), admin=HERE
    )
    async with AsyncExitStack() as stack:
        house = House(settings, bind(settings), [], SerialFile(settings.state_dir))
        stack.push_async_callback(house.supervisor.stop)
        front = Front(settings)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        running = asyncio.create_task(front.run(house, nothing))
        stack.callback(running.cancel)
        url = front.url.partition("#")[0]
        knock = asyncio.create_task(client.get(f"{url}healthz"))
        house.supervisor.start()
        house.publish(Batch((), synced=True))  # the names are known, no table is sent yet
        house.supervisor.release()
        response = await knock
        assert response.status == 200
        assert [one.state for one in house.supervisor.status()] == ["open"]
