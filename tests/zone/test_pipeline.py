from __future__ import annotations

from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from dnsd.cluster.objects import (
    Event,
    Ingress,
    Key,
    LoadBalancerIngress,
    Namespace,
    Node,
    Object,
    Service,
)
from dnsd.dns.names import name_from_text
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.sources.source import Batch
from dnsd.zone.change import Cause, Change
from dnsd.zone.journal import Journal
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import ExternalConfig, ExternalZone, SchemaConfig
from tests.zone.made import CONFIG, Z, endpoint, name, packed, piece, service

WEB = name("web.default.svc")
WEB_KEY = Key("Service", "default", "web")


def pipeline(config: SchemaConfig = CONFIG) -> Pipeline:
    return Pipeline(config, 100, Journal(1000, 10**6), structlog.get_logger())


def feed(into: Pipeline, *events: Event, at: float = 0.0) -> list[Change]:
    return into.feed(Batch(events), at)


def served(one: Pipeline) -> set[RRset]:
    return {some for some in one.zone.rrsets() if some.type != Type.SOA}


def beyond_the_schema(**more: Any) -> Service:
    """A Service that no source would let through: its name is no label."""
    return service("größe", "10.96.0.66", **more)


class TestFeed:
    def test_objects_become_names(self) -> None:
        line = pipeline()
        changes = feed(line, service("web", "10.96.0.7"), Namespace("team"))
        assert [change.serial for change in changes] == [101, 102]
        assert line.zone.serial == 102
        assert line.zone.rrset(WEB, Type.A) is not None
        assert line.zone.exists(name("team.svc"))
        assert line.zone.rrset(name("7.0.96.10.in-addr.arpa."), Type.PTR) is not None

    def test_an_edit_without_effect_keeps_the_serial(self) -> None:
        line = pipeline()
        feed(line, service("web", "10.96.0.7"))
        assert feed(line, service("web", "10.96.0.7")) == []
        assert feed(line, service("web", "10.96.0.7", labels={"a": "b"})) == []
        assert line.zone.serial == 101

    def test_a_batch_makes_one_change_for_each_contributor(self) -> None:
        line = pipeline()
        pieces = [piece(f"10.1.0.{i}", name=f"web-{i}") for i in range(5)]
        assert len(feed(line, service("web", "10.96.0.7"), *pieces)) == 1

    def test_a_slice_may_come_before_its_service(self) -> None:
        line = pipeline()
        assert feed(line, piece("10.1.0.1")) == []
        feed(line, service("web", headless=True))
        assert line.zone.rrset(WEB, Type.A) is not None

    def test_a_deleted_object_loses_its_names(self) -> None:
        line = pipeline()
        before = served(line)
        feed(line, service("web", "10.96.0.7"), piece("10.1.0.1"))
        (change,) = feed(line, WEB_KEY)
        assert served(line) == before
        assert {WEB, name("10-1-0-1.web.default.svc")} <= set(change.died)

    def test_an_external_name_that_becomes_a_cluster_ip(self) -> None:
        line = pipeline()
        feed(line, service("web", type="ExternalName", external_name="a.example"))
        assert line.zone.types(WEB) == (Type.CNAME,)
        (change,) = feed(line, service("web", "10.96.0.7", external_name="a.example"))
        assert line.zone.types(WEB) == (Type.A,)
        assert {one.type for one in change.removed} == {Type.CNAME}


class TestCause:
    def cause(self, line: Pipeline, *events: Event, at: float) -> Cause:
        (change,) = feed(line, *events, at=at)
        assert change.contributor == WEB_KEY
        return change.cause

    def test_the_cause_is_the_object_of_the_event(self) -> None:
        line = pipeline()
        made = service("web", "10.96.0.7", version="41", origin="web.yaml")
        assert self.cause(line, made, at=1.5) == Cause(WEB_KEY, "41", "web.yaml", 1.5)
        ready = piece("10.1.0.1", name="web-abc")
        assert self.cause(line, ready, at=2.5) == Cause(ready.key, "", "", 2.5)
        assert self.cause(line, ready.key, at=3.5) == Cause(ready.key, at=3.5)
        assert self.cause(line, WEB_KEY, at=4.5) == Cause(WEB_KEY, at=4.5)

    def test_the_last_event_of_a_batch_is_the_cause(self) -> None:
        line = pipeline()
        first, second = piece("10.1.0.1", name="a"), piece("10.1.0.2", name="b")
        made = service("web", headless=True)
        assert self.cause(line, made, first, second, at=0.0).key == second.key


