"""Names in external zones: contributors, conflicts, and pending addresses."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import from_plain
from dnsd.control.views import ViewZones
from dnsd.dns.addresses import pack_address
from dnsd.dns.types import Type
from dnsd.explain.explain import Explanation, Question, Runtime, explain, interpret
from dnsd.explain.plan import plan, read_manifests
from dnsd.sources.source import Batch
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import PolicyRule, ViewConfig
from tests.cases.cluster import objects
from tests.system.test_cases import SCHEMA


def serving() -> Pipeline:
    pipeline = Pipeline(SCHEMA, 1)
    events = tuple(event for plain in objects() for event in from_plain(plain))
    pipeline.feed(Batch(events, True), 0.0)
    return pipeline


PIPELINE = serving()


def explained(name: str, type_: Type = Type.A, **more: object) -> Explanation:
    question = Question(name, int(type_))
    return explain(PIPELINE, interpret(PIPELINE, question), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("site.edge.k8s.example.com", "answer", "it is an external name of Service edge/site"),
        ("www.k8s.example.com", "answer", "it is an external name of Service edge/site"),
        ("waiting.edge.k8s.example.com", "nodata", "pending: status.loadBalancer.ingress is empty"),
        ("unborn.k8s.example.com", "nodata", "pending: status.loadBalancer.ingress is empty"),
        ("plain.edge.k8s.example.com", "nxdomain", "not exposed"),
        ("empty.edge.k8s.example.com", "nxdomain", "it is headless"),
        ("n2.nodes.k8s.example.com", "answer", "it is an external name of Node n2"),
        ("web-route.k8s.example.com", "answer", "it is an external name of HTTPRoute edge/web"),
        ("k8s.example.com", "nodata", "the zone apex"),
        ("edge.k8s.example.com", "nodata", "it only has names below it"),
        ("nobody.k8s.example.com", "nxdomain", "no object has this external name"),
    ],
)
def test_the_verdict_names_the_reason(name: str, outcome: str, reason: str) -> None:
    found = explained(name)
    assert found.outcome == outcome
    assert reason in found.verdict


def test_other_claims_of_a_name_are_reported() -> None:
    found = explained("shop.k8s.example.com")
    (step,) = [step for step in found.steps if step.what == "conflict"]
    assert step.said == (
        "name also claimed by Ingress edge/shop; Ingress edge/older-shop wins: "
        "the oldest, then the first by key"
    )
    assert [(one.kind, one.name) for one in found.objects] == [("Ingress", "older-shop")]


def test_the_nodes_behind_an_answer_are_cited() -> None:
    found = explained("local.edge.k8s.example.com")
    assert {one.kind for one in found.objects} == {"Service", "EndpointSlice", "Node"}


def test_a_record_that_is_left_out_is_reported_with_its_contributor() -> None:
    found = explained("txt.k8s.example.com", Type.TXT)
    assert any("'far.example.org' is in none" in step.said for step in found.steps)


def test_a_name_outside_the_view_of_the_client_is_hidden() -> None:
    pipeline = serving()
    config = ViewConfig(policies=(PolicyRule(networks=("10.0.0.0/8",), see=("edge",)),))
    runtime = Runtime(view_zones=ViewZones(config, pipeline))

    def seen_by(client: str) -> Explanation:
        question = Question("web.prod.svc.cluster.local", client=pack_address(client))
        return explain(pipeline, interpret(pipeline, question), runtime)

    assert seen_by("192.0.2.1").outcome == "answer"
    hidden = seen_by("10.1.1.1")
    assert hidden.outcome == "nxdomain"
    assert "10.1.1.1 sees only names of these namespaces: edge" in hidden.verdict


INGRESS = """
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {name: new, namespace: edge, creationTimestamp: "2025-01-01T00:00:00Z"}
spec: {rules: [{host: shop.k8s.example.com}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.77}]}}
"""
NODE = """
kind: Node
metadata: {name: n4}
status:
  addresses: [{type: InternalIP, address: 10.0.0.4}]
  conditions: [{type: Ready, status: "True"}]
"""


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        (INGRESS, "shop.k8s.example.com.", "192.0.2.77"),
        (NODE, "everywhere.edge.k8s.example.com.", "10.0.0.4"),
    ],
)
def test_a_plan_is_what_happens(text: str, name: str, value: str) -> None:
    pipeline = serving()
    before = set(pipeline.zone.rrsets())
    planned = plan(pipeline, read_manifests(("manifests.yaml", text.encode())))
    (row,) = [row for row in planned.change if row.name == name and row.type == "A"]
    assert value in row.after
    assert set(pipeline.zone.rrsets()) == before
