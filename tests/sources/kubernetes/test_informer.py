"""The objects of a scope, compared with chunks that the tests build."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import RESOURCES, Key, Service
from dnsd.sources.kubernetes.errors import ApiError, Unreachable
from dnsd.sources.kubernetes.informer import Informer, describe
from dnsd.sources.kubernetes.reflector import ListWatch, Refusal, WatchChunk
from dnsd.sources.kubernetes.scope import Scope

SERVICES = Scope(RESOURCES["Service"])


def service(name: str, version: str, namespace: str = "default") -> Service:
    return Service(namespace, name, version=version)


def key(name: str) -> Key:
    return Key("Service", "default", name)


def refusal(name: str, problem: str = "is not an address") -> Refusal:
    return Refusal(key(name), "9", problem)


def listed(*objects: Service, version: str = "5", refused: tuple[Refusal, ...] = ()) -> WatchChunk:
    return WatchChunk(objects, refused, version, listing=True, begin=True, complete=True)


@pytest.fixture
def informer() -> Informer:
    # Without a client: these tests send no request.
    return Informer(ListWatch(None, SERVICES))  # type: ignore[arg-type]


def names(informer: Informer) -> set[str]:
    return {one.name for one in informer.store.objects()}


def test_the_first_listing_yields_everything_and_is_not_a_relist(informer):
    out = informer.apply(listed(service("a", "1"), service("b", "2")))
    assert [one.name for one in out] == ["a", "b"]
    assert (informer.version, len(informer.store), informer.status.relists) == ("5", 2, 0)


def test_a_relist_yields_differences_and_then_deletions(informer):
    informer.apply(listed(service("a", "1"), service("b", "2"), service("c", "3")))
    out = informer.apply(listed(service("a", "1"), service("b", "7"), version="8"))
    assert out == [service("b", "7"), key("c")]
    assert (informer.version, informer.status.relists) == ("8", 1)


def test_the_copy_of_an_unchanged_object_stays(informer):
    """Otherwise a relist would hold two copies of every object."""
    informer.apply(listed(service("a", "1")))
    old = informer.store.get("default", "a")
    informer.apply(listed(service("a", "1")))
    assert informer.store.get("default", "a") is old


def test_an_interrupted_listing_removes_nothing(informer):
    informer.apply(listed(service("a", "1"), service("b", "2")))
    informer.apply(WatchChunk((service("a", "1"),), listing=True, begin=True))
    informer.listed = None  # as after an error
    assert names(informer) == {"a", "b"}
    assert informer.version == "5"


def test_a_listing_that_begins_again_ignores_its_first_attempt(informer):
    informer.apply(listed(service("a", "1"), service("b", "2")))
    informer.apply(WatchChunk((service("b", "2"),), listing=True, begin=True))
    assert informer.apply(listed(service("a", "1"))) == [key("b")]


def test_an_object_deleted_during_a_listing_is_removed(informer):
    informer.apply(WatchChunk((service("a", "1"),), listing=True, begin=True))
    informer.apply(WatchChunk((key("a"),), listing=True))
    informer.apply(WatchChunk(version="5", listing=True, complete=True))
    assert names(informer) == set()
    assert len(informer.store) == 0


def test_the_version_advances_at_the_end_of_a_listing(informer):
    informer.apply(WatchChunk((service("a", "1"),), version="3", listing=True, begin=True))
    assert informer.version == ""
    informer.apply(WatchChunk(version="5", listing=True, complete=True))
    assert informer.version == "5"


def test_an_unknown_key_is_not_an_event(informer):
    assert informer.apply(WatchChunk((key("ghost"),), version="4")) == []


def test_a_refused_object_keeps_its_previous_state(informer, capsys):
    informer.apply(listed(service("a", "1")))
    assert informer.apply(listed(refused=(refusal("a"),))) == []
    assert names(informer) == {"a"}
    informer.apply(listed(refused=(refusal("a"),)))
    assert informer.status.errors == 1
    informer.apply(listed(refused=(refusal("a", "is something else"),)))
    assert informer.status.errors == 2
    assert capsys.readouterr().out.count("left out") == 2


def test_the_number_of_remembered_refusals_is_bounded(informer):
    for number in range(2500):
        informer.apply(WatchChunk(refused=(refusal(f"x{number}"),)))
    assert len(informer.refused) <= 1000


def test_reset_returns_to_the_first_state(informer):
    informer.apply(listed(service("a", "1")))
    informer.synced = True
    informer.status.state = "synced"
    informer.reset()
    assert (names(informer), informer.version, informer.synced) == (set(), "", False)
    assert (informer.status.state, len(informer.store)) == ("starting", 0)
    assert [one.name for one in informer.apply(listed(service("a", "1")))] == ["a"]


class TestDescribe:
    def test_other_errors_are_described_by_their_text(self):
        assert describe(Unreachable("no answer"), SERVICES) == "no answer"
        assert "503" in describe(ApiError(503, "busy", reason="ServiceUnavailable"), SERVICES)

    def test_the_description_of_a_401_is_about_credentials(self):
        text = describe(ApiError(401, "Unauthorized"), SERVICES)
        assert "credentials" in text
        assert "services" in text

    @pytest.mark.parametrize(
        ("scope", "role"),
        [
            (SERVICES, "the ClusterRole lacks"),
            (Scope(RESOURCES["Service"], "team-a"), "the Role in namespace team-a lacks"),
        ],
    )
    def test_the_description_of_a_403_names_the_rule(self, scope, role):
        text = describe(ApiError(403, "forbidden", reason="Forbidden"), scope)
        assert role in text
        assert '{apiGroups: [""], resources: ["services"], verbs: ["list", "watch"]}' in text
