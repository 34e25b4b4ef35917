"""Metrics: each is documented, has the counted value, and has bounded labels."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dnsd.observe.facts import Facts, ServerFacts, WorkerStatus
from dnsd.observe.histogram import CHANGE_BOUNDS, Histogram
from dnsd.observe.metrics import exposition, sample_names, with_table
from dnsd.sources.source import SourceStatus
from dnsd.worker.counters import names

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def facts(**more: object) -> Facts:
    change = Histogram(CHANGE_BOUNDS)
    change.add(0.003)
    plain = {
        "version": "9.9",
        "now": 1000.0,
        "started_at": 900.0,
        "ready": True,
        "stale": False,
        "counters": {name: number for number, name in enumerate(names())},
        "workers": (
            WorkerStatus(0, 1, "open", 5.0, 0.001, 2, ""),
            WorkerStatus(1, 2, "starting", 0.0, 0.0, 0, ""),
        ),
        "serial": 77,
        "names": 12,
        "objects": {"Service": 3},
        "services": {"ClusterIP": 2, "headless": 1},
        "problems": 1,
        "failures": 0,
        "changes": 9,
        "change_seconds": change,
        "programming_seconds": {"headless": Histogram(CHANGE_BOUNDS)},
        "answer_seconds": Histogram((0.001,)),
        "disputes": 4,
        "sources": (SourceStatus("manifests", "synced", last_event=990.0, errors=3),),
        "servers": (ServerFacts("192.0.2.53:53", True, 0.01, 5, 1),),
        **more,
    }
    return Facts(**plain)  # type: ignore[arg-type]


def samples(one: Facts) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    parsed = text_string_to_metric_families(exposition(one).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parsed
        for sample in family.samples
    }


class TestDocs:
    def test_the_page_is_as_generated(self) -> None:
        page = DOCS.read_text(encoding="utf-8")
        assert page == with_table(page), "run: make docs"

    def test_every_exported_family_is_on_the_page(self) -> None:
        page = DOCS.read_text(encoding="utf-8")
        for name in sample_names(facts()):
            assert f"| `{name}` |" in page
        exported = {name for name, _ in samples(facts())}
        for name in exported:
            base = name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            assert f"`{base}`" in page, name

    def test_names_and_help_follow_the_conventions(self) -> None:
        for name, (type_, text, _) in sample_names(facts()).items():
            assert name.startswith("dnsd_")
            assert name.endswith("_total") == (type_ == "counter"), name
            assert text.endswith(".")


class TestValues:
    def test_queries_by_transport_type_and_rcode(self) -> None:
        found = samples(facts())
        labels = {"transport": "udp", "type": "A", "rcode": "NXDOMAIN", "outcome": "nxdomain"}
        key = ("dnsd_queries_total", tuple(sorted(labels.items())))
        assert found[key] == names().index("queries.udp.A.nxdomain")
        total = sum(value for (name, _), value in found.items() if name == "dnsd_queries_total")
        assert total == sum(i for i, name in enumerate(names()) if name.startswith("queries."))

    @pytest.mark.parametrize(
        ("name", "labels", "value"),
        [
            ("dnsd_ready", {}, 1),
            ("dnsd_zone_serial", {}, 77),
            ("dnsd_services", {"type": "headless"}, 1),
            ("dnsd_worker_up", {"worker": "1"}, 0),
            ("dnsd_worker_restarts_total", {"worker": "0"}, 2),
            ("dnsd_source_last_event_age_seconds", {"source": "manifests"}, 10),
            ("dnsd_source_state", {"source": "manifests", "state": "synced"}, 1),
            ("dnsd_source_state", {"source": "manifests", "state": "stale"}, 0),
            ("dnsd_source_errors_total", {"source": "manifests"}, 3),
            ("dnsd_change_seconds_bucket", {"le": "0.005"}, 1),
            ("dnsd_change_seconds_bucket", {"le": "0.0025"}, 0),
            ("dnsd_change_seconds_count", {}, 1),
            ("dnsd_upstream_latency_seconds", {"server": "192.0.2.53:53"}, 0.01),
            ("dnsd_drops_total", {"reason": "not_a_query"}, names().index("dropped")),
        ],
    )
    def test_each_value_is_exported_with_its_labels(
        self, name: str, labels: dict[str, str], value: float
    ) -> None:
        assert samples(facts())[name, tuple(sorted(labels.items()))] == value

    def test_the_number_of_series_does_not_depend_on_clients(self) -> None:
        busy = dict.fromkeys(names(), 10**9)
        assert len(samples(facts(counters=busy))) == len(samples(facts())) < 500

    def test_an_unknown_counter_is_ignored(self) -> None:
        more = msgspec.structs.replace(facts(), counters={"queries.new": 1, "x.y": 2})
        assert samples(more)
