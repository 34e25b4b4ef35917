"""The recorded exchanges with a real kube-apiserver, read and played back.

A recording has the request, the status line, the headers, and either a body or chunks, each after
its time and size. A mark in square brackets states how it ended. `Replay` serves a recording byte
for byte and chunk for chunk, without its delays.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

FOLDER = Path(__file__).parent / "recordings"
_CHUNK = re.compile(rb"\[\+([0-9.]+)s chunk of ([0-9]+) bytes\]\n")


class Recording(Struct, frozen=True):
    """One exchange. `chunks`: (seconds since the headers, bytes); `still_open`: not ended."""

    name: str
    path: str
    params: dict[str, str]
    status: int
    headers: dict[str, str]
    body: bytes
    chunks: tuple[tuple[float, bytes], ...]
    still_open: bool


def load(name: str) -> Recording:
    """The recording `name` (without `.txt`)."""
    data = (FOLDER / f"{name}.txt").read_bytes()
    head, _, rest = data.partition(b"\n\n")
    request, status, *fields = head.decode().split("\n")
    target = urlsplit(request.removeprefix("# GET ").split(" ")[0])
    headers = dict(line.split(": ", 1) for line in fields)
    chunks = []
    body = rest
    if headers.get("Transfer-Encoding") == "chunked":
        while found := _CHUNK.match(rest):
            size = int(found[2])
            chunk = rest[found.end() : found.end() + size]
            assert len(chunk) == size, f"{name}: a chunk is cut short"
            chunks.append((float(found[1]), chunk))
            rest = rest[found.end() + size :].lstrip(b"\n")
        body = b"".join(chunk for _, chunk in chunks)
    return Recording(
        name,
        target.path,
        dict(parse_qsl(target.query)),
        int(status.split()[1]),
        headers,
        body if chunks else body[: int(headers.get("Content-Length", "0"))],
        tuple(chunks),
        b"still open" in rest,
    )


def names() -> list[str]:
    """Every recording."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


class Replay:
    """A server that gives the same recorded answer to every request.

    A recording without an end stays open until the client disconnects.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.url = ""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Replay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            target = urlsplit(head.decode().split(" ")[1])
            self.requests.append((target.path, dict(parse_qsl(target.query))))
            await self._answer(writer)
            if self.recording.still_open:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        recording = self.recording
        lines = [f"HTTP/1.1 {recording.status} Recorded"]
        lines += [f"{name}: {value}" for name, value in recording.headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        if recording.headers.get("Transfer-Encoding") != "chunked":
            writer.write(recording.body)
            await writer.drain()
            return
        for _, chunk in recording.chunks:
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
        if not recording.still_open:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
