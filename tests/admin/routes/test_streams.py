"""Event streams over HTTP."""

from __future__ import annotations

import asyncio
import threading

import msgspec

from tests.admin.running import READ, Admin
from tests.admin.serving import NAME, Api
from tests.cases.cluster import service
from tests.helpers import eventually, until


class TestEventStream:
    async def read(self, api: Admin, path: str, until: str, **headers: str) -> str:
        """The text of a stream up to the text `until`."""
        text = ""
        async with api.client.get(
            api.url + path, headers={"Authorization": f"Bearer {READ}", **headers}
        ) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            if "live" not in headers:
                api.apply(service("new", "10.96.5.5"))
            async with asyncio.timeout(20):
                async for chunk in response.content.iter_any():
                    text += chunk.decode()
                    if until in text:
                        return text
        raise AssertionError(text)

    async def test_a_change_of_the_zone_is_sent(self, api: Admin) -> None:
        text = await self.read(api, "/api/v1/events", "event: change")
        assert text.startswith(f"id: {api.plane.pipeline.zone.serial - 1}\nevent: hello\n")
        assert '"owner":"Service prod/new"' in text
        await eventually(lambda: len(api.context.events) == 0)

    async def test_a_client_that_reconnects_gets_the_missed_changes(self, api: Admin) -> None:
        serial = api.plane.pipeline.zone.serial
        api.apply(service("first", "10.96.5.6"))
        text = await self.read(api, f"/api/v1/events?since={serial}", "prod/new")
        assert text.index("prod/first") < text.index("prod/new")
        text = await self.read(
            api, "/api/v1/events", "prod/first", **{"Last-Event-ID": str(serial)}
        )
        assert "event: reset" not in text
        assert "event: reset" in await self.read(api, "/api/v1/events?since=5", "reset")

    async def test_streams_beyond_the_limit_are_refused(self, api: Admin) -> None:
        from dnsd.admin.events import MAX_LISTENERS

        headers = {"Authorization": f"Bearer {READ}"}
        opened = [
            await api.client.get(api.url + "/api/v1/events", headers=headers)
            for _ in range(MAX_LISTENERS)
        ]
        assert (await api.call("GET", "/api/v1/events"))[0] == 503
        for response in opened:
            response.close()
        await eventually(lambda: len(api.context.events) == 0)


def test_a_live_stream_sends_matching_queries_only(running: Api) -> None:
    lines: list[str] = []

    def listen() -> None:
        with running.open(
            "/api/v1/queries/stream?name=WebUI-svc.default&rcode=noerror"
        ) as response:
            for line in response:
                lines.append(line.decode())
                if line.startswith(b"data:") and b"webui" in line and b'"at"' in line:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    until(lambda: any("hello" in line for line in lines))

    def seen() -> bool:
        running.server.query("clusterip-service.default.svc.cluster.local")
        running.server.query(f"nothing.{NAME}")
        running.server.query(NAME)
        return not thread.is_alive()

    until(seen)
    thread.join()
    data = [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: ")]
    assert [one["name"] for one in data[1:]] == [f"{NAME}."]
    assert data[1]["client"] == "127.0.0.1"


def test_the_top_lists_hold_recent_queries(running: Api) -> None:
    def seen() -> bool:
        running.server.query("missing.default.svc.cluster.local")
        top = running.call("/api/v1/queries/top?window=10m")
        nxdomains = {one["item"] for one in top["nxdomains"]}
        return "missing.default.svc.cluster.local." in nxdomains

    until(seen)
    top = running.call("/api/v1/queries/top?window=10m")
    assert "missing.default.svc.cluster.local." in {one["item"] for one in top["names"]}
    assert top["clients"][0]["item"] == "127.0.0.1"
    assert "A" in {one["item"] for one in top["types"]}
    assert top["sampled_one_in"] >= 1