class TestObservers:
    def test_an_observer_sees_the_zone_as_each_change_left_it(self) -> None:
        line = pipeline()
        seen: list[tuple[int, int]] = []
        line.on_change.append(lambda change: seen.append((change.serial, line.zone.serial)))
        feed(line, *(service(f"s{i}", f"10.96.0.{i}") for i in range(5)))
        assert seen == [(serial, serial) for serial in range(101, 106)]

    def test_the_journal_has_every_change(self) -> None:
        line = pipeline()
        changes = feed(line, *(service(f"s{i}", f"10.96.0.{i}") for i in range(5)))
        assert line.journal is not None
        assert line.journal.since(100) == changes

    def test_an_observer_that_raises_interrupts_nothing(self) -> None:
        line = pipeline()
        seen: list[Key] = []

        def fail(change: Change) -> None:
            raise BrokenPipeError("the worker is gone")

        line.on_change += [fail, lambda change: seen.append(change.contributor)]
        with capture_logs() as logs:
            changes = feed(line, *(service(f"s{i}", f"10.96.0.{i}") for i in range(5)))
        assert seen == [Key("Service", "default", f"s{i}") for i in range(5)]
        assert len(changes) == line.observer_failures == len(logs) == 5
        assert feed(line) == []

    def test_a_contribution_observer_that_raises_leaves_the_names(self) -> None:
        line = pipeline()

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        line.on_contribution.append(fail)
        feed(line, service("web", "10.96.0.7"))
        assert line.zone.exists(WEB)
        assert (line.failures, line.observer_failures) == (0, 1)


class TestSeveralSources:
    def test_objects_of_one_name_are_merged_and_end_on_their_own(self) -> None:
        line = pipeline()
        line.feed(Batch((service("web", "10.96.0.7"),)), 0.0)
        line.feed(Batch((service("web", "10.97.0.7"),)), 0.0, "east")
        assert line.zone.rrset(WEB, Type.A).rdatas == packed("10.96.0.7", "10.97.0.7")
        line.feed(Batch((WEB_KEY,)), 0.0)
        assert line.zone.rrset(WEB, Type.A).rdatas == packed("10.97.0.7")
        (change,) = line.feed(Batch((WEB_KEY,)), 0.0, "east")
        assert not line.zone.exists(WEB)
        assert change.contributor == WEB_KEY.within("east") == change.cause.key
        assert str(change.contributor) == "Service default/web in cluster east"

    def test_a_slice_belongs_to_the_service_of_its_own_source(self) -> None:
        line = pipeline()
        line.feed(Batch((service("web", headless=True),)), 0.0)
        line.feed(Batch((piece("10.1.0.1"),)), 0.0, "east")
        assert line.zone.rrset(WEB, Type.A) is None

    def test_reconfiguration_rebuilds_all_names(self) -> None:
        line = pipeline()
        line.feed(Batch((service("web", "10.96.0.7"),)), 0.0)
        line.feed(Batch((service("web", "10.97.0.7"),)), 0.0, "east")
        line.reconfigure(msgspec.structs.replace(CONFIG, ttl=7))
        found = line.zone.rrset(WEB, Type.A)
        assert (found.ttl, len(found.rdatas)) == (7, 2)


class TestFailures:
    def test_a_contributor_that_fails_does_not_affect_the_others(self) -> None:
        line = pipeline()
        with capture_logs() as logs:
            feed(line, beyond_the_schema(), service("web", "10.96.0.7"))
        assert line.zone.rrset(WEB, Type.A) is not None
        assert line.failures == 1
        key = beyond_the_schema().key
        assert "UnicodeEncodeError" in line.failed[key]
        assert [one["contributor"] for one in logs if one["log_level"] == "error"] == [str(key)]

    def test_a_contributor_that_fails_keeps_its_names_until_the_next_event(self) -> None:
        line = pipeline()
        good = service("web", headless=True)
        bad = endpoint("10.1.0.2", hostname="größe")  # no source lets this through
        feed(line, good, piece("10.1.0.1"))
        before = served(line)
        feed(line, piece(bad))
        assert served(line) == before
        assert set(line.failed) == {WEB_KEY}
        feed(line, piece("10.1.0.3"))
        assert line.failed == {}
        assert line.zone.exists(name("10-1-0-3.web.default.svc"))
        assert line.failures == 1


