"""Why: the verdict, and what it rests on, for every kind of name."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import Key, Pod
from dnsd.dns.names import name_from_text
from dnsd.dns.types import Type
from dnsd.explain.explain import (
    BadQuestion,
    Explanation,
    Question,
    Runtime,
    explain,
    interpret,
)
from dnsd.sources.source import Batch
from dnsd.zone.journal import Journal
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import SchemaConfig
from tests.answer.building import SCHEMA, pipeline_of
from tests.cases import cluster
from tests.explain.test_lookup import CONFIGS, MISSING, TYPES, some_names
from tests.zone.made import packed, piece, service

PIPELINE = pipeline_of(cluster.objects())


def why(
    name: str,
    type_: Type = Type.A,
    pipeline: Pipeline = PIPELINE,
    runtime: Runtime | None = None,
    **more: object,
) -> Explanation:
    question = Question(name, int(type_), **more)  # type: ignore[arg-type]
    return explain(pipeline, interpret(pipeline, question), runtime)


VERDICTS = {
    ("web.prod.svc.cluster.local", Type.A): (
        "web.prod.svc.cluster.local. A resolves to 10.96.0.10: "
        "it is the ClusterIP of Service prod/web."
    ),
    ("web.prod.svc.cluster.local", Type.AAAA): (
        "web.prod.svc.cluster.local. exists and has no AAAA record (NODATA): it only has A, SRV."
    ),
    ("wbe.prod.svc.cluster.local", Type.A): (
        "wbe.prod.svc.cluster.local. does not exist (NXDOMAIN): namespace prod has no Service wbe."
    ),
    ("web.prd.svc.cluster.local", Type.A): (
        "web.prd.svc.cluster.local. does not exist (NXDOMAIN): namespace prd does not exist."
    ),
    ("_htp._tcp.web.prod.svc.cluster.local", Type.SRV): (
        "_htp._tcp.web.prod.svc.cluster.local. does not exist (NXDOMAIN): Service prod/web has no"
        " port htp/TCP; its ports are http/TCP, dns/UDP, sig/SCTP."
    ),
    ("hollow.prod.svc.cluster.local", Type.A): (
        "hollow.prod.svc.cluster.local. does not exist (NXDOMAIN): headless Service prod/hollow has"
        " no ready endpoint (0 of 1 endpoints are ready)."
    ),
    ("db-2.db.prod.svc.cluster.local", Type.A): (
        "db-2.db.prod.svc.cluster.local. does not exist (NXDOMAIN): "
        "endpoint 10.244.1.3 of Service prod/db is not ready."
    ),
    ("db.prod.svc.cluster.local", Type.A): (
        "db.prod.svc.cluster.local. A resolves to 10.244.1.1, 10.244.1.2: "
        "2 of 3 endpoints of the headless Service prod/db are ready."
    ),
    ("google.prod.svc.cluster.local", Type.A): (
        "google.prod.svc.cluster.local. A is an alias of google.com.: Service prod/google is an"
        " ExternalName for google.com.; forwarding is off: no upstream server is configured."
    ),
    ("literal.prod.svc.cluster.local", Type.A): (
        "literal.prod.svc.cluster.local. exists and has no A record (NODATA): externalName of"
        " Service prod/literal is an address, and a CNAME needs a name."
    ),
    ("ring-a.prod.svc.cluster.local", Type.A): (
        "ring-a.prod.svc.cluster.local. A gets SERVFAIL: "
        "its aliases form a loop, or a chain of more than ten names."
    ),
    ("10.0.96.10.in-addr.arpa", Type.PTR): (
        "10.0.96.10.in-addr.arpa. PTR resolves to web.prod.svc.cluster.local.: "
        "10.96.0.10 is the ClusterIP of Service prod/web."
    ),
    ("9.9.96.10.in-addr.arpa", Type.PTR): (
        "9.9.96.10.in-addr.arpa. does not exist (NXDOMAIN): "
        "no Service and no ready endpoint has the address 10.96.9.9."
    ),
    ("1-2-3-4.prod.pod.cluster.local", Type.A): (
        "1-2-3-4.prod.pod.cluster.local. does not exist (NXDOMAIN): "
        "names of pods are off (pods: disabled)."
    ),
    ("www.example.org", Type.A): (
        "www.example.org. is an external name (REFUSED): "
        "forwarding is off: no upstream server is configured."
    ),
    ("prod.svc.cluster.local", Type.A): (
        "prod.svc.cluster.local. exists and has no A record (NODATA): "
        "it is the namespace prod; its Services lie below it."
    ),
}


@pytest.mark.parametrize(("name", "type_"), list(VERDICTS), ids=[name for name, _ in VERDICTS])
def test_verdicts(name: str, type_: Type) -> None:
    assert why(name + ".", type_).verdict == VERDICTS[name, type_]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_every_name_and_type_has_a_reason(config: SchemaConfig) -> None:
    pipeline = pipeline_of(cluster.objects(), config)
    for name in some_names(pipeline):
        for type_ in TYPES:
            found = why(name, type_, pipeline)
            assert found.verdict.startswith(name)
            assert ": " in found.verdict, found.verdict
            assert found.steps


class TestWhatItRestsOn:
    def test_objects_with_their_versions(self) -> None:
        pipeline = pipeline_of([])
        made = service("web", headless=True, version="41", origin="web.yaml#1", uid="u-1")
        pipeline.feed(Batch((made, piece("10.1.0.1"))), 0.0)
        found = why("web.default.svc.cluster.local.", pipeline=pipeline)
        (cited,) = [one for one in found.objects if one.kind == "Service"]
        assert (cited.version, cited.origin, cited.uid) == ("41", "web.yaml#1", "u-1")
        assert [one.name for one in found.objects if one.kind == "EndpointSlice"] == ["web-1"]

    def test_an_allocated_address(self) -> None:
        pipeline = pipeline_of([])
        pipeline.feed(Batch((service("web", "10.96.0.9", allocated=True),)), 0.0)
        assert (
            "allocated by dnsd" in why("web.default.svc.cluster.local.", pipeline=pipeline).verdict
        )

    def test_the_last_change_and_what_was_said_before(self) -> None:
        pipeline = Pipeline(SCHEMA, 1, Journal(100, 10**6))
        for i, address in enumerate(("10.96.0.7", "10.96.0.8")):
            made = service("web", address, version=str(i), origin="web.yaml#1")
            pipeline.feed(Batch((made,)), 1000.0 + i)
        changed = why("web.default.svc.cluster.local.", pipeline=pipeline).changed
        assert changed is not None
        assert changed.at == 1001.0
        assert changed.before == ("web.default.svc.cluster.local. 5 IN A 10.96.0.7",)
        assert changed.after == ("web.default.svc.cluster.local. 5 IN A 10.96.0.8",)
        assert (changed.cause.kind, changed.cause.version) == ("Service", "1")
        pipeline.feed(Batch((Key("Service", "default", "web"),)), 1002.0)
        gone = why("web.default.svc.cluster.local.", pipeline=pipeline)
        assert gone.outcome == "nxdomain"
        assert gone.changed is not None
        assert gone.changed.after == ()


class TestNearest:
    def names(self, name: str, type_: Type = Type.A) -> list[str]:
        return [near.name for near in why(name, type_).nearest]

    def test_a_typing_error_in_a_service(self) -> None:
        assert self.names("wbe.prod.svc.cluster.local.")[0] == "web.prod.svc.cluster.local."

    def test_the_right_service_in_the_wrong_namespace(self) -> None:
        assert self.names("db.staging.svc.cluster.local.")[0] == "db.prod.svc.cluster.local."

    def test_a_typing_error_in_a_namespace(self) -> None:
        found = self.names("web.stagign.svc.cluster.local.")
        assert "web.staging.svc.cluster.local." in found

    def test_a_port_and_an_endpoint(self) -> None:
        assert "_http._tcp.web.prod.svc.cluster.local." in self.names(
            "_htp._tcp.web.prod.svc.cluster.local.", Type.SRV
        )
        assert self.names("db-3.db.prod.svc.cluster.local.")[0].startswith("db-")

    def test_all_of_them_exist(self) -> None:
        for name in MISSING:
            for near in why(name).nearest:
                assert PIPELINE.zone.exists(name_from_text(near.name)), near


class TestSearch:
    def test_a_short_name_is_what_a_pod_would_get(self) -> None:
        found = why("web.prod")
        assert found.name == "web.prod.svc.cluster.local."
        assert [one.used for one in found.search] == [False, True, False, False]
        assert found.steps[0].what == "search"

    def test_one_that_does_not_exist_is_guessed(self) -> None:
        assert why("wbe.prod").name == "wbe.prod.svc.cluster.local."
        assert why("wbe", namespace="prod").name == "wbe.prod.svc.cluster.local."
        assert why("www.example.org").name == "www.example.org."

    def test_the_client_tells_the_namespace(self) -> None:
        pipeline = pipeline_of(cluster.objects())
        (address,) = packed("10.244.0.9")
        pipeline.feed(Batch((Pod("staging", "p", (address,), "Running"),)), 0.0)
        assert (
            why("web", pipeline=pipeline, client=address).name == "web.staging.svc.cluster.local."
        )


class TestRuntime:
    def test_not_ready(self) -> None:
        found = why("web.prod.svc.cluster.local.", runtime=Runtime(data="not ready"))
        assert (found.rcode, found.answer) == ("SERVFAIL", ())
        assert "the sources are not synced" in found.verdict

    def test_what_nobody_knows_is_said_of_names_that_are_not_served_only(self) -> None:
        runtime = Runtime(data="not known")
        assert why("web.prod.svc.cluster.local.", runtime=runtime).rcode == "NOERROR"
        found = why("nope.prod.svc.cluster.local.", runtime=runtime)
        assert (found.rcode, found.answer) == ("SERVFAIL", ())
        assert "no source covers this part" in found.verdict

    def test_stale(self) -> None:
        found = why("web.prod.svc.cluster.local.", runtime=Runtime(data="stale"))
        assert found.rcode == "NOERROR"
        assert any("unreachable" in step.said for step in found.steps)

    def test_forwarded(self) -> None:
        runtime = Runtime(upstream="forwarded to 192.0.2.53", cached="an answer for 20 s more")
        found = why("www.example.org.", runtime=runtime)
        assert found.verdict == "www.example.org. is an external name: forwarded to 192.0.2.53."
        assert "cache" in {step.what for step in found.steps}

    def test_who_may_not_ask(self) -> None:
        (client,) = packed("192.0.2.1")
        runtime = Runtime(allow_query=("10.0.0.0/8",))
        found = why("web.prod.svc.cluster.local.", runtime=runtime, client=client)
        assert found.rcode == "REFUSED"
        assert "does not allow 192.0.2.1" in found.verdict
        allowed = Runtime(allow_query=("192.0.2.0/24",))
        found = why("web.prod.svc.cluster.local.", runtime=allowed, client=client)
        assert found.rcode == "NOERROR"


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, "a." * 200, "wéb"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(BadQuestion):
        interpret(PIPELINE, Question(name))
