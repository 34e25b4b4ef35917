"""The objects with external names in the cluster of the query tables.

In `tests/cases/` (query tables). Change here: the objects of external names.

192.0.2.x are load balancers, 198.51.100.x external addresses, 203.0.113.x Gateways; Nodes are
10.0.0.x inside and 192.0.2.10x outside.
"""

from __future__ import annotations

from typing import Any

Plain = dict[str, Any]

HTTP: Plain = {"port": 80, "name": "http"}
HOSTS = "external-dns.alpha.kubernetes.io/hostname"
GATEWAY_API = "gateway.networking.k8s.io"


def thing(kind: str, name: str, api: str = "v1", **more: Any) -> Plain:
    """An object in the namespace edge; `more`: spec, status, and fields of its metadata."""
    meta: Plain = {"name": name, "namespace": "edge"}
    for field in ("annotations", "labels", "creationTimestamp"):
        if field in more:
            meta[field] = more.pop(field)
    if kind == "Node":
        del meta["namespace"]
    return {"apiVersion": api, "kind": kind, "metadata": meta, **more}


def balancer(name: str, *ingress: Plain, ip: str, **more: Any) -> Plain:
    spec = {"type": "LoadBalancer", "clusterIP": ip, "ports": [HTTP | {"nodePort": 31000}]}
    spec |= more.pop("spec", {})
    status = {"loadBalancer": {"ingress": list(ingress)}}
    return thing("Service", name, spec=spec, status=status, **more)


def node(name: str, internal: str, external: str = "", ready: str = "True") -> Plain:
    addresses = [{"type": "InternalIP", "address": internal}]
    if external:
        addresses.append({"type": "ExternalIP", "address": external})
    conditions = [{"type": "Ready", "status": ready}]
    return thing("Node", name, status={"addresses": addresses, "conditions": conditions})


def node_port(name: str, number: int, ip: str, **spec: Any) -> Plain:
    ports = [HTTP | {"nodePort": number}]
    return thing(
        "Service", name, spec={"type": "NodePort", "clusterIP": ip, "ports": ports, **spec}
    )


def route(kind: str, name: str, host: str, version: str = "v1") -> Plain:
    parent = {
        "parentRef": {"name": "gate", "namespace": "edge"},
        "conditions": [{"type": "Accepted", "status": "True"}],
    }
    return thing(
        kind,
        name,
        f"{GATEWAY_API}/{version}",
        spec={"hostnames": [host], "parentRefs": [{"name": "gate"}]},
        status={"parents": [parent]},
    )


def ingress(name: str, host: str, ip: str, created: str) -> Plain:
    return thing(
        "Ingress",
        name,
        "networking.k8s.io/v1",
        creationTimestamp=created,
        spec={"rules": [{"host": host}, {"host": "elsewhere.example.org"}]},
        status={"loadBalancer": {"ingress": [{"ip": ip}] if ip else []}},
    )


def external_objects() -> list[Plain]:
    """All objects, in any order."""
    local = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "local-a",
            "namespace": "edge",
            "labels": {"kubernetes.io/service-name": "local"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.245.0.1"], "nodeName": "n1", "conditions": {"ready": False}},
            {"addresses": ["10.245.0.2"], "nodeName": "n2", "conditions": {"ready": True}},
        ],
        "ports": [{"port": 80, "name": "http"}],
    }
    records = [
        {"dnsName": "txt.k8s.example.com", "recordType": "TXT", "targets": ["hello"]},
        {"dnsName": "far.example.org", "recordType": "A", "targets": ["192.0.2.99"]},
    ]
    return [
        balancer(
            "site",
            {"ip": "192.0.2.1"},
            {"ip": "2001:db8::1"},
            ip="10.97.0.1",
            annotations={HOSTS: "www.k8s.example.com, www.example.org"},
        ),
        balancer(
            "cloud",
            {"hostname": "lb.example.net"},
            ip="10.97.0.2",
            annotations={"coredns.io/hostname": "cloud.k8s.example.com"},
        ),
        balancer("waiting", ip="10.97.0.3"),
        thing(
            "Service",
            "given",
            spec={"clusterIP": "10.97.0.4", "ports": [HTTP], "externalIPs": ["198.51.100.1"]},
        ),
        thing("Service", "plain", spec={"clusterIP": "10.97.0.5", "ports": [HTTP]}),
        thing("Service", "empty", spec={"clusterIP": "None", "ports": [HTTP]}),
        thing("Service", "named", spec={"type": "ExternalName", "externalName": "example.org"}),
        node("n1", "10.0.0.1", "192.0.2.101"),
        node("n2", "10.0.0.2"),
        node("n3", "10.0.0.3", ready="False"),
        node_port("everywhere", 30081, "10.97.0.6"),
        node_port("local", 30082, "10.97.0.7", externalTrafficPolicy="Local"),
        local,
        ingress("shop", "shop.k8s.example.com", "192.0.2.7", "2026-01-02T00:00:00Z"),
        ingress("older-shop", "shop.k8s.example.com", "192.0.2.8", "2026-01-01T00:00:00Z"),
        ingress("unborn", "unborn.k8s.example.com", "", "2026-01-01T00:00:00Z"),
        thing(
            "Gateway",
            "gate",
            f"{GATEWAY_API}/v1",
            spec={"listeners": [{"name": "web", "hostname": "*.k8s.example.com", "port": 80}]},
            status={"addresses": [{"type": "IPAddress", "value": "203.0.113.1"}]},
        ),
        route("HTTPRoute", "web", "web-route.k8s.example.com"),
        route("GRPCRoute", "rpc", "rpc-route.k8s.example.com"),
        route("TLSRoute", "tls", "tls-route.k8s.example.com", "v1alpha2"),
        thing(
            "DNSEndpoint",
            "stated",
            "externaldns.k8s.io/v1alpha1",
            spec={"endpoints": records},
        ),
    ]
