"""The identity of the cluster is checked before a stream is trusted."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from dnsd.sources.kubernetes.errors import ApiError, Unreachable
from dnsd.sources.kubernetes.identity import Identity, OtherCluster
from tests.fakekube import faults, plain
from tests.fakekube.connect import client_of
from tests.fakekube.server import FakeKube


@pytest.fixture
async def kube():
    async with FakeKube(uid="one") as server:
        yield server


@pytest.fixture
async def identity(kube, tmp_path):
    async with client_of(kube, tmp_path) as client:
        yield Identity(client)


def become(kube: FakeKube, uid: str) -> None:
    other = plain.namespace("kube-system")
    other["metadata"]["uid"] = uid
    kube.store.put("namespaces", other)


async def test_the_first_uid_is_the_identity(identity):
    assert identity.uid == ""
    await identity.confirm()
    await identity.confirm()
    assert identity.uid == "one"


async def test_one_query_serves_all_streams_opened_before_it(kube, identity):
    await asyncio.gather(*(identity.confirm() for _ in range(10)))
    assert kube.count("get") <= 2
    queries = kube.count("get")
    await identity.confirm()  # opened later: the answers from before prove nothing
    assert kube.count("get") == queries + 1


async def test_another_uid_raises_once_and_is_known_from_then_on(kube, identity):
    await identity.confirm()
    become(kube, "two")
    with pytest.raises(OtherCluster, match="is two, was one"):
        await identity.confirm()
    await identity.confirm()
    assert identity.uid == "two"


async def test_another_uid_raises_for_every_stream_opened_before_the_query(kube, tmp_path):
    """Otherwise one of them would briefly serve objects of another cluster."""
    async with client_of(kube, tmp_path, identity=1.0) as client:
        identity = Identity(client)
        await identity.confirm()
        become(kube, "two")
        kube.faults.append(faults.silence(verb="get"))  # the others come while the first waits
        asking = (identity.confirm() for _ in range(3))
        first, *others = await asyncio.gather(*asking, return_exceptions=True)
        assert first is False
        assert [type(one) for one in others] == [OtherCluster] * 2
        assert kube.count("get") == 3
        assert await identity.confirm()


@pytest.mark.parametrize("code", [403, 404, 503])
async def test_a_server_that_does_not_report_its_uid_is_trusted(code, kube, identity):
    await identity.confirm()
    kube.faults.append(faults.status(code, verb="get"))
    await identity.confirm()
    assert identity.uid == "one"


async def test_a_missing_namespace_keeps_the_known_uid(kube, identity):
    await identity.confirm()
    kube.store.objects["namespaces"].pop(("", "kube-system"))
    with pytest.raises(ApiError):
        await identity.query()
    await identity.confirm()
    assert identity.uid == "one"


async def test_an_answer_that_is_not_a_namespace_is_unreachable(kube, identity):
    kube.store.objects["namespaces"]["", "kube-system"].raw = b"<html>"
    with pytest.raises(Unreachable, match="not a Namespace"):
        await identity.query()


class TestForbidden:
    async def test_if_get_is_forbidden_the_namespace_is_listed(self, kube, identity):
        kube.forbidden = {("get", "namespaces")}
        with capture_logs() as logs:
            await identity.confirm()
            assert (identity.uid, identity.problem) == ("one", "")
            become(kube, "two")
            with pytest.raises(OtherCluster):
                await identity.confirm()
        assert not [log for log in logs if log["log_level"] == "warning"]
        (queries, *_) = [seen for seen in kube.seen if seen.verb == "list"]
        assert queries.params == {"fieldSelector": "metadata.name=kube-system"}
        assert kube.count("get") == 1

    async def test_if_both_are_forbidden_the_rule_is_logged_once(self, kube, identity):
        kube.forbidden = {("get", "namespaces"), ("list", "namespaces")}
        with capture_logs() as logs:
            assert await identity.confirm()
            assert await identity.confirm()
        assert 'resources: ["namespaces"], verbs: ["get"]' in identity.problem
        (chunk,) = [log for log in logs if log["log_level"] == "warning"]
        assert chunk["problem"] == identity.problem
        kube.forbidden = set()
        await identity.confirm()
        assert (identity.uid, identity.problem) == ("one", "")


class TestTimeout:
    async def test_a_request_that_hangs_delays_all_streams_once(self, kube, tmp_path):
        """A query without an answer also serves all streams opened before it."""
        kube.faults.append(faults.silence(verb="get", times=-1))
        async with client_of(kube, tmp_path, identity=0.05) as client:
            identity = Identity(client)
            chunk = await asyncio.gather(*(identity.confirm() for _ in range(10)))
        assert not any(chunk)
        assert identity.pending
        assert kube.count("get") <= 2

    async def test_a_reconcile_waits_for_a_slow_answer(self, kube, tmp_path):
        """A slow server must not prevent every correction."""
        slow = msgspec.structs.replace(faults.silence(verb="get", times=2), pause=0.3)
        kube.faults.append(slow)
        async with client_of(kube, tmp_path, identity=0.05) as client:
            identity = Identity(client)
            assert not await identity.confirm()
            assert await identity.check()
            assert (identity.uid, identity.pending) == ("one", False)
            become(kube, "two")
            with pytest.raises(OtherCluster):
                await identity.check()

    async def test_the_query_is_pending_until_it_is_answered(self, kube, identity):
        kube.faults.append(faults.status(503, verb="get"))
        assert not await identity.confirm()
        assert identity.pending
        assert await identity.confirm()
        assert not identity.pending
