"""Explanations: the name that is meant, the facts, and what only a running dnsd has."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import Key, Pod
from dnsd.explain.explain import (
    BadQuestion,
    Question,
    Runtime,
    client_of,
    interpret,
    type_of,
)
from dnsd.sources.source import Batch
from dnsd.zone.journal import Journal
from dnsd.zone.pipeline import Pipeline
from tests.answer.building import SCHEMA, pipeline_of
from tests.cases import cluster
from tests.explain.explaining import PIPELINE, explained
from tests.zone.made import packed, piece, service


class TestFacts:
    def test_objects_are_cited_with_their_versions(self) -> None:
        pipeline = pipeline_of([])
        made = service("web", headless=True, version="41", origin="web.yaml#1", uid="u-1")
        pipeline.feed(Batch((made, piece("10.1.0.1"))), 0.0)
        found = explained("web.default.svc.cluster.local.", pipeline=pipeline)
        (cited,) = [one for one in found.objects if one.kind == "Service"]
        assert (cited.version, cited.origin, cited.uid) == ("41", "web.yaml#1", "u-1")
        assert [one.name for one in found.objects if one.kind == "EndpointSlice"] == ["web-1"]

    def test_an_allocated_address_is_reported(self) -> None:
        pipeline = pipeline_of([])
        pipeline.feed(Batch((service("web", "10.96.0.9", allocated=True),)), 0.0)
        assert (
            "allocated by dnsd"
            in explained("web.default.svc.cluster.local.", pipeline=pipeline).verdict
        )

    def test_the_last_change_has_the_records_before_and_after(self) -> None:
        pipeline = Pipeline(SCHEMA, 1, Journal(100, 10**6))
        for i, address in enumerate(("10.96.0.7", "10.96.0.8")):
            made = service("web", address, version=str(i), origin="web.yaml#1")
            pipeline.feed(Batch((made,)), 1000.0 + i)
        changed = explained("web.default.svc.cluster.local.", pipeline=pipeline).changed
        assert changed is not None
        assert changed.at == 1001.0
        assert changed.before == ("web.default.svc.cluster.local. 5 IN A 10.96.0.7",)
        assert changed.after == ("web.default.svc.cluster.local. 5 IN A 10.96.0.8",)
        assert (changed.cause.kind, changed.cause.version) == ("Service", "1")
        pipeline.feed(Batch((Key("Service", "default", "web"),)), 1002.0)
        gone = explained("web.default.svc.cluster.local.", pipeline=pipeline)
        assert gone.outcome == "nxdomain"
        assert gone.changed is not None
        assert gone.changed.after == ()


class TestInterpretation:
    def test_a_relative_name_is_expanded_as_in_a_pod(self) -> None:
        found = explained("web.prod")
        assert found.name == "web.prod.svc.cluster.local."
        assert [one.used for one in found.search] == [False, True, False, False]
        assert found.steps[0].what == "search"

    def test_a_missing_relative_name_means_the_likely_candidate(self) -> None:
        assert explained("wbe.prod").name == "wbe.prod.svc.cluster.local."
        assert explained("wbe", namespace="prod").name == "wbe.prod.svc.cluster.local."
        assert explained("www.example.org").name == "www.example.org."

    def test_the_pod_of_the_client_gives_the_namespace(self) -> None:
        pipeline = pipeline_of(cluster.objects())
        (address,) = packed("10.244.0.9")
        pipeline.feed(Batch((Pod("staging", "p", (address,), "Running"),)), 0.0)
        assert (
            explained("web", pipeline=pipeline, client=address).name
            == "web.staging.svc.cluster.local."
        )


class TestRuntime:
    def test_before_the_first_sync_the_answer_is_servfail(self) -> None:
        found = explained("web.prod.svc.cluster.local.", runtime=Runtime(data="not ready"))
        assert (found.rcode, found.answer) == ("SERVFAIL", ())
        assert "the sources are not synced" in found.verdict

    def test_a_part_without_source_gets_servfail_for_missing_names_only(self) -> None:
        runtime = Runtime(data="not known")
        assert explained("web.prod.svc.cluster.local.", runtime=runtime).rcode == "NOERROR"
        found = explained("nope.prod.svc.cluster.local.", runtime=runtime)
        assert (found.rcode, found.answer) == ("SERVFAIL", ())
        assert "no source covers this part" in found.verdict

    def test_stale_data_is_answered_and_reported(self) -> None:
        found = explained("web.prod.svc.cluster.local.", runtime=Runtime(data="stale"))
        assert found.rcode == "NOERROR"
        assert any("unreachable" in step.said for step in found.steps)

    def test_a_verdict_ends_in_one_period_also_after_a_name(self) -> None:
        verdict = explained("web.cluster.local.").verdict
        assert verdict.endswith("names of Services end in .svc.cluster.local.")

    def test_an_external_name_is_forwarded(self) -> None:
        runtime = Runtime(upstream="forwarded to 192.0.2.53", cached="an answer for 20 s more")
        found = explained("www.example.org.", runtime=runtime)
        assert found.verdict == "www.example.org. is an external name: forwarded to 192.0.2.53."
        assert "cache" in {step.what for step in found.steps}

    def test_allow_query_decides_by_the_client(self) -> None:
        (client,) = packed("192.0.2.1")
        runtime = Runtime(allow_query=("10.0.0.0/8",))
        found = explained("web.prod.svc.cluster.local.", runtime=runtime, client=client)
        assert found.rcode == "REFUSED"
        assert "does not allow 192.0.2.1" in found.verdict
        allowed = Runtime(allow_query=("192.0.2.0/24",))
        found = explained("web.prod.svc.cluster.local.", runtime=allowed, client=client)
        assert found.rcode == "NOERROR"


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, "a." * 200, "wéb"])
def test_text_that_is_not_a_name_is_a_bad_question(name: str) -> None:
    with pytest.raises(BadQuestion):
        interpret(PIPELINE, Question(name))


def test_an_invalid_type_or_client_is_a_bad_question_of_its_field() -> None:
    with pytest.raises(BadQuestion, match="'NOPE' is not a record type") as caught:
        type_of("NOPE")
    assert caught.value.field == "type"
    with pytest.raises(BadQuestion, match="'here' is not an IP address") as caught:
        client_of("here")
    assert caught.value.field == "client"
    assert (type_of("aaaa"), client_of("192.0.2.1")) == (28, bytes([192, 0, 2, 1]))
