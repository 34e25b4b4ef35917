"""The dashboard and the alerts use exported metrics only, and the chart installs them unchanged.

The exported metrics are those that `exposition` writes when each of them has a value. Prometheus
adds the labels `TARGET` to all metrics; all other labels must be those of the metric. The values of
a label are checked if dnsd alone defines them (`CLOSED`).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from itertools import combinations
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dnsd.observe.histogram import CHANGE_BOUNDS, Histogram
from dnsd.observe.metrics import SOURCE_STATES, exposition, sample_names
from dnsd.sources.source import SourceStatus
from tests.helm.charting import CHART, NEWEST, one, run
from tests.helm.promql import Metric, UnsupportedExpression, parse
from tests.observe.test_metrics import facts

TARGET = {"namespace", "job", "pod"}
CLOSED = {"transport", "type", "rcode", "outcome", "reason", "result", "state", "service_kind"}
SEVERITIES = {"critical", "warning", "info"}

DASHBOARD = json.loads((CHART / "dashboards" / "dnsd.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((CHART / "rules" / "dnsd.yaml").read_text(encoding="utf-8"))
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [
    pytest.param(target["expr"], target["legendFormat"], id=f"{panel['title']}-{target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
VALUES = {"prometheusRule": {"enabled": True}, "grafana": {"dashboard": {"enabled": True}}}


def _exported() -> dict[str, dict[str, set[str]]]:
    """Sample name -> label -> its values."""
    everything = facts(
        programming_seconds={kind: Histogram(CHANGE_BOUNDS) for kind in ("headless", "cluster_ip")},
        sources=tuple(SourceStatus(s, s, last_event=1.0, last_contact=1.0) for s in SOURCE_STATES),
    )
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(exposition(everything).decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, defaultdict(set))
            for label, value in sample.labels.items():
                labels[label].add(value)
    return found


EXPORTED = _exported()


def errors_of(expr: str) -> list[str]:
    """The errors of an expression: metrics and labels that do not exist, and wrong functions."""
    return [found for metric in parse(expr).metrics for found in _errors_of(metric)]


def _errors_of(metric: Metric) -> list[str]:
    if metric.name not in EXPORTED:
        return [f"{metric.name} is not exported"]
    known = EXPORTED[metric.name]
    found = [
        f"{metric.name} has no label {label}"
        for label in (*(m.label for m in metric.matchers), *(k for ks in metric.kept for k in ks))
        if label not in known and label not in TARGET
    ]
    for matcher in metric.matchers:
        named = matcher.value.split("|") if "~" in matcher.op else [matcher.value]
        if matcher.label in CLOSED & set(known):
            wrong = set(named) - known[matcher.label]
            found += [f"{metric.name} has no {matcher.label}={value}" for value in sorted(wrong)]
    if metric.ranged != bool({"rate", "increase"} & set(metric.inside)):
        found.append(f"{metric.name}: a range requires rate or increase, and these a range")
    if metric.name.endswith(("_total", "_bucket")) and not metric.ranged:
        found.append(f"{metric.name} is a counter; use rate or increase")
    quantile = "histogram_quantile" in metric.inside
    if quantile != metric.name.endswith("_bucket") or (quantile and "le" not in metric.kept[-1]):
        found.append(f"{metric.name}: histogram_quantile requires buckets, by le")
    return found


def labels_of(expr: str) -> set[str]:
    """The possible labels of the result."""
    parsed = parse(expr)
    if parsed.labels is not None:
        return set(parsed.labels)
    return TARGET.union(*(EXPORTED[metric.name] for metric in parsed.metrics))


def placeholders(text: str) -> set[str]:
    """The labels in a legend (`{{name}}`) or in an annotation (`{{ $labels.name }}`)."""
    return set(re.findall(r"\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}", text))


class TestTheCheck:
    """The check of the expressions finds errors."""

    def test_samples_belong_to_the_documented_families(self):
        documented = sample_names(facts())
        for name in EXPORTED:
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert name in documented or documented[base][0] == "histogram"

    @pytest.mark.parametrize(
        ("expr", "word"),
        [
            ("dnsd_redy == 0", "dnsd_redy is not exported"),
            ("up == 0", "up is not exported"),
            ("sum(rate(dnsd_queries[5m]))", "dnsd_queries is not exported"),
            ("sum by (name) (rate(dnsd_queries_total[5m]))", "no label name"),
            ("sum by (pod) (sum by (worker) (dnsd_ready))", "no label worker"),
            ('dnsd_stale{server="x"}', "no label server"),
            ('rate(dnsd_queries_total{rcode="SERVFIAL"}[5m])', "no rcode=SERVFIAL"),
            ('dnsd_source_state{state=~"stale|broken"}', "no state=broken"),
            ("dnsd_drops_total > 5", "is a counter"),
            ("rate(dnsd_drops_total)", "requires rate or increase"),
            ("dnsd_ready[5m]", "requires rate or increase"),
            ("histogram_quantile(0.9, rate(dnsd_zone_changes_total[5m]))", "requires buckets"),
            (
                "histogram_quantile(0.9, sum by (pod) (rate(dnsd_change_seconds_bucket[5m])))",
                "by le",
            ),
        ],
    )
    def test_an_error_of_an_expression_is_found(self, expr, word):
        assert any(word in error for error in errors_of(expr))

    @pytest.mark.parametrize(
        "expr",
        [
            "sum(dnsd_ready",
            "sum(dnsd_ready))",
            "sum without (pod) (dnsd_ready)",
            "dnsd_ready{pod=a}",
            "dnsd_ready{pod='a'}",
            "rate(dnsd_drops_total[5])",
            "sum by pod (dnsd_ready)",
            "dnsd_ready ==",
            "> 5",
            "",
        ],
    )
    def test_an_unsupported_expression_is_refused(self, expr):
        with pytest.raises(UnsupportedExpression):
            parse(expr)

    def test_the_labels_of_the_result_are_those_of_the_outermost_aggregation(self):
        quantile = (
            "histogram_quantile(0.9, sum by (le, pod) (rate(dnsd_change_seconds_bucket[5m])))"
        )
        assert labels_of(quantile) == {"pod"}
        assert labels_of("sum(dnsd_ready)") == set()
        assert labels_of("dnsd_worker_up == 0") == {"worker", *TARGET}


class TestAlerts:
    @pytest.mark.parametrize("name", ALERTS)
    def test_the_expression_has_no_error(self, name):
        assert errors_of(ALERTS[name]["expr"]) == []

    @pytest.mark.parametrize("name", ALERTS)
    def test_an_alert_has_a_severity_a_summary_and_a_description(self, name):
        rule = ALERTS[name]
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"Dnsd[A-Z][A-Za-z]+", name)
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in SEVERITIES
        assert re.fullmatch(r"\d+m", rule.get("for", "1m"))
        assert rule["annotations"].keys() == {"summary", "description"}
        assert not placeholders(rule["annotations"]["summary"])
        assert placeholders(rule["annotations"]["description"]) <= labels_of(rule["expr"])

    def test_the_names_of_the_alerts_are_unique(self):
        assert len(ALERTS) == sum(len(group["rules"]) for group in RULES["groups"])

    def test_the_file_is_valid_for_prometheus_without_the_chart(self):
        """Each metric has the exact matcher that the chart replaces."""
        for rule in ALERTS.values():
            metrics = parse(rule["expr"]).metrics
            jobs = [m for metric in metrics for m in metric.matchers if m.label == "job"]
            assert {job.value for job in jobs} == {"dnsd-admin"}
            assert len(jobs) == len(metrics) == rule["expr"].count('job="dnsd-admin"')

    def test_the_prometheusrule_selects_the_metrics_of_its_release(self, render):
        """The job that the ServiceMonitor sets is the name of the admin Service."""
        objects = render({**VALUES, "serviceMonitor": {"enabled": True}})
        rule = one(objects, "PrometheusRule")
        admin = one(objects, "Service", "demo-dnsd-admin")["metadata"]
        wanted = {("namespace", admin["namespace"]), ("job", admin["name"])}
        for each in rule["spec"]["groups"][0]["rules"]:
            for metric in parse(each["expr"]).metrics:
                assert {(m.label, m.value) for m in metric.matchers} >= wanted
        assert "jobLabel" not in one(objects, "ServiceMonitor")["spec"]
        assert rule["apiVersion"] == "monitoring.coreos.com/v1"

    def test_the_rules_of_the_chart_differ_from_the_file_by_the_release_only(self, render):
        (group,) = one(render(VALUES), "PrometheusRule")["spec"]["groups"]
        assert group["name"] == RULES["groups"][0]["name"]
        selector = 'namespace="dns", job="demo-dnsd-admin"'
        for rule, written in zip(group["rules"], ALERTS.values(), strict=True):
            expr = rule["expr"].replace(selector, 'job="dnsd-admin"')
            assert {**rule, "expr": expr} == written

    def test_the_values_set_the_selector_the_labels_and_the_omitted_alerts(self, render):
        values = {
            "enabled": True,
            "selector": 'cluster="a"',
            "labels": {"release": "prometheus"},
            "without": ["DnsdAbsent", "DnsdHistoryLost"],
        }
        rule = one(render({"prometheusRule": values}), "PrometheusRule")
        (group,) = rule["spec"]["groups"]
        assert rule["metadata"]["labels"]["release"] == "prometheus"
        assert [each["alert"] for each in group["rules"]] == [
            name for name in ALERTS if name not in values["without"]
        ]
        assert all('{cluster="a"' in each["expr"] for each in group["rules"])

    @pytest.mark.parametrize(
        ("values", "word"),
        [
            ({"enabled": True, "without": ["DnsdSlow"]}, "DnsdSlow is not an alert"),
            ({"enabled": True, "selector": '{job="a"}'}, "selector"),
            ({"enable": True}, "enable"),
        ],
    )
    def test_invalid_values_are_refused_by_name(self, values, word, helm, tmp_path):
        done = run(helm, tmp_path, {"prometheusRule": values})
        assert done.returncode != 0
        assert word in done.stderr


class TestDashboard:
    @pytest.mark.parametrize(("expr", "legend"), QUERIES)
    def test_the_expression_has_no_error(self, expr, legend):
        assert errors_of(expr) == []
        assert placeholders(legend) <= labels_of(expr)
        for metric in parse(expr).metrics:
            chosen = {(m.label, m.op, m.value) for m in metric.matchers if m.label in TARGET}
            assert chosen == {(name, "=~", f"${name}") for name in TARGET}

    def test_the_variables_select_the_data_source_and_the_pods(self):
        assert VARIABLES["datasource"]["type"] == "datasource"
        assert VARIABLES["datasource"]["query"] == "prometheus"
        assert VARIABLES.keys() == {"datasource", *TARGET}
        for name in TARGET:
            query = VARIABLES[name]["query"]["query"]
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
            assert found
            assert found[2] == name
            assert errors_of(found[1]) == []

    def test_each_panel_and_query_uses_the_selected_data_source(self):
        def sources(part: Any) -> list[Any]:
            if isinstance(part, list):
                return [found for each in part for found in sources(each)]
            if not isinstance(part, dict):
                return []
            own = [part["datasource"]] if "datasource" in part else []
            return own + [found for each in part.values() for found in sources(each)]

        found = sources(DASHBOARD)
        assert len(found) == len(PANELS) + len(QUERIES) + len(TARGET)
        assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in found)

    def test_each_used_variable_is_declared(self):
        for used in re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)):
            assert used in VARIABLES or used in {"__rate_interval", "__all"}

    def test_each_panel_has_a_title_a_type_and_a_unit(self):
        everything = DASHBOARD["panels"]
        for key in ("id", "title"):
            assert len({panel[key] for panel in everything}) == len(everything)
        for panel in PANELS:
            assert panel["type"] in {"stat", "timeseries"}
            assert panel["fieldConfig"]["defaults"]["unit"]
            references = [target["refId"] for target in panel["targets"]]
            assert references
            assert len(set(references)) == len(references)
        assert DASHBOARD["uid"] == "dnsd"

    def test_no_two_panels_overlap(self):
        places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
        assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
        for a, b in combinations(places, 2):
            beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
            assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]

    def test_the_configmap_holds_the_dashboard_with_the_label_of_the_sidecar(self, render):
        chosen = {
            "enabled": True,
            "namespace": "monitoring",
            "annotations": {"grafana_folder": "DNS"},
        }
        objects = render({"grafana": {"dashboard": chosen}})
        found = one(objects, "ConfigMap", "demo-dnsd-dns-dashboard")
        assert json.loads(found["data"]["dnsd.json"]) == DASHBOARD
        assert found["metadata"]["namespace"] == "monitoring"
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["metadata"]["annotations"] == {"grafana_folder": "DNS"}

    def test_a_value_replaces_the_label_of_the_sidecar(self, render):
        labels = {"grafana_dashboard": None, "boards": "yes"}
        values = {"grafana": {"dashboard": {"enabled": True, "labels": labels}}}
        found = one(render(values), "ConfigMap", "demo-dnsd-dashboard")["metadata"]["labels"]
        assert "grafana_dashboard" not in found
        assert found["boards"] == "yes"


class TestBoth:
    def test_rules_and_dashboard_are_off_by_default(self, render):
        objects = render()
        assert not [o for o in objects if o["kind"] == "PrometheusRule"]
        assert not [o for o in objects if o["metadata"]["name"].endswith("-dashboard")]

    def test_strict_lint_passes(self, helm, tmp_path):
        done = run(helm, tmp_path, VALUES, "lint", "--strict")
        assert done.returncode == 0, done.stdout + done.stderr

    def test_the_configmap_matches_its_schema_and_limit(self, render):
        found = one(render(VALUES), "ConfigMap", "demo-dnsd-dashboard")
        kubernetes_validate.validate(found, NEWEST, strict=True)
        assert len(found["data"]["dnsd.json"].encode()) < 1 << 20  # the limit of a ConfigMap

    def test_the_labels_are_those_of_the_release(self, render):
        objects = render(VALUES)
        expected = one(objects, "ConfigMap", "demo-dnsd")["metadata"]["labels"].items()
        for kind, name in (("PrometheusRule", "demo-dnsd"), ("ConfigMap", "demo-dnsd-dashboard")):
            assert expected <= one(objects, kind, name)["metadata"]["labels"].items()
