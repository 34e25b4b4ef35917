"""The cluster of the query tables, as objects of the API.

In `tests/cases/` (query tables). Change here: the objects that the tables query.

It has each kind of Service of docs/names.md once. 10.96.0.x are ClusterIPs; 10.244.x.x and
fd00:244::x are Pods.
"""

from __future__ import annotations

from typing import Any

from tests.cases.external import external_objects

Plain = dict[str, Any]

SLICE_LABEL = "kubernetes.io/service-name"


def service(name: str, ip: str | list[str] = "", ns: str = "prod", **spec: Any) -> Plain:
    """A Service; `ip`: its ClusterIP, "None", or both ClusterIPs of a dual-stack Service."""
    ips = [ip] if isinstance(ip, str) else ip
    if ips[0]:
        spec |= {"clusterIP": ips[0], "clusterIPs": ips}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": ns},
        "spec": spec,
    }


def port(number: int, name: str = "", protocol: str = "") -> Plain:
    out: Plain = {"port": number}
    if name:
        out["name"] = name
    if protocol:
        out["protocol"] = protocol
    return out


def endpoint(
    *addresses: str, hostname: str = "", ready: bool | None = True, pod: str = ""
) -> Plain:
    out: Plain = {"addresses": list(addresses), "conditions": {}}
    if ready is not None:
        out["conditions"]["ready"] = ready
    if hostname:
        out["hostname"] = hostname
    if pod:
        out["targetRef"] = {"kind": "Pod", "name": pod}
    return out


def endpoint_slice(
    of: str, *endpoints: Plain, ports: list[Plain], ns: str = "prod", suffix: str = "a"
) -> Plain:
    family = "IPv6" if ":" in endpoints[0]["addresses"][0] else "IPv4"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{of}-{suffix}", "namespace": ns, "labels": {SLICE_LABEL: of}},
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": ports,
    }


def external(name: str, target: str) -> Plain:
    return service(name, type="ExternalName", externalName=target)


def objects() -> list[Plain]:
    """All objects, in any order."""
    http = port(80, "http")
    chain = [external(f"chain{i}", f"chain{i + 1}.prod.svc.cluster.local") for i in range(12)]
    big = [endpoint(f"10.244.9.{i}") for i in range(1, 201)]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "empty"}},
        service("web", "10.96.0.10", ports=[http, port(53, "dns", "UDP"), port(9, "sig", "SCTP")]),
        endpoint_slice(
            "web",
            endpoint("10.244.0.1", pod="web-1"),
            endpoint("10.244.0.2", ready=None),
            endpoint("10.244.0.3", ready=False),
            ports=[port(8080, "http")],
        ),
        service("web", "10.96.0.11", ns="staging", ports=[port(80)]),
        service("http", "10.96.0.12", ports=[http]),
        service("api", "10.96.0.13", ports=[port(443)]),
        service("dual", ["10.96.0.14", "fd00:96::14"], ports=[http]),
        service("node", "10.96.0.15", type="NodePort", ports=[port(80) | {"nodePort": 30080}]),
        service("lb", "10.96.0.16", type="LoadBalancer", ports=[port(80)]),
        service("db", "None", ports=[port(5432, "sql")]),
        endpoint_slice(
            "db",
            endpoint("10.244.1.1", hostname="db-0"),
            endpoint("10.244.1.2", hostname="db-1"),
            endpoint("10.244.1.3", hostname="db-2", ready=False),
            ports=[port(5432, "sql")],
        ),
        service("peers", "None", ports=[port(7000, "gossip", "UDP")]),
        endpoint_slice("peers", endpoint("10.244.2.1"), ports=[port(7000, "gossip", "UDP")]),
        endpoint_slice(
            "peers",
            endpoint("fd00:244::1"),
            ports=[port(7000, "gossip", "UDP")],
            suffix="b",
        ),
        service("twins", "None", ports=[http]),
        endpoint_slice(
            "twins",
            endpoint("10.244.3.1", hostname="twin"),
            endpoint("10.244.3.2", hostname="twin"),
            endpoint("10.244.1.1", hostname="guest"),
            ports=[port(80, "http")],
        ),
        service("hollow", "None", ports=[http]),
        endpoint_slice("hollow", endpoint("10.244.4.1", ready=False), ports=[http]),
        service("early", "None", ports=[http], publishNotReadyAddresses=True),
        endpoint_slice("early", endpoint("10.244.5.1", hostname="e", ready=False), ports=[http]),
        service("portless", "None"),
        endpoint_slice("portless", endpoint("10.244.6.1", hostname="p"), ports=[]),
        service("big", "None", ports=[http]),
        endpoint_slice("big", *big, ports=[port(80, "http")]),
        external("google", "google.com."),
        external("inside", "web.prod.svc.cluster.local"),
        external("inside-db", "db.prod.svc.cluster.local."),
        external("inside-none", "gone.prod.svc.cluster.local"),
        external("ring-a", "ring-b.prod.svc.cluster.local"),
        external("ring-b", "ring-a.prod.svc.cluster.local"),
        external("literal", "192.0.2.1"),
        *chain,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "was-external", "namespace": "prod"},
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "10.96.0.17",
                "externalName": "old.example",
                "ports": [port(80)],
            },
        },
        *external_objects(),
    ]
