"""The trace of an explanation: the first reason stays, and citations are bounded."""

from __future__ import annotations

from dnsd.dns.names import name_from_text
from dnsd.dns.types import Type
from dnsd.explain.lookup import lookup
from dnsd.explain.trace import MAX_CITED, Trace
from tests.answer.building import pipeline_of
from tests.zone.made import piece, service


def trace() -> Trace:
    pipeline = pipeline_of([])
    name = name_from_text("web.prod.svc.cluster.local.")
    return Trace(pipeline, name, Type.A, lookup(pipeline.zone, name, Type.A))


def test_the_first_reason_stays() -> None:
    made = trace()
    made.because("")
    made.fail("namespace", "namespace prod does not exist")
    made.fail("service", "namespace prod has no Service web")
    assert made.reason == "namespace prod does not exist"
    assert [step.ok for step in made.steps] == [False, False]


def test_the_last_step_of_a_kind_is_found() -> None:
    made = trace()
    made.step("policy", True, "first")
    made.step("policy", None, "second")
    assert (made.last("policy"), made.last("zone")) == ("second", "")


def test_at_most_20_objects_of_a_kind_are_cited() -> None:
    made = trace()
    made.cite(*(piece("10.1.0.1", name=f"web-{i}") for i in range(MAX_CITED + 5)))
    made.cite(service("web"))
    kinds = [one.kind for one in made.objects.values()]
    assert (kinds.count("EndpointSlice"), kinds.count("Service")) == (MAX_CITED, 1)