class TestProblems:
    BAD = service("web", type="ExternalName", external_name="192.0.2.1")

    def test_problems_are_stored_and_logged_once(self) -> None:
        line = pipeline()
        with capture_logs() as logs:
            feed(line, self.BAD)
            feed(line, service("web", type="ExternalName", external_name="192.0.2.1", version="2"))
        assert len([one for one in logs if one["log_level"] == "warning"]) == 1
        assert "a CNAME cannot hold" in line.problems[WEB_KEY][0]
        assert line.zone.exists(WEB)

    @pytest.mark.parametrize("after", [WEB_KEY, service("web", "10.96.0.7")])
    def test_problems_are_dropped_when_they_are_solved(self, after: Event) -> None:
        line = pipeline()
        feed(line, self.BAD)
        feed(line, after)
        assert line.problems == {}


class TestReconfigure:
    OBJECTS = (service("web", "10.96.0.7"), piece("10.1.0.1"), Namespace("team"))
    OTHER = SchemaConfig(zones=(Z, name("other.")), ttl=60, pods="insecure")

    def test_a_reconfigured_zone_is_the_zone_of_the_new_configuration(self) -> None:
        line, fresh = pipeline(), pipeline(self.OTHER)
        feed(line, *self.OBJECTS)
        feed(fresh, *self.OBJECTS)
        assert line.reconfigure(self.OTHER)
        assert served(line) == served(fresh)
        assert set(line.zone.names()) == set(fresh.zone.names())
        assert line.zone.config == self.OTHER

    def test_reconfiguration_notifies_the_rebuild_observers(self) -> None:
        line = pipeline()
        notified: list[int] = []
        line.on_rebuild.append(lambda zone: notified.append(zone.serial))
        feed(line, *self.OBJECTS)
        serial = line.zone.serial
        line.reconfigure(self.OTHER)
        assert notified == [serial + 1] == [line.zone.serial]
        assert line.journal is not None
        assert line.journal.since(serial) is None
        (change,) = feed(line, WEB_KEY)
        assert change.serial == serial + 2

    def test_the_same_configuration_changes_nothing(self) -> None:
        line = pipeline()
        feed(line, *self.OBJECTS)
        zone = line.zone
        assert not line.reconfigure(SchemaConfig(zones=(Z,)))
        assert line.zone is zone

    def test_the_former_zone_is_served_until_the_new_one_is_complete(self) -> None:
        line = pipeline()
        feed(line, *self.OBJECTS)
        pieces = line.reconfigure_slowly(self.OTHER)
        next(pieces)
        (change,) = feed(line, service("web", "10.96.0.8"))
        assert change.serial == line.zone.serial
        assert line.zone.config == CONFIG
        for _ in pieces:
            assert line.zone.config == CONFIG
        assert line.zone.config == self.OTHER
        assert line.zone.serial == change.serial + 1
        found = line.zone.rrset(WEB, Type.A)
        assert found is not None
        assert found.rdatas == packed("10.96.0.8")

    def test_an_abandoned_reconfiguration_changes_nothing(self) -> None:
        line, other = pipeline(TestExternalZones.CONFIG), pipeline(TestExternalZones.CONFIG)
        for one in (line, other):
            feed(one, service("np", type="NodePort", ports=()))
        pieces = line.reconfigure_slowly(self.OTHER)
        next(pieces)
        pieces.close()
        for one in (line, other):  # a Service at node ports depends on the Nodes as before
            feed(one, Node("n1", packed("10.0.0.1"), ready=True))
        assert served(line) == served(other)
        assert line.reconfigure(self.OTHER)

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_changes_between_two_pieces_are_in_the_new_zone(self, data: st.DataObject) -> None:
        line, fresh = pipeline(), pipeline(self.OTHER)
        present: dict[Key, Object] = {}
        pinned = RRset(name("api"), int(Type.A), 30, (b"\xc0\0\2\1",))
        contributor = Key("Record", "cluster.local.", "api.cluster.local./A")

        def change() -> None:
            thing = data.draw(st.sampled_from([*EVENTS, None]))
            if thing is None:
                sets = data.draw(st.sampled_from([(), (pinned,)]))
                for one in (line, fresh):
                    one.put(contributor, sets, Cause(contributor))
            elif present.pop(thing.key, None):
                feed(line, thing.key)
            else:
                present[thing.key] = thing
                feed(line, thing)

        for _ in range(data.draw(st.integers(0, 8))):
            change()
        pieces = line.reconfigure_slowly(self.OTHER)
        for _ in range(data.draw(st.integers(0, 8))):
            next(pieces, None)
            change()
        for _ in pieces:
            pass
        feed(fresh, *present.values())
        assert served(line) == served(fresh)
        assert set(line.zone.names()) == set(fresh.zone.names())
        assert line.problems == fresh.problems


