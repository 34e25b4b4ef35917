"""Claims of sources: the lattice, and two sources that fill one zone."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.cluster.objects import Key, Pod
from dnsd.control.claims import Claim, claim_of, join
from dnsd.control.settings import Settings
from dnsd.dns.addresses import pack_address
from dnsd.sources.source import Batch
from dnsd.zone.frame import FRESH, NOT_READY, STALE
from dnsd.zone.settings import PolicyRule, SchemaConfig, ViewConfig
from tests.control.planes import HOST, NAME, plane, query, summary, web

SERVICES = Key("Service", "lost", "")
PODS = Key("Pod", "", "")

claims = st.builds(
    Claim,
    st.sampled_from([FRESH, STALE, NOT_READY]),
    st.sets(st.sampled_from([SERVICES, PODS])).map(lambda keys: tuple(sorted(keys))),
)


class TestJoin:
    @pytest.mark.parametrize(
        ("states", "expected"),
        [
            ((FRESH, FRESH), FRESH),
            ((FRESH, STALE), STALE),
            ((FRESH, NOT_READY), NOT_READY),
            ((STALE, NOT_READY), NOT_READY),
            ((), NOT_READY),
        ],
    )
    def test_a_zone_is_as_good_as_its_worst_source(
        self, states: tuple[int, ...], expected: int
    ) -> None:
        for order in permutations(states):
            assert join(map(Claim, order)).state == expected

    def test_what_is_unknown_to_one_source_is_unknown(self) -> None:
        joined = join([Claim(FRESH, (SERVICES,)), Claim(FRESH, (PODS, SERVICES))])
        assert joined == Claim(FRESH, (PODS, SERVICES))

    @given(claims, claims, claims)
    def test_it_does_not_depend_on_order_grouping_or_repetition(
        self, a: Claim, b: Claim, c: Claim
    ) -> None:
        assert join([a, b, c]) == join([c, join([b, a])]) == join([a, a, b, c, b])


class TestClaimOf:
    def test_a_batch_of_an_earlier_run_is_stale_whether_or_not_all_is_there(self) -> None:
        assert claim_of(Batch(stale=True)).state == STALE
        assert claim_of(Batch(stale=True, synced=True)).state == STALE

    def test_only_a_synced_batch_is_fresh(self) -> None:
        assert claim_of(Batch()).state == NOT_READY
        assert claim_of(Batch(synced=True, unknown=(PODS,))) == Claim(FRESH, (PODS,))


class TestTwoSources:
    async def test_neither_overrides_the_claim_of_the_other(self) -> None:
        async with plane(clusters=("", "east")) as it:
            batches = [("", Batch(synced=True)), ("east", Batch(synced=True, stale=True))] * 5
            random.Random(1).shuffle(batches)
            it.publish(Batch((web("10.96.0.1"),), synced=True))
            assert it.state == NOT_READY  # the other has not published anything
            for cluster, batch in (("east", Batch(stale=True)), *batches):
                it.publish(batch, cluster)
                assert it.state == STALE
            await it.supervisor.caught_up()
            assert summary(await query(it)) == ("NOERROR", ["10.96.0.1"], [3])
            it.publish(Batch(synced=True), "east")
            await it.supervisor.caught_up()
            assert summary(await query(it)) == ("NOERROR", ["10.96.0.1"], [])

    async def test_both_are_served_and_a_deletion_concerns_its_own_object(self) -> None:
        async with plane(clusters=("", "east")) as it:
            it.publish(Batch((web("10.96.0.1"), web("10.96.0.3", "here")), synced=True))
            it.publish(Batch((web("10.97.0.1"), web("10.97.0.2", "there")), synced=True), "east")

            async def addresses(name: str) -> list[str]:
                await it.supervisor.caught_up()
                return summary(await query(it, f"{name}.default.svc.cluster.local"))[1]

            assert await addresses("web") == ["10.96.0.1", "10.97.0.1"]
            assert await addresses("here") == ["10.96.0.3"]
            assert await addresses("there") == ["10.97.0.2"]
            it.publish(Batch((Key("Service", "default", "web"),), synced=True), "east")
            assert await addresses("web") == ["10.96.0.1"]
            it.publish(Batch((Key("Service", "default", "web"),), synced=True))
            assert await addresses("web") == []
            assert await addresses("there") == ["10.97.0.2"]


async def test_what_is_unknown_is_not_denied_to_clients_of_a_view() -> None:
    """Engines of views have the claim of the others, also those created after it."""
    policies = (PolicyRule(("*",), (), ("own", "lost")),)
    settings = Settings(schema=SchemaConfig(pods="verified"), views=ViewConfig(policies=policies))
    missing = "missing.lost.svc.cluster.local"
    async with plane(settings) as it:
        it.publish(Batch((web("10.96.0.1"),), synced=True, unknown=(SERVICES,)))
        await it.supervisor.caught_up()
        assert summary(await query(it, missing)) == ("SERVFAIL", [], [14])
        pod = Pod("default", "client", (pack_address(HOST),), "Running")
        it.publish(Batch((pod,), synced=True, unknown=(SERVICES,)))
        await it.supervisor.caught_up()
        assert it.view_zones is not None
        assert len(it.view_zones) > 0
        assert summary(await query(it)) == ("NOERROR", ["10.96.0.1"], [])
        assert summary(await query(it, missing)) == ("SERVFAIL", [], [14])
        assert summary(await query(it, NAME.replace("web", "none")))[0] == "NXDOMAIN"
        it.publish(Batch(synced=True))
        await it.supervisor.caught_up()
        assert summary(await query(it, missing))[0] == "NXDOMAIN"
