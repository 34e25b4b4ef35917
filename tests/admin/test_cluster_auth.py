"""Cluster tokens: the API server decides, and without its answer no token is accepted."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from structlog.testing import capture_logs

from dnsd.admin.app import Gate, application, listening
from dnsd.admin.auth import Identity, Role, Tokens
from dnsd.admin.cluster_auth import MAX_KNOWN, CheckFailed, ClusterTokens, Limits
from dnsd.sources.kubernetes.client import Client
from tests.admin.running import READ, WRITE, Admin, admin
from tests.fakekube import faults
from tests.fakekube.background import background
from tests.fakekube.connect import client_of
from tests.fakekube.server import FakeKube
from tests.helpers import eventually, until
from tests.serving import dnsd, serving

READER, WRITER, STRANGER = "cluster-reader", "cluster-writer", "cluster-stranger"
NAMES = {token: f"system:serviceaccount:dns:{token}" for token in (READER, WRITER, STRANGER)}
QUICK = Limits(allowed_lifetime=0.0, denied_lifetime=0.0)


def add_users(server: FakeKube) -> None:
    """Three users of the cluster: one may get, one may update, one may do neither."""
    for token, name in NAMES.items():
        user = {"username": name, "groups": ["system:authenticated"]}
        server.reviews.users[token] = user
    server.reviews.grants |= {
        (NAMES[READER], "get", "/dnsd"),
        (NAMES[WRITER], "update", "/dnsd"),
    }


@pytest.fixture
async def kube() -> AsyncIterator[FakeKube]:
    async with FakeKube() as server:
        add_users(server)
        yield server


@asynccontextmanager
async def asking(
    kube: FakeKube, folder: Path, limits: Limits | None = None
) -> AsyncIterator[ClusterTokens]:
    async with client_of(kube, folder) as client:
        tokens = ClusterTokens(client, limits)
        try:
            yield tokens
        finally:
            await tokens.close()


class TestFind:
    async def test_roles_are_what_rbac_allows(self, kube: FakeKube, tmp_path: Path) -> None:
        async with asking(kube, tmp_path) as tokens:
            assert await tokens.find(READER) == Identity(NAMES[READER], Role.READ)
            assert await tokens.find(WRITER) == Identity(NAMES[WRITER], Role.WRITE)
            assert await tokens.find(STRANGER) == Identity(NAMES[STRANGER], None)
            assert await tokens.find("nobody") is None

    async def test_an_answer_is_cached_for_its_lifetime(
        self, kube: FakeKube, tmp_path: Path
    ) -> None:
        async with asking(
            kube, tmp_path, Limits(allowed_lifetime=1000, denied_lifetime=1000)
        ) as tokens:
            for _ in range(3):
                await tokens.find(READER)
                await tokens.find("nobody")
        assert kube.count("create", "tokenreviews") == 2
        assert kube.count("create", "subjectaccessreviews") == 2

    async def test_after_its_lifetime_a_token_is_checked_again(
        self, kube: FakeKube, tmp_path: Path
    ) -> None:
        async with asking(kube, tmp_path, QUICK) as tokens:
            assert await tokens.find(WRITER) == Identity(NAMES[WRITER], Role.WRITE)
            kube.reviews.grants.clear()
            assert await tokens.find(WRITER) == Identity(NAMES[WRITER], None)
            kube.reviews.users.clear()
            assert await tokens.find(WRITER) is None

    async def test_concurrent_requests_share_one_check(
        self, kube: FakeKube, tmp_path: Path
    ) -> None:
        async with asking(kube, tmp_path, QUICK) as tokens:
            found = await asyncio.gather(*(tokens.find(READER) for _ in range(50)))
        assert found == [Identity(NAMES[READER], Role.READ)] * 50
        assert kube.count("create", "tokenreviews") == 1

    async def test_a_cancelled_request_does_not_cancel_the_check_of_another(
        self, kube: FakeKube, tmp_path: Path
    ) -> None:
        async with asking(kube, tmp_path, QUICK) as tokens:
            first = asyncio.create_task(tokens.find(READER))
            second = asyncio.create_task(tokens.find(READER))
            await asyncio.sleep(0)
            first.cancel()
            assert await second == Identity(NAMES[READER], Role.READ)
            assert first.cancelled()
        assert kube.count("create", "tokenreviews") == 1

    @pytest.mark.parametrize("token", ["", "a b", "ä", "x" * 8193, "\udcff", "a\n"])
    async def test_text_that_cannot_be_a_token_is_not_checked(
        self, kube: FakeKube, tmp_path: Path, token: str
    ) -> None:
        async with asking(kube, tmp_path) as tokens:
            assert await tokens.find(token) is None
        assert kube.count("create") == 0


class Broken:
    """A client with a bug."""

    async def create(self, *_: object) -> bytes:
        raise RuntimeError("broken")

    async def close(self) -> None:
        """Nothing is open."""


async def test_the_exception_of_a_check_is_logged_even_if_its_request_is_gone() -> None:
    tokens = ClusterTokens(cast(Client, Broken()))
    with capture_logs() as logs:
        request = asyncio.create_task(tokens.find(READER))
        await asyncio.sleep(0)
        request.cancel()
        await eventually(lambda: logs)
    assert logs[0]["task"] == "check a cluster token"
    await tokens.close()


class TestFailures:
    @pytest.mark.parametrize("plural", ["tokenreviews", "subjectaccessreviews"])
    async def test_without_permission_the_check_fails(
        self, kube: FakeKube, tmp_path: Path, plural: str
    ) -> None:
        kube.forbidden.add(("create", plural))
        async with asking(kube, tmp_path) as tokens:
            with pytest.raises(CheckFailed):
                await tokens.find(WRITER)
            kube.forbidden.clear()  # and what was not answered is not remembered
            assert await tokens.find(WRITER) == Identity(NAMES[WRITER], Role.WRITE)

    async def test_a_silent_api_server_fails_the_check(
        self, kube: FakeKube, tmp_path: Path
    ) -> None:
        kube.faults.append(faults.Fault("silence", verb="create"))
        async with asking(kube, tmp_path, Limits(timeout=0.05)) as tokens:
            with pytest.raises(CheckFailed):
                await tokens.find(WRITER)

    async def test_an_unreachable_api_server_fails_the_check(
        self, kube: FakeKube, tmp_path: Path
    ) -> None:
        async with asking(kube, tmp_path, QUICK) as tokens:
            assert await tokens.find(WRITER)
            await kube.stop()
            with pytest.raises(CheckFailed):
                await tokens.find(WRITER)

    async def test_only_checks_of_unknown_tokens_are_limited(
        self, kube: FakeKube, tmp_path: Path
    ) -> None:
        limits = Limits(allowed_lifetime=0.0, denied_lifetime=0.0, rate=0.0, burst=3.0)
        async with asking(kube, tmp_path, limits) as tokens:
            assert await tokens.find(READER)
            for number in range(2):
                assert await tokens.find(f"guess-{number}") is None
            for number in range(20):
                with pytest.raises(CheckFailed, match="too many"):
                    await tokens.find(f"more-{number}")
            assert await tokens.find(READER) == Identity(NAMES[READER], Role.READ)
        assert kube.count("create", "tokenreviews") == 4

    async def test_the_cache_is_bounded(self, kube: FakeKube, tmp_path: Path) -> None:
        limits = Limits(allowed_lifetime=1000, denied_lifetime=1000, burst=MAX_KNOWN + 10.0)
        async with asking(kube, tmp_path, limits) as tokens:
            assert await tokens.find(READER)
            for number in range(MAX_KNOWN):
                await tokens.find(f"guess-{number}")
            before = kube.count("create", "tokenreviews")
            await tokens.find(f"guess-{MAX_KNOWN - 1}")
            assert kube.count("create", "tokenreviews") == before
            assert await tokens.find(READER)  # the oldest had left
            assert kube.count("create", "tokenreviews") == before + 1


@asynccontextmanager
async def delegating(kube: FakeKube, folder: Path) -> AsyncIterator[Admin]:
    """An API with a second gate that also accepts cluster tokens."""
    async with admin(folder) as made, asking(kube, folder, QUICK) as cluster:
        gate = Gate(Tokens(str(folder / "tokens")), (), anonymous_read=False, cluster=cluster)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            async with listening(application(made.context, gate), sock):
                made.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
                yield made


class TestGate:
    READS, WRITES = ("GET", "/api/v1/status"), ("POST", "/api/v1/reload")

    async def test_each_role_allows_its_routes(self, kube: FakeKube, tmp_path: Path) -> None:
        async with delegating(kube, tmp_path) as api:
            for token, reads, writes in (
                (READER, 200, 403),
                (WRITER, 200, 200),
                (STRANGER, 403, 403),
                ("nobody", 401, 401),
                (None, 401, 401),
            ):
                assert (await api.call(*self.READS, token))[0] == reads, token
                assert (await api.call(*self.WRITES, token, json={}))[0] == writes, token
            _, body = await api.call(*self.READS, STRANGER)
            assert NAMES[STRANGER] in body["detail"]
            assert "/dnsd" in body["detail"]

    async def test_own_tokens_work_without_the_api_server(
        self, kube: FakeKube, tmp_path: Path
    ) -> None:
        async with delegating(kube, tmp_path) as api:
            await kube.stop()
            assert (await api.call(*self.READS, READ))[0] == 200
            assert (await api.call(*self.WRITES, WRITE, json={}))[0] == 200
            status, body = await api.call(*self.READS, READER)
            assert status == 503
            assert "the log has the reason" in body["detail"]
            assert (await api.call("GET", "/api/v1/no-such-thing", READER))[0] == 503
        assert kube.count("create") == 0

    async def test_probes_do_not_check_tokens(self, kube: FakeKube, tmp_path: Path) -> None:
        async with delegating(kube, tmp_path) as api:
            for path in ("/healthz", "/metrics"):
                assert (await api.call("GET", path, "some-token"))[0] in (200, 503)
        assert kube.count("create") == 0


class TestServe:
    def test_a_running_dnsd_accepts_cluster_tokens(self, tmp_path: Path) -> None:
        with background() as server:
            server.do(add_users)
            (tmp_path / "config").write_text(server.kube.kubeconfig())
            flags = ["--kubernetes", "--kubeconfig", str(tmp_path / "config")]
            more = ["--admin", "127.0.0.1:0", "--admin-cluster-tokens"]
            with serving(*flags, *more, "--drain-quiet", "0s") as running:
                found = until(lambda: re.search(r"admin: (http://\S+?)/#token", running.stdout))
                assert _status(found[1], READER) == 200
                assert _status(found[1], STRANGER) == 403
                assert _status(found[1], "nobody") == 401

    def test_cluster_tokens_require_kubernetes(self, tmp_path: Path) -> None:
        free = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        done = dnsd("serve", *free, "--manifests", str(tmp_path), "--admin-cluster-tokens")
        assert done.returncode == 2
        assert "requires kubernetes" in done.stderr


def _status(url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(f"{url}/api/v1/status", headers=headers), timeout=20) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code
