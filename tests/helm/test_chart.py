"""The chart, rendered by helm: lint, schemas, permissions, and the settings of dnsd in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from aiohttp.test_utils import make_mocked_request

from dnsd.admin.app import Gate
from dnsd.admin.auth import Tokens
from dnsd.admin.routing import Access, Problem
from dnsd.admin.server import OPEN_TIMEOUT
from dnsd.cluster.objects import CLUSTER_SCOPED, RESOURCES
from dnsd.commands.options import settings_from
from dnsd.commands.serve import command as serve
from dnsd.control.settings import Settings
from dnsd.control.sources import kinds_of, kubernetes_config
from dnsd.dns.addresses import address_text
from dnsd.settings.kinds import BadValue
from dnsd.settings.schema import declared
from dnsd.sources.kubernetes.scope import MAX_NAMESPACE_SCOPES, scopes
from dnsd.sources.kubernetes.settings import ALWAYS
from tests.helm.charting import CHART, NEWEST, Objects, one, pod_of, run
from tests.test_dockerfile import image_environment

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
    "dual stack": {
        "service": {"ipFamilyPolicy": "RequireDualStack"},
        "config": {"listen": ["0.0.0.0:1053", "[::]:1053"], "admin": "[::]:8053"},
    },
    "tls": {
        "adminService": {"tlsSecret": "dnsd-tls"},
        "serviceMonitor": {"enabled": True, "tlsConfig": {"serverName": "dnsd.example"}},
        "networkPolicy": {"enabled": True},
    },
    "kept state": {
        "replicas": 1,
        "state": {"persistentVolumeClaim": {"claimName": "dnsd"}},
        "config": {"state_dir": "/data"},
    },
    "values as text": {
        "config": {
            "zone": "Cluster.local, cluster.example",
            "listen": "127.0.0.1:1053,0.0.0.0:5353",
            "namespaces": "team-a, team-b, team-a",
            "admin_hosts": "dnsd.example.com",
            "search_completion": "off",
        },
    },
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


def in_effect(objects: Objects, folder: Path) -> Settings:
    """The settings of dnsd in the Pod, read as `dnsd serve` reads them.

    They come from the variables of the image and of the Pod, the arguments, and the ConfigMap. All
    paths are below `folder`.
    """
    (container,) = pod_of(objects)["containers"]
    environ = {**image_environment(), **{e["name"]: e["value"] for e in container.get("env", ())}}
    (mounted,) = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == "config"]
    others = [m for m in container["volumeMounts"] if m["name"] not in ("config", "tmp")]
    moved = {}
    for mount in others:
        here = moved[mount["mountPath"]] = folder / mount["mountPath"].lstrip("/")
        here.mkdir(parents=True, exist_ok=True)
        for file in ("tls.crt", "tls.key") if mount["name"] == "admin-tls" else ():
            (here / file).touch()
    for name, text in one(objects, "ConfigMap", "demo-dnsd")["data"].items():
        for at, here in moved.items():
            text = re.sub(f" {at}(?=[/\n])", f" {here}", text)
        path = f"{mounted}/{name}"
        moved[path] = folder / path.lstrip("/")
        moved[path].parent.mkdir(parents=True, exist_ok=True)
        moved[path].write_text(text)
    assert container["args"][0] == "serve"
    arguments = [str(moved.get(word, word)) for word in container["args"][1:]]
    context = serve.make_context("dnsd serve", arguments)
    return settings_from(context.params, environ)


@pytest.mark.parametrize("variant", VARIANTS)
class TestEveryVariant:
    def test_strict_lint_passes(self, variant, helm, tmp_path):
        done = run(helm, tmp_path, VARIANTS[variant], "lint", "--strict")
        assert done.returncode == 0, done.stdout + done.stderr

    def test_each_object_matches_the_schema_of_its_kind(self, variant, render):
        objects = render(VARIANTS[variant])
        for plain in objects:
            if plain["kind"] != "ServiceMonitor":  # a CRD
                kubernetes_validate.validate(plain, NEWEST, strict=True)
        assert {plain["kind"] for plain in objects} >= {"ConfigMap", "Service"}

    def test_the_pod_meets_the_restricted_pod_security_standard(self, variant, render):
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
        # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
        allowed = {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
        assert {next(iter(set(v) - {"name"})) for v in pod["volumes"]} <= allowed

    def test_dnsd_accepts_the_settings_of_the_chart(self, variant, render, tmp_path):
        settings = in_effect(render(VARIANTS[variant]), tmp_path)
        assert settings.kubernetes.on is (variant != "manifests")

    def test_ports_probes_and_mounts_of_the_pod_follow_its_settings(
        self, variant, render, tmp_path
    ):
        objects = render(VARIANTS[variant])
        settings = in_effect(objects, tmp_path)
        pod = pod_of(objects)
        (container,) = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["dns"] == ports["dns-tcp"]
        addresses = [one.address for one in settings.transport.listen]
        reachable = [one.port for one in addresses if not one.host.startswith("127.")]
        assert ports["dns"] in reachable
        assert settings.admin.listen is not None
        assert ports["admin"] == settings.admin.listen.port
        scheme = "HTTPS" if settings.admin.tls_cert else "HTTP"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["scheme"] == scheme
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert len(mounts) == len(container["volumeMounts"])
        written = settings.state_dir.removeprefix(str(tmp_path))
        assert not mounts[written].get("readOnly")
        named = [mount["name"] for mount in mounts.values()]
        assert sorted(named) == sorted(volume["name"] for volume in pod["volumes"])

    def test_selectors_match_the_labels_of_the_pods(self, variant, render):
        objects = render(VARIANTS[variant])
        (workload,) = [o for o in objects if "template" in o.get("spec", {})]
        labels = workload["spec"]["template"]["metadata"]["labels"].items()
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels
        for service in (o for o in objects if o["kind"] == "Service"):
            assert service["spec"]["selector"].items() <= labels


class TestWorkload:
    def test_the_default_is_a_deployment_over_nodes_and_zones_with_a_budget(self, render):
        objects = render()
        spec = one(objects, "Deployment")["spec"]
        assert spec["replicas"] == 2
        keys = [c["topologyKey"] for c in spec["template"]["spec"]["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1

    def test_kind_daemonset_makes_a_daemonset_without_a_budget(self, render):
        objects = render(EVERYTHING)
        assert one(objects, "DaemonSet")
        assert not [o for o in objects if o["kind"] in ("Deployment", "PodDisruptionBudget")]

    def test_the_new_pod_answers_before_the_old_one_ends(self, render):
        for kind, field in (("Deployment", "strategy"), ("DaemonSet", "updateStrategy")):
            workload = one(render({"kind": kind.lower()}), kind)
            assert workload["spec"][field] == {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            }

    @pytest.mark.parametrize(
        ("values", "kept"),
        [
            ({}, False),
            ({"state": {"emptyDir": {"medium": "Memory"}}}, False),
            ({"state": {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}}, False),
            ({"state": {"persistentVolumeClaim": {"claimName": "x"}}, "replicas": 1}, True),
            ({"state": {"hostPath": {"path": "/x"}}, "kind": "daemonset"}, True),
        ],
        ids=str,
    )
    def test_state_is_the_given_volume_and_two_pods_never_share_a_kept_one(
        self, values, kept, render
    ):
        objects = render(values)
        (volume,) = [v for v in pod_of(objects)["volumes"] if v["name"] == "state"]
        given = values.get("state", {"emptyDir": {"sizeLimit": "1Gi"}})
        assert volume == {"name": "state", **given}
        (workload,) = [o for o in objects if "template" in o.get("spec", {})]
        strategy = workload["spec"].get("strategy") or workload["spec"]["updateStrategy"]
        surge = (
            {"maxUnavailable": 1, "maxSurge": 0} if kept else {"maxUnavailable": 0, "maxSurge": 1}
        )
        assert strategy["rollingUpdate"] == surge

    def test_the_budget_of_a_single_pod_allows_a_node_drain(self, render):
        objects = render({"replicas": 1})
        assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1

    def test_the_service_has_port_53_and_the_pod_port_1053(self, render):
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

    def test_probes_query_the_admin_port(self, render):
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

    def test_the_first_probe_waits_for_the_admin_api(self, render):
        (container,) = one(render(), "Deployment")["spec"]["template"]["spec"]["containers"]
        assert container["startupProbe"]["timeoutSeconds"] > OPEN_TIMEOUT

    def test_a_new_configuration_replaces_the_pods(self, render):
        def checksum(values: dict[str, Any]) -> str:
            template = one(render(values), "Deployment")["spec"]["template"]
            return str(template["metadata"]["annotations"]["checksum/config"])

        assert checksum({}) != checksum({"config": {"ttl": 9}})

    def test_the_image_has_a_tag_or_a_digest(self, render):
        def image(values: dict[str, Any]) -> str:
            (workload,) = [o for o in render(values) if "template" in o.get("spec", {})]
            return str(workload["spec"]["template"]["spec"]["containers"][0]["image"])

        assert image({"image": {"tag": "1.2.3"}}).endswith("dnsd:1.2.3")
        assert image(EVERYTHING).endswith("dnsd@sha256:" + "0" * 64)
        assert "@" not in image({})

    def test_the_optional_objects_are_off_by_default(self, render):
        kinds = {o["kind"] for o in render()}
        assert not kinds & {"ServiceMonitor", "NetworkPolicy"}
        objects = render(EVERYTHING)
        monitor = one(objects, "ServiceMonitor")
        assert monitor["spec"]["endpoints"][0]["path"] == "/metrics"
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        admin = one(objects, "Service", "demo-dnsd-admin")["metadata"]["labels"].items()
        assert monitor["spec"]["selector"]["matchLabels"].items() <= admin
        assert "scheme" not in monitor["spec"]["endpoints"][0]
        ingress = one(objects, "NetworkPolicy")["spec"]["ingress"]
        assert ingress[0]["from"] == [{"namespaceSelector": {}}]

    def test_the_network_policy_allows_dns_the_admin_port_and_all_egress(self, render):
        """The probes of the kubelet come from the node of the Pod, which no policy blocks."""
        spec = one(render({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]
        dns, admin = spec["ingress"]
        assert [(p["port"], p["protocol"]) for p in dns["ports"]] == [
            ("dns", "UDP"),
            ("dns-tcp", "TCP"),
        ]
        assert "from" not in dns
        assert admin == {
            "ports": [{"port": "admin", "protocol": "TCP"}],
            "from": [{"namespaceSelector": {}}],
        }
        assert spec["egress"] == [{}]  # the API server and upstream servers, wherever they are

    @pytest.mark.parametrize(
        ("checked", "tls"),
        [
            ({}, {"insecureSkipVerify": True}),
            ({"serverName": "dnsd.example"}, {"serverName": "dnsd.example"}),
        ],
    )
    def test_prometheus_uses_https_if_the_admin_port_does(self, checked, tls, render):
        by_secret = {"adminService": {"tlsSecret": "dnsd-tls"}}
        by_hand = {"config": {"admin_tls_cert": "/tls/both.pem"}}
        for values in (by_secret, by_hand):
            monitor = {"serviceMonitor": {"enabled": True, "tlsConfig": checked}}
            (endpoint,) = one(render(values | monitor), "ServiceMonitor")["spec"]["endpoints"]
            assert endpoint["scheme"] == "https"
            assert endpoint["tlsConfig"] == tls

    def test_the_certificate_is_read_from_a_secret(self, render, tmp_path):
        objects = render(VARIANTS["tls"])
        settings = in_effect(objects, tmp_path)
        assert Path(settings.admin.tls_cert).name == "tls.crt"
        assert Path(settings.admin.tls_key).name == "tls.key"
        (volume,) = [v for v in pod_of(objects)["volumes"] if v["name"] == "admin-tls"]
        assert volume["secret"]["secretName"] == "dnsd-tls"


_ZONES = [{"name": "k8s.example.com", "ns": {"ns1.k8s.example.com": ["192.0.2.53"]}}]
FEATURES: list[dict[str, Any]] = [
    {},
    {"pods": "insecure"},
    {"pods": "verified"},
    {"search_completion": True},
    {"policies": [{"namespaces": ["*"], "see": ["own"]}]},
    {"outside_names": ["nodes", "ingresses"]},  # without effect, because there is no zone
    {"outside_zones": _ZONES},
    {"outside_zones": _ZONES, "outside_names": ["nodes", "ingresses"]},
    {"outside_zones": _ZONES, "outside_names": ["routes"]},
    {"outside_zones": _ZONES, "outside_names": ["dnsendpoints"], "pods": "verified"},
]


def names_of(count: int) -> list[str]:
    return [f"team-{number}" for number in range(count)]


FEATURES += [
    {"namespaces": names_of(count), "pods": "verified"}
    for count in (1, MAX_NAMESPACE_SCOPES, MAX_NAMESPACE_SCOPES + 1)
]
FEATURES += [
    {"namespaces": ",".join(names_of(MAX_NAMESPACE_SCOPES + 1))},
    {"namespaces": [*names_of(MAX_NAMESPACE_SCOPES), "team-0"]},  # one of them twice
    {"namespaces": names_of(2), "outside_zones": _ZONES, "outside_names": "nodes, ingresses"},
    {"pods": "insecure", "search_completion": "no", "admin_cluster_tokens": "off"},
]


def brief(config: dict[str, Any]) -> str:
    """A short name of a test with this configuration."""
    named = config.get("namespaces", ())
    return str(config if len(named) < 9 else {**config, "namespaces": len(named)})


def allowed(objects: Objects, kind: str) -> dict[str, list[str]]:
    """Resource (with its group, if any) -> verbs, of all roles of a kind."""
    return {
        f"{resource}.{group}" if group else resource: rule["verbs"]
        for role in objects
        if role["kind"] == kind
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def bound(objects: Objects) -> dict[tuple[str, str], set[str]]:
    """(namespace or "" for all, resource.group) -> verbs of the ServiceAccount of the Pod."""
    account = {
        "kind": "ServiceAccount",
        "name": pod_of(objects)["serviceAccountName"],
        "namespace": "dns",
    }
    out: dict[tuple[str, str], set[str]] = {}
    for binding in (o for o in objects if o["kind"].endswith("RoleBinding")):
        assert binding["subjects"] == [account]
        where = binding["metadata"].get("namespace", "")
        ref = binding["roleRef"]
        (role,) = [
            o
            for o in objects
            if (o["kind"], o["metadata"]["name"]) == (ref["kind"], ref["name"])
            and o["metadata"].get("namespace", "") == where
        ]
        for resource, verbs in allowed([role], role["kind"]).items():
            out.setdefault((where, resource), set()).update(verbs)
    return out


class TestRules:
    def test_the_cluster_role_is_that_of_the_golden_file(self, render):
        """All that dnsd may read by default. Review each change of it with care."""
        assert one(render(), "ClusterRole")["rules"] == yaml.safe_load(GOLDEN.read_text())

    @pytest.mark.parametrize("config", [{}, {"namespaces": ["team-a"]}], ids=str)
    def test_only_admin_cluster_tokens_adds_the_right_to_create_reviews(self, config, render):
        """The second golden file has the added rules."""
        before = one(render({"config": config}), "ClusterRole")["rules"]
        more = {"config": config | {"admin_cluster_tokens": True}}
        after = one(render(more), "ClusterRole")["rules"]
        added = [rule for rule in after if rule not in before]
        assert added == yaml.safe_load(GOLDEN_REVIEWS.read_text())
        assert len(after) == len(before) + len(added)

    def test_the_kinds_without_a_namespace_are_namespace_and_node(self):
        """A Role in a namespace cannot allow them."""
        assert {"Namespace", "Node"} == {kind for kind in RESOURCES if kind in CLUSTER_SCOPED}

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_the_rules_allow_reads_only(self, variant, render):
        objects = render(VARIANTS[variant])
        for kind in ("ClusterRole", "Role"):
            for verbs in allowed(objects, kind).values():
                assert set(verbs) <= {"get", "list", "watch"}

    @pytest.mark.parametrize("config", FEATURES, ids=brief)
    def test_the_rules_allow_exactly_the_watches_of_dnsd(self, config, render, tmp_path):
        """The expected watches are those of dnsd with the settings in effect."""
        objects = render({"config": config})
        wanted = set()
        for scope in scopes(kubernetes_config(in_effect(objects, tmp_path))):
            resource = scope.resource
            full = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
            wanted.add((scope.namespace, full))
        rules = bound(objects)
        assert set(rules) == wanted
        assert all({"list", "watch"} <= verbs for verbs in rules.values())
        named = {where for where, _ in wanted} - {""}
        assert len(named) <= MAX_NAMESPACE_SCOPES
        if not named:
            assert not [o for o in objects if o["kind"] in ("Role", "RoleBinding")]

    def test_two_releases_with_one_name_share_no_object(self, helm, tmp_path):
        """An object outside the namespace of the release has this namespace in its name."""
        values = {
            "config": {"namespaces": ["team-a"]},
            "grafana": {"dashboard": {"enabled": True, "namespace": "monitoring"}},
        }

        def elsewhere(namespace: str) -> set[tuple[str, str, str]]:
            done = run(helm, tmp_path, values, "template", "demo", "--namespace", namespace)
            assert done.returncode == 0, done.stderr
            every = [o for o in yaml.safe_load_all(done.stdout) if o]
            return {
                (o["kind"], where, o["metadata"]["name"])
                for o in every
                if (where := o["metadata"].get("namespace", "")) != namespace
            }

        assert len(elsewhere("one")) == 5
        assert not elsewhere("one") & elsewhere("two")

    def test_with_namespaces_each_of_them_has_a_role(self, render):
        objects = render(VARIANTS["namespaces"])
        roles = [o for o in objects if o["kind"] == "Role"]
        assert [role["metadata"]["namespace"] for role in roles] == ["team-a", "team-b"]
        assert set(allowed(objects, "ClusterRole")) == {"namespaces"}
        assert set(allowed(roles, "Role")) == {"services", "endpointslices.discovery.k8s.io"}
        bindings = [o for o in objects if o["kind"] == "RoleBinding"]
        assert {b["subjects"][0]["namespace"] for b in bindings} == {"dns"}

    def test_a_release_with_manifests_has_no_rule_and_no_token(self, render):
        objects = render(VARIANTS["manifests"])
        assert not [o for o in objects if "Role" in o["kind"]]
        pod = one(objects, "Deployment")["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False

    def test_the_default_settings_follow_the_required_kinds_only(self):
        assert set(kinds_of(Settings())) == set(ALWAYS)


def another(name: str, than: object, folder: Path) -> Any:
    """A value of this setting that differs from `than`."""
    setting = declared(Settings)[name].setting
    (folder / "there").touch()
    (folder / "directory").mkdir(exist_ok=True)
    candidates = [
        *([] if "file" in setting.kind.name or not setting.example else [setting.example]),
        *setting.kind.metavar.split("|"),
        *("true", "false", "10.0.0.0/16", "3", "600", "2h", "3m", "3MiB", "200MB"),
        *(f'"{folder}/there"', f'"{folder}/directory"'),
    ]
    chart_needs = {"listen": '["0.0.0.0:1053", "[::]:1053"]', "admin": '"[::]:9053"'}
    for text in (chart_needs[name],) if name in chart_needs else candidates:
        value = yaml.safe_load(text)
        try:
            if setting.kind.parse(value) != than:
                return value
        except BadValue:
            continue
    raise AssertionError(f"there is no example of {name}")


class TestSettings:
    @pytest.mark.parametrize(
        "name", [name for name, one in declared(Settings).items() if one.setting.in_file]
    )
    def test_each_setting_can_be_set_in_the_values(self, name, render, tmp_path):
        """`config.NAME` is in effect: no other source of settings overrides it."""
        chart = in_effect(render(), tmp_path)
        value = another(name, chart.value(name), tmp_path)
        if name == "state_dir":
            value = "/elsewhere"
        settings = in_effect(render({"config": {name: value}}), tmp_path)
        found = settings.value(name)
        if name == "state_dir":
            assert found == str(tmp_path / "elsewhere")
        elif name == "admin_hosts":
            assert found[0] == value[0]
            assert set(found) == {*value, *chart.admin.hosts}
        else:
            wanted = declared(Settings)[name].setting.kind.parse(value)
            # Maps have no order.
            assert found == wanted or (isinstance(value, dict) and set(found) == set(wanted))
            assert found != chart.value(name)

    def test_a_setting_that_the_chart_reads_cannot_be_a_variable(self, helm, tmp_path):
        """The rules, ports, and volumes of the chart would not follow the variable."""
        templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
        read = {name for name in declared(Settings) if f"onfig.{name}" in templates}
        read |= {name for name in declared(Settings) if f'"{name}"' in templates}
        read.discard("log_format")  # written, but not read
        for name in sorted(read):
            variable = f"DNSD_{name.upper()}"
            done = run(helm, tmp_path, {"env": [{"name": variable, "value": "x"}]})
            assert done.returncode != 0, name
            assert f"env: the chart depends on {name} and cannot see {variable}" in done.stderr

    @pytest.mark.parametrize(
        ("values", "word"),
        [
            ({"config": {"admin": False}}, "config.admin: the kubelet cannot probe"),
            ({"config": {"admin": "off"}}, "config.admin: the kubelet cannot probe"),
            (
                {"config": {"admin": "127.0.0.1:8053"}},
                "config.admin: clients outside the Pod cannot reach 127.0.0.1:8053",
            ),
            (
                {"config": {"listen": "127.0.0.1:1053"}},
                "config.listen: clients outside the Pod cannot reach 127.0.0.1:1053",
            ),
            (
                {"config": {"listen": ["[::1]:1053"]}},
                "config.listen: clients outside the Pod cannot reach [[::1]:1053]",
            ),
            (
                {"config": {"listen": ["udp://127.0.0.1:1053", "tcp://[::1]:1053"]}},
                "config.listen: clients outside the Pod cannot reach [udp://127.0.0.1:1053",
            ),
            ({"config": {"listen": ["0.0.0.0:53"]}}, "config.listen: a Pod without privilege"),
            ({"config": {"listen": ["0.0.0.0:0"]}}, "config.listen: a Pod without privilege"),
            ({"config": {"state_dir": "state"}}, "config.state_dir: state is not an absolute path"),
            ({"state": {"persistentVolumeClaim": {"claimName": "x"}}}, "set replicas to 1"),
            (
                {"state": {"nfs": {"server": "x", "path": "/"}}, "kind": "daemonset"},
                "all Pods would share nfs",
            ),
        ],
    )
    def test_settings_that_no_pod_can_have_are_refused(self, values, word, helm, tmp_path):
        done = run(helm, tmp_path, values)
        assert done.returncode != 0
        assert word in done.stderr

    def test_without_a_state_directory_there_is_no_state_volume(self, render, tmp_path):
        objects = render({"config": {"state_dir": ""}})
        assert in_effect(objects, tmp_path).state_dir == ""
        assert "state" not in [volume["name"] for volume in pod_of(objects)["volumes"]]

    @pytest.mark.parametrize("inside", ["", "/dnsd"])
    def test_an_extra_volume_at_the_state_directory_replaces_the_state_volume(self, inside, render):
        values = {
            "config": {"state_dir": "/data" + inside},
            "extraVolumes": [{"name": "data", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "data", "mountPath": "/data/"}],
        }
        pod = pod_of(render(values))
        assert "state" not in [volume["name"] for volume in pod["volumes"]]
        mounts = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
        assert mounts == ["/etc/dnsd", "/tmp", "/data/"]

    async def test_the_admin_api_accepts_the_names_of_its_service(self, render, tmp_path):
        objects = render({"config": {"zone": "a.example,b.example", "admin_hosts": "c.example"}})
        name = one(objects, "Service", "demo-dnsd-admin")["metadata"]["name"]
        gate = Gate(Tokens(), in_effect(objects, tmp_path).admin.hosts, False)
        inside = [f"{name}.dns.svc.{zone}" for zone in ("a.example", "b.example")]
        for host in ("c.example", name, f"{name}.dns", f"{name}.dns.svc", *inside):
            request = make_mocked_request("GET", "/metrics", {"Host": f"{host}:8053"})
            assert await gate.admit(request, Access.OPEN) == ""
        elsewhere = make_mocked_request("GET", "/metrics", {"Host": f"{name}.dns.svc.c.example"})
        with pytest.raises(Problem):
            await gate.admit(elsewhere, Access.OPEN)

    def test_the_address_of_the_service_is_that_of_the_name_server(self, render, tmp_path):
        def addresses(**values: Any) -> tuple[str, ...]:
            return tuple(map(address_text, in_effect(render(values), tmp_path).schema.ns_addresses))

        assert addresses() == ()
        assert in_effect(render(), tmp_path).ns_service == "dns/demo-dnsd"
        assert addresses(service={"clusterIP": "10.96.0.11"}) == ("10.96.0.11",)
        dual = {"clusterIP": "10.96.0.11", "ipFamilyPolicy": "RequireDualStack"}
        assert addresses(service=dual) == ()  # it has a second address, which ns_service finds
        assert addresses(service={"clusterIP": "None"}) == ()
        other = {"ns_addresses": ["10.96.0.11", "fd00::11"]}
        assert addresses(service={"clusterIP": "10.96.0.11"}, config=other) == (
            "10.96.0.11",
            "fd00::11",
        )

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
    def test_invalid_values_are_refused_by_name(self, values, word, helm, tmp_path):
        done = run(helm, tmp_path, values)
        assert done.returncode != 0
        assert word in done.stderr


def test_the_notes_have_the_stub_domain_for_coredns(helm, tmp_path):
    done = run(helm, tmp_path, {}, "install", "demo", "--dry-run=client", "--namespace", "dns")
    assert "forward . ADDRESS" in done.stdout, done.stderr
    assert "cluster.local:53 {" in done.stdout


@pytest.mark.parametrize("zone", ["a.example, b.example", ["a.example", "b.example"]])
def test_the_notes_name_the_zones(zone, helm, tmp_path):
    values = {"config": {"zone": zone}}
    done = run(helm, tmp_path, values, "install", "demo", "--dry-run=client", "--namespace", "dns")
    assert "dnsd serves a.example, b.example from" in done.stdout, done.stderr
    assert "\n  a.example:53 {" in done.stdout


def test_the_app_version_of_the_chart_is_that_of_dnsd():
    import dnsd

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == dnsd.__version__
