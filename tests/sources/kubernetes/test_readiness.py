"""Which scopes delay the start, and which kinds stay unknown."""

from __future__ import annotations

from dnsd.cluster.objects import Key
from dnsd.sources.kubernetes.readiness import FAILURES, Readiness
from tests.sources.kubernetes.informers import informer

NEEDED = ("Service",)


def test_a_needed_kind_delays_the_start_until_it_is_synced() -> None:
    services = informer("Service")
    services.forbidden, services.failures = True, 10 * FAILURES
    readiness = Readiness([services], NEEDED)
    readiness.update(services)
    assert not readiness.complete
    services.synced = True
    assert readiness.complete


def test_a_forbidden_optional_kind_is_unknown_and_delays_nothing() -> None:
    services, pods = informer("Service", synced=True), informer("Pod")
    readiness = Readiness([services, pods], NEEDED)
    pods.forbidden = True
    assert readiness.update(pods)
    assert readiness.complete
    assert readiness.unknown == (Key("Pod", "", ""),)
    assert not readiness.update(pods)  # no news


def test_an_absent_resource_is_not_unknown() -> None:
    services, routes = informer("Service", synced=True), informer("HTTPRoute")
    readiness = Readiness([services, routes], NEEDED)
    routes.status.state = "absent"
    readiness.update(routes)
    assert (readiness.complete, readiness.unknown) == (True, ())


def test_an_optional_kind_may_fail_only_while_the_needed_ones_are_listed() -> None:
    services, pods = informer("Service"), informer("Pod")
    readiness = Readiness([services, pods], NEEDED)
    pods.failures, pods.status.state = FAILURES, "failing"
    readiness.update(pods)
    assert not pods.excused
    services.synced = True
    readiness.update(services)
    assert not pods.excused  # it was not tried since
    readiness.update(pods)
    assert readiness.complete


def test_one_forbidden_namespace_does_not_delay_the_others() -> None:
    first = informer("Service", namespace="a", synced=True)
    second = informer("Service", namespace="b")
    readiness = Readiness([first, second], NEEDED)
    second.forbidden = True
    readiness.update(second)
    assert readiness.complete
    assert readiness.unknown == (Key("Service", "b", ""),)


def test_the_start_is_partial_while_one_scope_fails_and_another_is_listed() -> None:
    services, pods = informer("Service", synced=True), informer("Pod")
    readiness = Readiness([services, pods], ("Service", "Pod"))
    assert not readiness.partial
    pods.status.state = "failing"
    assert readiness.partial


def test_what_the_snapshot_lacks_is_unknown_until_it_is_listed() -> None:
    services = informer("Service", namespace="b")
    services.not_in_snapshot = True
    readiness = Readiness([services], NEEDED)
    assert readiness.update_unknown()
    assert readiness.unknown == (Key("Service", "b", ""),)
    services.synced = True
    assert readiness.update_unknown()
    assert readiness.unknown == ()
