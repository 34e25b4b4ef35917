"""Objects as the API writes them, with the fields that a test sets."""

from __future__ import annotations

from typing import Any

import yaml

from tests.fakekube.store import Plain


def kubeconfig(url: str, user: Plain | None = None, cluster: Plain | None = None) -> str:
    """The text of a kubeconfig whose one context, `fake`, is the server at `url`."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": url} | (cluster or {})}],
            "users": [{"name": "reader", "user": user or {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "reader"}}],
        }
    )


def namespace(name: str, labels: dict[str, str] | None = None) -> Plain:
    every = {"kubernetes.io/metadata.name": name} | (labels or {})
    return {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": every},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def service(
    name: str,
    ip: str = "None",
    *,
    namespace: str = "default",
    ports: tuple[tuple[str, int], ...] = (("http", 80),),
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> Plain:
    """A Service with ClusterIP `ip`; `None` is headless."""
    meta: Plain = {"name": name, "namespace": namespace}
    if labels:
        meta["labels"] = labels
    every = [
        {"name": one, "protocol": "TCP", "port": port, "targetPort": port} for one, port in ports
    ]
    whole = {"clusterIP": ip, "clusterIPs": [ip], "type": "ClusterIP", "ports": every} | spec
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": meta,
        "spec": whole,
        "status": {"loadBalancer": {}},
    }


def external(name: str, target: str, *, namespace: str = "default") -> Plain:
    """A Service of type ExternalName."""
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "ExternalName", "externalName": target},
        "status": {"loadBalancer": {}},
    }


def endpoint_slice(
    name: str,
    service: str,
    addresses: list[str],
    *,
    namespace: str = "default",
    ports: tuple[tuple[str, int], ...] = (("http", 80),),
    ready: bool = True,
) -> Plain:
    """An EndpointSlice with one endpoint an address."""
    endpoints = [
        {
            "addresses": [address],
            "conditions": {"ready": ready, "serving": ready, "terminating": False},
            "nodeName": "node-1",
            "targetRef": {"kind": "Pod", "name": f"{name}-{number}", "namespace": namespace},
        }
        for number, address in enumerate(addresses)
    ]
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": one, "protocol": "TCP", "port": port} for one, port in ports],
    }


def pod(name: str, ip: str, *, namespace: str = "default", phase: str = "Running") -> Plain:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "example"}]},
        "status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}]},
    }


def node(name: str, ip: str) -> Plain:
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "spec": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
