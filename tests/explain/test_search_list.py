"""The search list: the queries of a Pod's resolver, and where it stops."""

from __future__ import annotations

from dnsd.cluster.objects import Pod
from dnsd.dns.types import Type
from dnsd.explain.search_list import candidates, domains, expand, pod_of
from dnsd.sources.source import Batch
from tests.answer.building import pipeline_of
from tests.cases import cluster
from tests.zone.made import packed

SEARCHES = ["prod.svc.cluster.local.", "svc.cluster.local.", "cluster.local."]


class TestCandidates:
    def test_with_few_dots_the_search_list_comes_first(self) -> None:
        assert candidates("web", SEARCHES) == [
            "web.prod.svc.cluster.local.",
            "web.svc.cluster.local.",
            "web.cluster.local.",
            "web.",
        ]

    def test_with_five_dots_the_name_itself_comes_first(self) -> None:
        assert candidates("a.b.c.d.e.f", SEARCHES)[0] == "a.b.c.d.e.f."
        assert candidates("a.b.c.d.e", SEARCHES)[0] == "a.b.c.d.e.prod.svc.cluster.local."

    def test_a_trailing_dot_prevents_the_expansion(self) -> None:
        assert candidates("web.", SEARCHES) == ["web."]


class TestDomains:
    ZONE = pipeline_of([]).zone

    def test_a_namespace_has_three_domains(self) -> None:
        assert domains(self.ZONE, "prod") == SEARCHES

    def test_a_pod_adds_or_replaces_domains(self) -> None:
        pod = Pod("prod", "p", searches=("corp.example",))
        assert domains(self.ZONE, "prod", pod) == [*SEARCHES, "corp.example."]
        none = Pod("prod", "p", dns_policy="None", searches=("corp.example",))
        assert domains(self.ZONE, "prod", none) == ["corp.example."]


class TestExpand:
    def test_the_resolver_stops_at_the_first_answer(self) -> None:
        zone = pipeline_of(cluster.objects()).zone
        expanded = expand(zone, "web.prod", Type.A, SEARCHES)
        assert [(one.outcome, one.used) for one in expanded] == [
            ("nxdomain", False),
            ("answer", True),
            ("nxdomain", False),
            ("not ours", False),
        ]

    def test_a_candidate_may_be_too_long(self) -> None:
        zone = pipeline_of([]).zone
        long = ".".join(["x" * 60] * 4)
        assert expand(zone, long, Type.A, SEARCHES)[0].outcome == "too long"


def test_a_client_is_one_running_pod_or_none() -> None:
    pipeline = pipeline_of([])
    (one, other) = packed("10.1.0.1", "10.1.0.2")
    pods = (
        Pod("prod", "web", (one,), "Running"),
        Pod("prod", "proxy", (other,), "Running", host_network=True),
        Pod("old", "done", (one,), "Succeeded"),
    )
    pipeline.feed(Batch(pods), 0.0)
    assert pod_of(pipeline.state, one) == pods[0]
    assert pod_of(pipeline.state, other) is None
