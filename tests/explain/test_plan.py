"""Plans: they predict exactly what happens when the manifests are applied."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Key, Object, from_plain
from dnsd.dns.names import Name, name_from_text, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.text import rdata_text
from dnsd.dns.types import Type, type_text
from dnsd.explain import plan as planning
from dnsd.explain.plan import LATER, Manifests, Mode, Plan, TooMuch, plan, read_manifests
from dnsd.sources.source import Batch
from dnsd.zone.change import Cause
from dnsd.zone.pipeline import Pipeline
from tests.answer.building import SCHEMA, pipeline_of
from tests.cases import cluster
from tests.cases.cluster import endpoint, endpoint_slice, external, port, service
from tests.zone.made import packed


def manifests_of(*plains: dict[str, Any]) -> Manifests:
    return read_manifests(("manifests.yaml", yaml.safe_dump_all(plains).encode()))


def planned(
    *plains: dict[str, Any], mode: Mode = "apply", pipeline: Pipeline | None = None
) -> Plan:
    return plan(pipeline or pipeline_of(cluster.objects()), manifests_of(*plains), mode)


def names(rows: tuple[planning.Row, ...]) -> set[str]:
    return {f"{row.name.removesuffix('.cluster.local.')} {row.type}" for row in rows}


class TestApply:
    def test_a_new_service_adds_its_names(self) -> None:
        found = planned(service("new", "10.96.1.1", ports=[port(80, "http")]))
        assert names(found.appear) == {
            "new.prod.svc A",
            "new.prod.svc SRV",
            "_http._tcp.new.prod.svc SRV",
            "1.1.96.10.in-addr.arpa. PTR",
        }
        assert (found.vanish, found.change, found.conflicts) == ((), (), ())
        assert found.verdict == "3 names would appear."

    def test_a_changed_address_changes_one_name_and_moves_its_pointer(self) -> None:
        found = planned(service("api", "10.96.0.99", ports=[port(443)]))
        (row,) = found.change
        assert (row.name, row.before, row.after) == (
            "api.prod.svc.cluster.local.",
            ("10.96.0.13",),
            ("10.96.0.99",),
        )
        assert row.owner == "Service prod/api"
        assert names(found.vanish) == {"13.0.96.10.in-addr.arpa. PTR"}

    def test_a_renamed_port_moves_its_name(self) -> None:
        found = planned(service("http", "10.96.0.12", ports=[port(80, "web")]))
        assert names(found.vanish) == {"_http._tcp.http.prod.svc SRV"}
        assert names(found.appear) == {"_web._tcp.http.prod.svc SRV"}
        assert found.breaks

    def test_a_changed_type_changes_the_name(self) -> None:
        found = planned(external("api", "api.example.org"))
        assert {row.type for row in found.change} == {"A", "SRV", "CNAME"}

    def test_equal_manifests_change_nothing(self) -> None:
        found = planned(*cluster.objects())
        assert found.verdict == "No name would change."

    def test_a_service_without_cluster_ip_keeps_its_current_one(self) -> None:
        found = planned(service("api", ports=[port(443)]))
        assert found.verdict == "No name would change."

    def test_a_new_service_gets_its_cluster_ip_later(self) -> None:
        found = planned(service("new", ports=[port(80)]))
        (row,) = found.appear
        assert (row.name, row.after) == ("new.prod.svc.cluster.local.", (LATER,))
        assert "gets a ClusterIP" in found.notes[0]

    def test_a_headless_service_has_names_once_it_has_endpoints(self) -> None:
        found = planned(service("new", "None", ports=[port(80)]))
        assert found.appear == ()
        assert "ready endpoints" in found.notes[0]

    def test_a_slice_without_ready_endpoints_removes_names(self) -> None:
        found = planned(
            endpoint_slice("peers", endpoint("10.244.2.1", ready=False), ports=[port(7000)])
        )
        assert "10-244-2-1.peers.prod.svc A" in names(found.vanish)
        assert "peers.prod.svc SRV" in names(found.change)

    def test_nothing_is_applied(self) -> None:
        pipeline = pipeline_of(cluster.objects())
        before, serial = set(pipeline.zone.rrsets()), pipeline.zone.serial
        planned(service("web", "10.96.7.7"), pipeline=pipeline)
        assert (set(pipeline.zone.rrsets()), pipeline.zone.serial) == (before, serial)


class TestModes:
    def test_delete_removes_the_names(self) -> None:
        found = planned(service("api", "10.96.0.13"), mode="delete")
        assert names(found.vanish) == {
            "api.prod.svc A",
            "api.prod.svc SRV",
            "13.0.96.10.in-addr.arpa. PTR",
        }

    def test_whole_deletes_objects_that_are_not_in_the_manifests(self) -> None:
        keep = [one for one in cluster.objects() if one["metadata"]["name"] != "api"]
        assert "api.prod.svc A" in names(planned(*keep, mode="whole").vanish)
        assert "web.prod.svc A" not in names(planned(*keep, mode="whole").vanish)


class TestConflicts:
    def test_an_address_of_another_service_is_a_conflict(self) -> None:
        found = planned(service("new", "10.96.0.13"))
        assert found.conflicts == (
            "10.96.0.13 of Service prod/new is the ClusterIP of Service prod/api",
        )

    def test_one_address_for_two_services_is_a_conflict(self) -> None:
        found = planned(service("a", "10.96.1.1"), service("b", "10.96.1.1"))
        assert "would be the ClusterIP of" in found.conflicts[0]

    def test_an_object_that_occurs_twice_is_a_conflict(self) -> None:
        found = planned(service("a", "10.96.1.1"), service("a", "10.96.1.2"))
        assert "occurs twice" in found.conflicts[0]

    def test_a_pinned_record_at_a_new_name_is_a_conflict(self) -> None:
        pipeline = pipeline_of(cluster.objects())
        name = name_from_text("new.prod.svc.cluster.local.")
        pinned = RRset(name, int(Type.A), 5, packed("192.0.2.1"))
        pipeline.zone.replace(
            Key("Record", "cluster.local.", "new/A"), [pinned], Cause(Key("", "", ""))
        )
        found = planned(service("new", "10.96.1.1"), pipeline=pipeline)
        assert "pinned records" in found.conflicts[0]
        assert [row.after for row in found.change if row.type == "A"] == [
            ("10.96.1.1", "192.0.2.1")
        ]

    def test_invalid_manifests_are_problems(self) -> None:
        assert len(read_manifests(("m.yaml", b"{unfinished: [")).problems) == 1
        found = plan(
            pipeline_of([]),
            read_manifests(("m.yaml", b"kind: Service\nmetadata: {name: Bad_Name}\n")),
        )
        assert "Bad_Name" in found.problems[0]
        assert "is an address" in planned(external("new", "192.0.2.1")).problems[0]

    def test_too_many_objects_are_refused(self) -> None:
        (one,) = from_plain(service("a", "10.96.1.1"))
        with pytest.raises(TooMuch):
            plan(pipeline_of([]), Manifests((one,) * (planning.MAX_OBJECTS + 1)))


def test_recent_queries_are_reported() -> None:
    queries = {name_from_text("api.prod.svc.cluster.local."): 7}
    found = plan(
        pipeline_of(cluster.objects()),
        manifests_of(service("api", "10.96.0.13")),
        "delete",
        lambda name: queries.get(name, 0),
    )
    assert {row.name: row.asked for row in found.vanish}["api.prod.svc.cluster.local."] == 7
    assert found.verdict.endswith("clients currently query 1 of those that vanish or change.")


# ---------------------------------------------------------------------------------------

SOME = [
    service("web", "10.96.0.10", ports=[port(80, "http")]),
    service("web", "10.96.0.77", ports=[port(80, "http"), port(81, "more")]),
    service("web", "None", ports=[port(80, "http")]),
    external("web", "elsewhere.example"),
    service("other", "None", ports=[port(80)]),
    endpoint_slice("web", endpoint("10.244.0.1"), ports=[port(80, "http")]),
    endpoint_slice("web", endpoint("10.244.0.1", hostname="h"), ports=[], suffix="b"),
    endpoint_slice("other", endpoint("10.244.0.1"), ports=[]),
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "empty"}},
]
SETS = st.lists(st.sampled_from(SOME), max_size=6, unique_by=str)

Served = dict[tuple[Name, int], RRset]


def served(pipeline: Pipeline) -> Served:
    return {(one.name, one.type): one for one in pipeline.zone.rrsets() if one.type != Type.SOA}


@settings(deadline=None, max_examples=60)
@given(SETS, SETS, st.sampled_from(["apply", "delete"]))
def test_what_is_planned_is_what_happens(
    before: list[dict[str, Any]], more: list[dict[str, Any]], mode: Mode
) -> None:
    pipeline = pipeline_of(before)
    objects: list[Object] = [one for plain in more for one in from_plain(plain)]
    found = plan(pipeline, Manifests(tuple(objects)), mode)
    old = served(pipeline)
    events = [one.key if mode == "delete" else one for one in objects]
    pipeline.feed(Batch(tuple(events)), 0.0)
    new = served(pipeline)
    happened = {
        (text_of(name), type_text(type_)): (values(old, name, type_), values(new, name, type_))
        for name, type_ in {**old, **new}
        if old.get((name, type_)) != new.get((name, type_)) and not is_reverse_apex(name, type_)
    }
    claimed = {
        (row.name, row.type): (row.before, row.after)
        for row in (*found.appear, *found.vanish, *found.change)
        if row.before != row.after
    }
    assert claimed == happened


def values(of: Served, name: Name, type_: int) -> tuple[str, ...]:
    one = of.get((name, type_))
    return tuple(rdata_text(type_, rdata) for rdata in one.rdatas) if one else ()


def is_reverse_apex(name: Name, type_: int) -> bool:
    return type_ == Type.NS and name not in SCHEMA.zones
