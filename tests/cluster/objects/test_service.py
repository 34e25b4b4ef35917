"""A Service is stripped to its DNS fields and checked."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.cluster.objects import LoadBalancerIngress, Service, ServicePort
from dnsd.dns.addresses import pack_address
from tests.cluster.objects.decoding import one, refused


def plain_service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name}, "spec": spec}


def a_service(**spec: Any) -> Service:
    made = one(plain_service(**spec))
    assert isinstance(made, Service)
    return made


class TestService:
    def test_every_field_that_dns_needs_is_kept(self) -> None:
        plain = {
            "kind": "Service",
            "metadata": {
                "name": "web",
                "namespace": "team-a",
                "uid": "u",
                "resourceVersion": "42",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "web"},
                "annotations": {
                    "external-dns.alpha.kubernetes.io/hostname": "a.example, b.example,",
                    "coredns.io/hostname": "c.example",
                    "other": "x",
                },
            },
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.1",
                "clusterIPs": ["10.96.0.1", "fd00::1"],
                "ports": [
                    {"name": "http", "port": 80, "nodePort": 30080},
                    {"name": "dns", "protocol": "UDP", "port": 53},
                ],
                "publishNotReadyAddresses": True,
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
                "externalIPs": ["192.0.2.1"],
                "loadBalancerIP": "192.0.2.2",
                "externalTrafficPolicy": "Local",
            },
            "status": {
                "loadBalancer": {"ingress": [{"ip": "192.0.2.3"}, {"hostname": "lb.example"}]}
            },
        }
        assert one(plain, "web.yaml#1") == Service(
            namespace="team-a",
            name="web",
            type="LoadBalancer",
            cluster_ips=(pack_address("10.96.0.1"), pack_address("fd00::1")),
            ports=(ServicePort("http", "TCP", 80, 30080), ServicePort("dns", "UDP", 53)),
            publish_not_ready=True,
            ip_families=("IPv4", "IPv6"),
            ip_family_policy="RequireDualStack",
            external_ips=(pack_address("192.0.2.1"),),
            load_balancer_ip=pack_address("192.0.2.2"),
            ingress=(
                LoadBalancerIngress(ip=pack_address("192.0.2.3")),
                LoadBalancerIngress(hostname="lb.example"),
            ),
            external_traffic_policy="Local",
            hostnames=("a.example", "b.example", "c.example"),
            labels={"app": "web"},
            uid="u",
            version="42",
            created="2026-01-01T00:00:00Z",
            origin="web.yaml#1",
        )

    def test_a_service_with_only_a_name_has_the_defaults_of_the_api(self) -> None:
        assert one({"kind": "Service", "metadata": {"name": "a"}}) == Service("default", "a")

    def test_a_null_field_is_absent(self) -> None:
        assert a_service(type=None, clusterIP=None, ports=None, externalIPs=None) == Service(
            "default", "web"
        )

    def test_a_cluster_ip_of_none_means_headless(self) -> None:
        for spec in ({"clusterIP": "None"}, {"clusterIP": "None", "clusterIPs": ["None"]}):
            made = a_service(**spec)
            assert (made.headless, made.cluster_ips) == (True, ())

    def test_fields_that_the_type_does_not_use_are_ignored(self) -> None:
        external = a_service(type="ExternalName", externalName="a.example.", clusterIP="10.0.0.1")
        assert (external.external_name, external.cluster_ips, external.headless) == (
            "a.example.",
            (),
            False,
        )
        inside = a_service(type="ClusterIP", externalName="a.example", clusterIP="10.0.0.1")
        assert (inside.external_name, inside.cluster_ips) == ("", (pack_address("10.0.0.1"),))

    def test_an_external_name_may_be_an_address(self) -> None:
        assert a_service(type="ExternalName", externalName="192.0.2.1").external_name == "192.0.2.1"

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"type": "Clusterip"}, "spec.type"),
            ({"type": "ExternalName"}, "spec.externalName"),
            ({"type": "ExternalName", "externalName": "a b"}, "spec.externalName"),
            ({"type": "NodePort", "clusterIP": "None"}, "spec.clusterIP"),
            ({"clusterIP": "10.0.0.256"}, "spec.clusterIP"),
            ({"clusterIPs": ["10.0.0.1", "ten"]}, "spec.clusterIPs[1]"),
            ({"clusterIPs": ["10.0.0.1", "10.0.0.2"]}, "spec.clusterIPs"),
            ({"clusterIPs": ["10.0.0.1", "fd00::1", "fd00::2"]}, "spec.clusterIPs"),
            ({"clusterIP": "fe80::1%eth0"}, "spec.clusterIP"),
            ({"ports": [{}]}, "spec.ports[0].port"),
            ({"ports": [{"port": 0}]}, "spec.ports[0].port"),
            ({"ports": [{"port": 65536}]}, "spec.ports[0].port"),
            ({"ports": [{"port": "80"}]}, "spec.ports[0].port"),
            ({"ports": [{"port": 80, "nodePort": -1}]}, "spec.ports[0].nodePort"),
            ({"ports": [{"port": 80, "protocol": "tcp"}]}, "spec.ports[0].protocol"),
            ({"ports": [{"port": 80, "name": "Http"}]}, "spec.ports[0].name"),
            ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name"),
            (
                {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
                "spec.ports[1].name",
            ),
            ({"externalIPs": ["x"]}, "spec.externalIPs[0]"),
            ({"loadBalancerIP": "x"}, "spec.loadBalancerIP"),
            ({"publishNotReadyAddresses": "yes"}, "spec.publishNotReadyAddresses"),
        ],
    )
    def test_an_invalid_field_is_refused_by_its_path(
        self, spec: dict[str, Any], field: str
    ) -> None:
        error = refused(plain_service(**spec))
        assert error.field == field
        assert str(error).startswith(("Service default/web: ", "Service web: "))

    @pytest.mark.parametrize("name", ["", "Web", "1web", "web_", "-a", "a-", "a.b", "a" * 64])
    def test_a_name_must_be_an_rfc_1035_label(self, name: str) -> None:
        assert refused(plain_service(name)).field == "metadata.name"

    @pytest.mark.parametrize("namespace", ["Team", "a.b", "-a", "a" * 64])
    def test_a_namespace_must_be_an_rfc_1123_label(self, namespace: str) -> None:
        plain = plain_service() | {"metadata": {"name": "a", "namespace": namespace}}
        assert refused(plain).field == "metadata.namespace"

    def test_the_error_for_a_long_name_gives_both_lengths(self) -> None:
        problem = refused(plain_service("a" * 64)).problem
        assert "64" in problem
        assert "63" in problem
        assert isinstance(one(plain_service("a" * 63)), Service)
