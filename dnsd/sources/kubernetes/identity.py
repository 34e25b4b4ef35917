"""Which cluster is it? The uid of the Namespace kube-system says so, for as long as it exists.

An address says little: a kubeconfig's URL, or 10.96.0.1, may lead to another cluster after
a reconnect. So the question is asked again whenever a stream was opened, before what comes
out of it is believed, and when a reconcile has listed, before anything is corrected.

Whoever may not `get` the Namespace, lists it: that right is there, where Namespaces are
followed. When both are denied, clusters cannot be told apart, which `problem` says.

A server that does not say in time (`Timing.identity`) is believed for now, so that a hanging
request keeps no scope waiting for long, and asked again beside the streams (`owed`), with
the patience for any other request. A reconcile has that patience too.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
import structlog
from msgspec import Struct

from dnsd.sources.kubernetes.client import NOT_JSON, ApiError, Client, Unreachable
from dnsd.sources.kubernetes.credentials import KubeError

log = structlog.get_logger("dnsd.kubernetes")

SPACES, NAME = "/api/v1/namespaces", "kube-system"
RULE = '{apiGroups: [""], resources: ["namespaces"], verbs: ["get"]}'


class OtherCluster(Exception):
    """The API server is not the one whose objects are known."""


class _Meta(Struct):
    uid: str = ""


class _Namespace(Struct):
    metadata: _Meta


class _List(Struct):
    items: list[_Namespace] | None = None


class Identity:
    """The cluster behind a client. `uid` is "" while it is unknown.

    `problem`: why this server will not say who it is; "" when it says, or only did not answer.
    `owed`: the last question was not answered.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.uid = ""
        self.problem = ""
        self.owed = False
        self._lists = False  # it may not be got
        self._lock = asyncio.Lock()
        self._found = ""  # that it is another cluster, by the last question
        self._asked = 0.0  # when the last question was asked, monotonic

    async def ask(self) -> str:
        """The uid, from the server, within `Timing.identity`. Raises ApiError, Unreachable."""
        try:
            async with asyncio.timeout(self.client.timing.identity):
                return await self._ask()
        except TimeoutError as error:
            raise Unreachable(f"{self.client.host}: does not say in time who it is") from error

    async def _ask(self) -> str:
        try:
            if not self._lists:
                body = await self.client.page(f"{SPACES}/{NAME}", {})
                return msgspec.json.decode(body, type=_Namespace).metadata.uid
        except ApiError as error:
            if error.status != 403:
                raise
            self._lists = True
        except NOT_JSON as error:
            raise Unreachable(f"{self.client.host}: {NAME} is no Namespace: {error}") from error
        return await self._listed()

    async def _listed(self) -> str:
        try:
            body = await self.client.page(SPACES, {"fieldSelector": f"metadata.name={NAME}"})
            found = msgspec.json.decode(body, type=_List).items or []
        except ApiError:
            self._lists = False
            raise
        except NOT_JSON as error:
            raise Unreachable(f"{self.client.host}{SPACES}: no list: {error}") from error
        return found[0].metadata.uid if found else ""

    async def confirm(self) -> bool:
        """Before a stream that was just opened is believed: the same cluster still?

        One question serves all streams that were opened before it. False: the server did not
        answer (one that will not say is believed). Raises OtherCluster, to all of these; the
        other one is the known one from then on.
        """
        opened = time.monotonic()
        async with self._lock:
            if self._asked > opened:
                if self._found:
                    raise OtherCluster(self._found)
                return not self.owed
            self._asked, self._found = time.monotonic(), ""
            try:
                uid = await self.ask()
            except (ApiError, Unreachable) as error:
                return self._unknown(error)
            self._learn(uid)
        return True

    async def insist(self) -> bool:
        """As `confirm`, for who can wait as long as for any reply, and keeps no stream waiting."""
        try:
            uid = await self._ask()
        except (ApiError, Unreachable) as error:
            return self._unknown(error)
        self._learn(uid)
        return True

    def _learn(self, uid: str) -> None:
        self.owed = False
        self._complain("" if uid else f"the cluster has no Namespace {NAME}")
        if not uid:
            return
        known, self.uid = self.uid, uid
        if known and uid != known:
            self._found = f"uid of kube-system is {uid}, was {known}"
            raise OtherCluster(self._found)

    def _unknown(self, error: KubeError) -> bool:
        """Notes that a question was not answered; whether it will not be, ever."""
        status = error.status if isinstance(error, ApiError) else 0
        self.owed = status not in (403, 404)
        if status == 403:
            self._complain(f"the ClusterRole lacks the rule {RULE} ({error})")
        elif status == 404:
            self._complain(str(error))
        else:
            log.debug("the cluster cannot be asked who it is", problem=str(error))
        return not self.owed

    def _complain(self, problem: str) -> None:
        if problem:
            problem = f"cannot be told from another cluster: {problem}"
            if problem != self.problem:
                log.warning("the cluster does not say who it is", problem=problem)
        self.problem = problem
