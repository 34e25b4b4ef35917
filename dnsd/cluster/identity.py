"""Which cluster is it? The uid of the Namespace kube-system says so, for as long as it exists.

An address says little: a kubeconfig's URL, or 10.96.0.1, may lead to another cluster after
a reconnect. So the question is asked again whenever a stream was opened, before what comes
out of it is believed.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
import structlog
from msgspec import Struct

from dnsd.cluster.kubeclient import ApiError, Client, Unreachable

log = structlog.get_logger("dnsd.kubernetes")

PATH = "/api/v1/namespaces/kube-system"


class OtherCluster(Exception):
    """The API server is not the one whose objects are known."""


class _Meta(Struct):
    uid: str = ""


class _Namespace(Struct):
    metadata: _Meta


class Identity:
    """The cluster behind a client. `uid` is "" while it is unknown."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.uid = ""
        self._lock = asyncio.Lock()
        self._asked = 0.0  # when the last answer was asked for, monotonic

    async def ask(self) -> str:
        """The uid, from the server. Raises ApiError, Unreachable."""
        body = await self.client.page(PATH, {})
        try:
            return msgspec.json.decode(body, type=_Namespace).metadata.uid
        except msgspec.DecodeError as error:
            raise Unreachable(f"{self.client.host}{PATH}: no Namespace: {error}") from error

    async def confirm(self) -> None:
        """Before a stream that was just opened is believed: the same cluster still?

        One answer serves all streams that were opened before the question. A server that
        cannot or will not say is believed: it is asked again with the next stream. Raises
        OtherCluster, once; the other one is the known one from then on.
        """
        opened = time.monotonic()
        async with self._lock:
            if self._asked > opened:
                return
            asked = time.monotonic()
            try:
                uid = await self.ask()
            except (ApiError, Unreachable) as error:
                log.debug("the cluster cannot be asked who it is", problem=str(error))
                return
            self._asked = asked
        if not uid:
            return
        known, self.uid = self.uid, uid
        if known and uid != known:
            raise OtherCluster(f"uid of kube-system is {uid}, was {known}")