class TestNsAddresses:
    """Only the records of ns.dns.Z change; the zone is that of the new configuration."""

    def test_new_ns_addresses_make_the_zone_of_the_new_configuration(self) -> None:
        config = msgspec.structs.replace(CONFIG, ns_addresses=packed("10.96.0.10", "fd00::a"))
        for before, after in ((CONFIG, config), (config, CONFIG)):
            line, other = pipeline(before), pipeline(after)
            for one in (line, other):
                feed(one, service("web", "10.96.0.7"), Namespace("team"))
            change = line.set_ns_addresses(after.ns_addresses, Cause(WEB_KEY, "7"))
            assert change is not None
            assert change.serial == 103
            assert change.cause == Cause(WEB_KEY, "7")
            assert {one.name for one in (*change.removed, *change.added)} == {name("ns.dns")}
            assert line.journal is not None
            assert list(line.journal.since(102) or ()) == [change]
            assert line.zone.config == after
            assert served(line) == served(other)

    def test_the_same_addresses_change_nothing(self) -> None:
        line = pipeline()
        assert line.set_ns_addresses(CONFIG.ns_addresses, Cause(WEB_KEY)) is None
        assert line.zone.serial == 100


class TestPut:
    CONTRIBUTOR = Key("Record", "cluster.local.", "api.cluster.local./A")

    def test_observers_and_the_journal_get_each_change(self) -> None:
        line = pipeline()
        notified: list[Change] = []
        line.on_change.append(notified.append)
        pinned = RRset(name("api"), int(Type.A), 30, (b"\xc0\0\x02\1",))
        change = line.put(self.CONTRIBUTOR, [pinned], Cause(self.CONTRIBUTOR))
        assert change is not None
        assert notified == [change]
        assert line.journal is not None
        assert line.journal.since(100) == [change]
        assert line.zone.rrset(name("api"), Type.A) == pinned
        assert line.put(self.CONTRIBUTOR, [pinned], Cause(self.CONTRIBUTOR)) is None

    def test_a_pinned_record_survives_a_reconfiguration(self) -> None:
        line = pipeline()
        pinned = RRset(name("api"), int(Type.A), 30, (b"\xc0\0\x02\1",))
        line.put(self.CONTRIBUTOR, [pinned], Cause(self.CONTRIBUTOR))
        line.reconfigure(SchemaConfig(zones=(Z,), ttl=60))
        assert line.zone.rrset(name("api"), Type.A) == pinned
        line.put(self.CONTRIBUTOR, [], Cause(self.CONTRIBUTOR))
        line.reconfigure(SchemaConfig(zones=(Z,), ttl=61))
        assert not line.zone.exists(name("api"))


EVENTS: list[Object] = [
    Namespace("team"),
    service("web", headless=True),
    service("db", "10.96.0.7", ports=["sql/TCP/5432"]),
    service("out", type="ExternalName", external_name="web.default.svc.cluster.local"),
    piece("10.1.0.1", "fd00::1", ports=["http/TCP/80"], name="web-1"),
    piece("10.1.0.1", endpoint("10.1.0.2", hostname="h"), name="web-2"),
    piece("10.1.0.1", name="db-1", service="db"),
]


