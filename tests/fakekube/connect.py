"""A `Client` for a fake server, by a kubeconfig file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from dnsd.sources.kubernetes.client import Client, connect
from dnsd.sources.kubernetes.credentials import Access, Timing
from tests.fakekube.plain import kubeconfig

# The defaults, shortened; `idle` stays long enough for a busy machine.
QUICK = Timing(
    connect=5.0,
    reply=5.0,
    page=10.0,
    exec=10.0,
    idle=5.0,
    end_mark=2.0,
    quiet=0.05,
    watch=60.0,
    renew=0.0,
    refresh=0.0,
    backoff=0.005,
    backoff_max=0.02,
    brief=0.01,
    empty_ends=3,
    grace=0.4,
    identity=5.0,
)


class HasUrl(Protocol):
    @property
    def url(self) -> str: ...


@asynccontextmanager
async def client_of(
    server: HasUrl, folder: Path, user: dict[str, Any] | None = None, **timing: float
) -> AsyncIterator[Client]:
    """A client of `server`; `timing` changes QUICK."""
    path = folder / "kubeconfig"
    path.write_text(kubeconfig(server.url, user))
    quick = msgspec.structs.replace(QUICK, **timing)
    client = await connect(Access(str(path)), quick)
    try:
        yield client
    finally:
        await client.close()
