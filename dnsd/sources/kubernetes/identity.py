"""The identity of the cluster: the uid of the Namespace kube-system.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: how dnsd notices
that another cluster answers.

An address does not identify a cluster: the URL of a kubeconfig, or 10.96.0.1, may lead to another
cluster after a reconnect. So dnsd queries the uid after each opened stream, before it uses the
objects of the stream, and after the list of a reconcile, before it corrects anything.

* If `get` of the Namespace is forbidden, dnsd lists it; it has that right where it watches
  Namespaces. If both are forbidden, clusters cannot be distinguished, which `problem` reports.
* If a server does not answer in time (`Timing.identity`), its stream is trusted for now, so that a
  request that hangs delays a scope only briefly. The uid is then queried beside the streams
  (`pending`), with the time limit of any other request. A reconcile waits that long too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import structlog
from msgspec import Struct

from dnsd.sources.kubernetes.client import Client
from dnsd.sources.kubernetes.errors import ApiError, Unreachable

log = structlog.get_logger("dnsd.kubernetes")

NAMESPACES, NAME = "/api/v1/namespaces", "kube-system"
RULE = '{apiGroups: [""], resources: ["namespaces"], verbs: ["get"]}'


class OtherCluster(Exception):
    """The API server is not the one whose objects dnsd holds."""


class _Meta(Struct):
    uid: str = ""


class Namespace(Struct):
    """The Namespace kube-system."""

    metadata: _Meta


class NamespaceList(Struct):
    """A list with at most that Namespace."""

    items: list[Namespace] | None = None


class Identity:
    """The cluster behind a client. `uid` is empty while it is unknown.

    `problem`: why the server refuses to report its uid, or an empty string.
    `pending`: the last query was not answered.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.uid = ""
        self.problem = ""
        self.pending = False
        self._lists = False  # `get` is forbidden
        self._lock = asyncio.Lock()
        self._changed = ""  # the message of OtherCluster, by the last query
        self._queried_at = 0.0  # when the last query was sent, monotonic

    async def query(self) -> str:
        """The uid from the server, within `Timing.identity`. Raises ApiError and Unreachable."""
        try:
            async with asyncio.timeout(self.client.timing.identity):
                return await self._query()
        except TimeoutError as error:
            raise Unreachable(f"{self.client.host}: no uid of {NAME} in time") from error

    async def _query(self) -> str:
        try:
            if not self._lists:
                namespace = await self.client.fetch(f"{NAMESPACES}/{NAME}", Namespace)
                return namespace.metadata.uid
        except ApiError as error:
            if error.status != 403:
                raise
            self._lists = True
        selector = {"fieldSelector": f"metadata.name={NAME}"}
        try:
            listed = (await self.client.fetch(NAMESPACES, NamespaceList, selector)).items or []
        except ApiError:
            self._lists = False
            raise
        return listed[0].metadata.uid if listed else ""

    async def confirm(self) -> bool:
        """Check a stream that has just been opened: whether it is of the same cluster.

        One query serves all streams that were opened before it. Returns False if the server did not
        answer; a server that refuses is trusted. Raises OtherCluster for each of these streams, and
        takes the other cluster as the known one.
        """
        opened_at = time.monotonic()
        async with self._lock:
            if self._queried_at > opened_at:
                if self._changed:
                    raise OtherCluster(self._changed)
                return not self.pending
            self._queried_at, self._changed = time.monotonic(), ""
            return await self._compare(self.query())

    async def check(self) -> bool:
        """The same with the time limit of any request, for a caller that delays no stream."""
        return await self._compare(self._query())

    async def _compare(self, query: Awaitable[str]) -> bool:
        try:
            uid = await query
        except (ApiError, Unreachable) as error:
            status = error.status if isinstance(error, ApiError) else 0
            self.pending = status not in (403, 404)
            if status == 403:
                self._report(f"the ClusterRole lacks the rule {RULE} ({error})")
            elif status == 404:
                self._report(str(error))
            else:
                log.debug("the identity of the cluster is unknown", problem=str(error))
            return not self.pending
        self.pending = False
        self._report("" if uid else f"the cluster has no Namespace {NAME}")
        known, self.uid = self.uid, uid or self.uid
        if known and self.uid != known:
            self._changed = f"uid of {NAME} is {uid}, was {known}"
            raise OtherCluster(self._changed)
        return True

    def _report(self, problem: str) -> None:
        if problem:
            problem = f"the cluster cannot be distinguished from another one: {problem}"
            if problem != self.problem:
                log.warning("the identity of the cluster is unknown", problem=problem)
        self.problem = problem