class TestAnyOrder:
    @settings(deadline=None, max_examples=60)
    @given(
        st.permutations(EVENTS),
        st.lists(st.integers(1, 4), min_size=len(EVENTS), max_size=len(EVENTS)),
        st.lists(st.sampled_from(EVENTS), max_size=4),
    )
    def test_the_zone_does_not_depend_on_how_events_are_batched(
        self, order: list[Object], sizes: list[int], back_and_forth: list[Object]
    ) -> None:
        line, once = pipeline(), pipeline()
        feed(once, *EVENTS)
        events: list[Event] = [*order]
        for thing in back_and_forth:
            events += [thing.key, thing]
        while events:
            size = sizes.pop() if sizes else 1
            feed(line, *events[:size])
            del events[:size]
        assert served(line) == served(once)
        assert set(line.zone.names()) == set(once.zone.names())

    @settings(deadline=None, max_examples=60)
    @given(st.permutations(EVENTS), st.lists(st.integers(0, 9), min_size=4, max_size=4))
    def test_with_other_batches_between_the_pieces_of_a_batch(
        self, order: list[Object], sizes: list[int]
    ) -> None:
        line, once = pipeline(), pipeline()
        feed(once, *order[1:])
        pieces = line.feed_slowly(Batch(tuple(order)), 0.0)
        for number, size in enumerate(sizes):
            for _ in range(size):
                next(pieces, None)
            feed(line, order[number], order[0].key)
        for _ in pieces:
            pass
        feed(line, *order[1:], order[0].key)
        assert served(line) == served(once)
        assert set(line.zone.names()) == set(once.zone.names())


class TestExternalZones:
    HOST = name_from_text("www.k8s.example.com.")
    CONFIG = SchemaConfig(
        zones=(Z,),
        external=ExternalConfig(
            (ExternalZone(name_from_text("k8s.example.com."), ttl=5),), ("ingresses",)
        ),
    )

    def ingress(self, called: str, ip: str, created: str = "") -> Ingress:
        point = LoadBalancerIngress(packed(ip)[0])
        return Ingress("default", called, ("www.k8s.example.com",), (point,), created=created)

    def test_a_changed_claim_of_a_name_is_logged_once(self) -> None:
        line = pipeline(self.CONFIG)
        young = self.ingress("a", "192.0.2.1", "2026-02-01T00:00:00Z")
        old = self.ingress("b", "192.0.2.2", "2026-01-01T00:00:00Z")
        with capture_logs() as logs:
            feed(line, young)
            feed(line, old)
            feed(line, msgspec.structs.replace(old, version="2"))
            feed(line, old.key)
        said = [(log["event"], log.get("served"), log.get("left_out")) for log in logs]
        assert said == [
            ("name claimed by several objects; the oldest wins", str(old.key), [str(young.key)]),
            ("name no longer claimed by several objects", None, None),
        ]
        found = line.zone.rrset(self.HOST, Type.A)
        assert found is not None
        assert found.rdatas == packed("192.0.2.1")

    def test_a_node_that_changes_changes_the_services_at_node_ports(self) -> None:
        line = pipeline(self.CONFIG)
        feed(line, service("np", type="NodePort", ports=()), Node("n1", packed("10.0.0.1")))
        at = name_from_text("np.default.k8s.example.com.")
        assert line.zone.exists(at)
        assert line.zone.types(at) == ()
        (change,) = feed(line, Node("n1", packed("10.0.0.1"), ready=True))
        assert change.contributor == Key("Service", "default", "np")
        assert change.cause.key == Key("Node", "", "n1")
        assert line.zone.types(at) == (Type.A,)
        assert feed(line, Node("n1", packed("10.0.0.1"), ready=True, version="9")) == []

    def test_external_names_follow_the_configuration(self) -> None:
        line = pipeline()
        feed(line, self.ingress("a", "192.0.2.1"))
        assert not line.zone.exists(self.HOST)
        line.reconfigure(self.CONFIG)
        assert line.zone.exists(self.HOST)
        fresh = pipeline(self.CONFIG)
        feed(fresh, self.ingress("a", "192.0.2.1"))
        assert served(line) == served(fresh)
        line.reconfigure(CONFIG)
        assert not line.zone.exists(self.HOST)
