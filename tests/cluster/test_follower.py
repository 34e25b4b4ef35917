"""What is known of a scope, compared with what is said about it, said by hand."""

from __future__ import annotations

import pytest

from dnsd.cluster.follower import Follower, explain
from dnsd.cluster.kubeclient import ApiError, Unreachable
from dnsd.cluster.objects import Key, Service
from dnsd.cluster.reflector import Reach, Refusal, Said
from dnsd.cluster.scope import RESOURCES, Scope

SERVICES = Scope(RESOURCES["Service"])


def service(name: str, version: str, namespace: str = "default") -> Service:
    return Service(namespace, name, version=version)


def key(name: str) -> Key:
    return Key("Service", "default", name)


def refusal(name: str, problem: str = "is not an address") -> Refusal:
    return Refusal(key(name), "9", problem)


def listed(*objects: Service, version: str = "5", refused: tuple[Refusal, ...] = ()) -> Said:
    return Said(objects, refused, version, listing=True, begin=True, complete=True)


@pytest.fixture
def follower() -> Follower:
    # No rung is climbed here: the client is never asked.
    return Follower(Reach(None, SERVICES))  # type: ignore[arg-type]


def names(follower: Follower) -> set[str]:
    return {one.name for one in follower.known}


def test_a_first_listing_says_everything_and_is_no_relist(follower):
    out = follower.take(listed(service("a", "1"), service("b", "2")))
    assert [one.name for one in out] == ["a", "b"]
    assert (follower.version, follower.status.objects, follower.status.relists) == ("5", 2, 0)


def test_a_relist_says_what_differs_and_then_what_is_gone(follower):
    follower.take(listed(service("a", "1"), service("b", "2"), service("c", "3")))
    out = follower.take(listed(service("a", "1"), service("b", "7"), version="8"))
    assert out == [service("b", "7"), key("c")]
    assert (follower.version, follower.status.relists) == ("8", 1)


def test_of_an_unchanged_object_the_old_copy_stays(follower):
    """Otherwise a relist would hold two copies of everything for a while."""
    follower.take(listed(service("a", "1")))
    old = follower.known.packed("default", "a")
    follower.take(listed(service("a", "1")))
    assert follower.known.packed("default", "a") is old


def test_nothing_is_dropped_by_a_listing_that_breaks_off(follower):
    follower.take(listed(service("a", "1"), service("b", "2")))
    follower.take(Said((service("a", "1"),), listing=True, begin=True))
    follower.seen = None  # as trouble does
    assert names(follower) == {"a", "b"}
    assert follower.version == "5"


def test_a_listing_begun_again_forgets_what_the_first_try_saw(follower):
    follower.take(listed(service("a", "1"), service("b", "2")))
    follower.take(Said((service("b", "2"),), listing=True, begin=True))
    assert follower.take(listed(service("a", "1"))) == [key("b")]


def test_what_is_deleted_during_a_listing_is_not_listed(follower):
    follower.take(Said((service("a", "1"),), listing=True, begin=True))
    follower.take(Said((key("a"),), listing=True))
    follower.take(Said(version="5", listing=True, complete=True))
    assert names(follower) == set()
    assert follower.status.objects == 0


def test_versions_move_at_the_end_of_a_listing_not_before(follower):
    follower.take(Said((service("a", "1"),), version="3", listing=True, begin=True))
    assert follower.version == ""
    follower.take(Said(version="5", listing=True, complete=True))
    assert follower.version == "5"


def test_a_key_that_was_not_known_is_no_event(follower):
    assert follower.take(Said((key("ghost"),), version="4")) == []


def test_an_object_that_is_refused_is_served_as_it_was(follower, capsys):
    follower.take(listed(service("a", "1")))
    assert follower.take(listed(refused=(refusal("a"),))) == []
    assert names(follower) == {"a"}
    follower.take(listed(refused=(refusal("a"),)))
    assert follower.status.errors == 1
    follower.take(listed(refused=(refusal("a", "is something else"),)))
    assert follower.status.errors == 2
    assert capsys.readouterr().out.count("left out") == 2


def test_refusals_that_are_remembered_are_bounded(follower):
    for number in range(2500):
        follower.take(Said(refused=(refusal(f"x{number}"),)))
    assert len(follower.refused) <= 1000


def test_forget_is_as_new(follower):
    follower.take(listed(service("a", "1")))
    follower.synced = True
    follower.status.state = "synced"
    follower.forget()
    assert (names(follower), follower.version, follower.synced) == (set(), "", False)
    assert (follower.status.state, follower.status.objects) == ("starting", 0)
    assert [one.name for one in follower.take(listed(service("a", "1")))] == ["a"]


class TestExplain:
    def test_what_is_no_refusal_is_said_as_it_is(self):
        assert explain(Unreachable("no answer"), SERVICES) == "no answer"
        assert "503" in explain(ApiError(503, "busy", reason="ServiceUnavailable"), SERVICES)

    def test_401_is_about_credentials(self):
        text = explain(ApiError(401, "Unauthorized"), SERVICES)
        assert "credentials" in text
        assert "services" in text

    @pytest.mark.parametrize(
        ("scope", "role"),
        [
            (SERVICES, "the ClusterRole lacks"),
            (Scope(RESOURCES["Service"], "team-a"), "the Role in namespace team-a lacks"),
        ],
    )
    def test_403_is_about_one_rule(self, scope, role):
        text = explain(ApiError(403, "forbidden", reason="Forbidden"), scope)
        assert role in text
        assert '{apiGroups: [""], resources: ["services"], verbs: ["list", "watch"]}' in text
