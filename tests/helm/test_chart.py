"""The chart, by the real helm: linted, rendered, validated, and held to what dnsd needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dnsd.cluster.kubernetes import ALWAYS
from dnsd.cluster.scope import RESOURCES
from dnsd.configuration import load
from dnsd.kubelink import kinds_of
from dnsd.settings import Settings, declared
from tests.helm.charting import CHART, NEWEST, Objects, one, run

GOLDEN = Path(__file__).parent / "clusterrole.yaml"
GOLDEN_REVIEWS = Path(__file__).parent / "clusterrole-reviews.yaml"

EVERYTHING = {
    "kind": "daemonset",
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}]},
    "service": {"clusterIP": "10.96.0.11", "annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "env": [{"name": "DNSD_TTL", "value": "7"}],
    "image": {"digest": "sha256:" + "0" * 64},
    "tolerations": [{"operator": "Exists"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "config": {"zone": ["cluster.local", "cluster.example"], "pods": "verified"},
}
VARIANTS = {
    "defaults": {},
    "everything": EVERYTHING,
    "namespaces": {"config": {"namespaces": ["team-a", "team-b"]}},
    "manifests": {
        "config": {"manifests": "/manifests"},
        "extraVolumes": [{"name": "manifests", "configMap": {"name": "manifests"}}],
        "extraVolumeMounts": [{"name": "manifests", "mountPath": "/manifests"}],
    },
    "bare": {
        "rbac": {"create": False},
        "serviceAccount": {"create": False},
        "adminService": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "config": {},
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
class TestEveryVariant:
    def test_lint_strict(self, variant, helm, tmp_path):
        done = run(helm, tmp_path, VARIANTS[variant], "lint", "--strict")
        assert done.returncode == 0, done.stdout + done.stderr

    def test_the_api_server_would_take_it(self, variant, render):
        objects = render(VARIANTS[variant])
        for plain in objects:
            if plain["kind"] != "ServiceMonitor":  # not the API server's own
                kubernetes_validate.validate(plain, NEWEST, strict=True)
        assert {plain["kind"] for plain in objects} >= {"ConfigMap", "Service"}

    def test_the_pod_is_restricted(self, variant, render):
        """Pod Security Standards, level "restricted"."""
        (workload,) = [o for o in render(VARIANTS[variant]) if "template" in o.get("spec", {})]
        pod = workload["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all(port["containerPort"] >= 1024 for port in container["ports"])
        assert {next(iter(set(v) - {"name"})) for v in pod["volumes"]} <= {"configMap", "emptyDir"}

    def test_dnsd_takes_its_settings(self, variant, render, tmp_path):
        data = one(render(VARIANTS[variant]), "ConfigMap")["data"]["dnsd.yaml"]
        path = tmp_path / "dnsd.yaml"
        data = data.replace("/var/lib/dnsd", str(tmp_path / "state"))
        path.write_text(data.replace("/manifests", str(tmp_path)))
        settings = load({"config": str(path)}, {})
        assert settings.kubernetes is (variant != "manifests")
        assert [str(address) for address in settings.listen] == ["0.0.0.0:1053"]

    def test_selectors_find_the_pods(self, variant, render):
        objects = render(VARIANTS[variant])
        (workload,) = [o for o in objects if "template" in o.get("spec", {})]
        labels = workload["spec"]["template"]["metadata"]["labels"].items()
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels
        for service in (o for o in objects if o["kind"] == "Service"):
            assert service["spec"]["selector"].items() <= labels


class TestWorkload:
    def test_a_deployment_over_nodes_and_zones_with_a_budget(self, render):
        objects = render()
        spec = one(objects, "Deployment")["spec"]
        assert spec["replicas"] == 2
        keys = [c["topologyKey"] for c in spec["template"]["spec"]["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1

    def test_a_daemonset_by_a_value(self, render):
        objects = render(EVERYTHING)
        assert one(objects, "DaemonSet")
        assert not [o for o in objects if o["kind"] in ("Deployment", "PodDisruptionBudget")]

    def test_dns_on_53_outside_and_1053_inside(self, render):
        objects = render()
        spec = one(objects, "Service", "demo-dnsd")["spec"]
        assert [(p["port"], p["protocol"], p["targetPort"]) for p in spec["ports"]] == [
            (53, "UDP", "dns"),
            (53, "TCP", "dns-tcp"),
        ]
        (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
        inside = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert inside == {"dns": 1053, "dns-tcp": 1053, "admin": 8053}
        admin = one(objects, "Service", "demo-dnsd-admin")["spec"]
        assert [port["targetPort"] for port in admin["ports"]] == ["admin"]

    def test_probes_ask_the_admin_port(self, render):
        (container,) = one(render(), "Deployment")["spec"]["template"]["spec"]["containers"]
        paths = {
            probe: container[probe]["httpGet"]["path"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert paths == {
            "startupProbe": "/healthz",
            "livenessProbe": "/healthz",
            "readinessProbe": "/readyz",
        }

    def test_another_configuration_is_another_pod(self, render):
        def checksum(values: dict[str, Any]) -> str:
            template = one(render(values), "Deployment")["spec"]["template"]
            return str(template["metadata"]["annotations"]["checksum/config"])

        assert checksum({}) != checksum({"config": {"ttl": 9}})

    def test_image_by_tag_and_by_digest(self, render):
        def image(values: dict[str, Any]) -> str:
            (workload,) = [o for o in render(values) if "template" in o.get("spec", {})]
            return str(workload["spec"]["template"]["spec"]["containers"][0]["image"])

        assert image({"image": {"tag": "1.2.3"}}).endswith("dnsd:1.2.3")
        assert image(EVERYTHING).endswith("dnsd@sha256:" + "0" * 64)
        assert "@" not in image({})

    def test_optional_objects(self, render):
        kinds = {o["kind"] for o in render()}
        assert not kinds & {"ServiceMonitor", "NetworkPolicy"}
        objects = render(EVERYTHING)
        monitor = one(objects, "ServiceMonitor")
        assert monitor["spec"]["endpoints"][0]["path"] == "/metrics"
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        admin = one(objects, "Service", "demo-dnsd-admin")["metadata"]["labels"].items()
        assert monitor["spec"]["selector"]["matchLabels"].items() <= admin
        ingress = one(objects, "NetworkPolicy")["spec"]["ingress"]
        assert ingress[0]["from"] == [{"namespaceSelector": {}}]


_ZONES = [{"name": "k8s.example.com", "ns": {"ns1.k8s.example.com": ["192.0.2.53"]}}]
FEATURES: list[dict[str, Any]] = [
    {},
    {"pods": "insecure"},
    {"pods": "verified"},
    {"search_completion": True},
    {"policies": [{"namespaces": ["*"], "see": ["own"]}]},
    {"outside_names": ["nodes", "ingresses"]},  # of no use without a zone
    {"outside_zones": _ZONES},
    {"outside_zones": _ZONES, "outside_names": ["nodes", "ingresses"]},
    {"outside_zones": _ZONES, "outside_names": ["routes"]},
    {"outside_zones": _ZONES, "outside_names": ["dnsendpoints"], "pods": "verified"},
]


def allowed(objects: Objects, kind: str) -> dict[str, list[str]]:
    """Resource (with its group, where there is one) -> verbs, of all roles of a kind."""
    return {
        f"{resource}.{group}" if group else resource: rule["verbs"]
        for role in objects
        if role["kind"] == kind
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


class TestRules:
    def test_the_golden_cluster_role(self, render):
        """All that dnsd may read by default. A change here is a change to look at twice."""
        assert one(render(), "ClusterRole")["rules"] == yaml.safe_load(GOLDEN.read_text())

    @pytest.mark.parametrize("config", [{}, {"namespaces": ["team-a"]}], ids=str)
    def test_reviews_are_created_by_option_and_nothing_else_is(self, config, render):
        """`admin_cluster_tokens`; the second golden file is all that it adds."""
        before = one(render({"config": config}), "ClusterRole")["rules"]
        more = {"config": config | {"admin_cluster_tokens": True}}
        after = one(render(more), "ClusterRole")["rules"]
        added = [rule for rule in after if rule not in before]
        assert added == yaml.safe_load(GOLDEN_REVIEWS.read_text())
        assert len(after) == len(before) + len(added)

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_reading_only(self, variant, render):
        objects = render(VARIANTS[variant])
        for kind in ("ClusterRole", "Role"):
            for verbs in allowed(objects, kind).values():
                assert set(verbs) <= {"get", "list", "watch"}

    @pytest.mark.parametrize("config", FEATURES, ids=str)
    def test_what_dnsd_watches_is_allowed_and_no_more(self, config, render, tmp_path):
        """dnsd itself is asked what it watches with the settings that the chart gives it."""
        objects = render({"config": config})
        path = tmp_path / "dnsd.yaml"
        data = one(objects, "ConfigMap")["data"]["dnsd.yaml"]
        path.write_text(data.replace("/var/lib/dnsd", str(tmp_path / "state")))
        wanted = set()
        for kind in kinds_of(load({"config": str(path)}, {})):
            resource = RESOURCES[kind]
            full = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
            wanted.add(full)
        rules = allowed(objects, "ClusterRole")
        assert set(rules) == wanted
        assert all({"list", "watch"} <= set(verbs) for verbs in rules.values())

    def test_with_namespaces_a_role_in_each(self, render):
        objects = render(VARIANTS["namespaces"])
        roles = [o for o in objects if o["kind"] == "Role"]
        assert [role["metadata"]["namespace"] for role in roles] == ["team-a", "team-b"]
        assert set(allowed(objects, "ClusterRole")) == {"namespaces"}
        assert set(allowed(roles, "Role")) == {"services", "endpointslices.discovery.k8s.io"}
        bindings = [o for o in objects if o["kind"] == "RoleBinding"]
        assert {b["subjects"][0]["namespace"] for b in bindings} == {"dns"}

    def test_manifests_need_no_rule_and_no_token(self, render):
        objects = render(VARIANTS["manifests"])
        assert not [o for o in objects if "Role" in o["kind"]]
        pod = one(objects, "Deployment")["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False

    def test_the_kinds_always_followed(self):
        assert set(kinds_of(Settings())) == set(ALWAYS)


class TestSettings:
    @pytest.mark.parametrize("name", [n for n, s in declared().items() if s.in_file])
    def test_every_setting_can_be_set_through_values(self, name, render, tmp_path):
        """`config.NAME` arrives in the file that dnsd reads, as dnsd itself writes it."""
        kind, default = declared()[name].kind, getattr(Settings(), name)
        example = declared()[name].example or kind.show(default)
        value = yaml.safe_load(example)
        data = one(render({"config": {name: value}}), "ConfigMap")["data"]["dnsd.yaml"]
        assert yaml.safe_load(data)[name] == value

    @pytest.mark.parametrize(
        ("values", "word"),
        [
            ({"replicas": "two"}, "replicas"),
            ({"kind": "job"}, "kind"),
            ({"confg": {}}, "confg"),
            ({"image": {"digest": "latest"}}, "digest"),
            ({"service": {"type": "ExternalName"}}, "type"),
        ],
    )
    def test_values_that_cannot_be_are_refused_by_name(self, values, word, helm, tmp_path):
        done = run(helm, tmp_path, values)
        assert done.returncode != 0
        assert word in done.stderr


def test_notes_tell_how_to_point_coredns_here(helm, tmp_path):
    done = run(helm, tmp_path, {}, "install", "demo", "--dry-run=client", "--namespace", "dns")
    assert "forward . ADDRESS" in done.stdout, done.stderr
    assert "cluster.local:53 {" in done.stdout


def test_the_charts_version_of_dnsd_is_this_one():
    import dnsd

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == dnsd.__version__
