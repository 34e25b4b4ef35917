"""Decode an object by both decoders, and catch the error of a bad one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dnsd.cluster.objects import BadObject, LoadBalancerIngress, Object, from_json, from_plain
from dnsd.dns.addresses import pack_address


def one(plain: dict[str, Any], origin: str = "") -> Object:
    """The object that both decoders return for `plain`."""
    (from_yaml,) = from_plain(plain, origin)
    assert from_json(plain["kind"], json.dumps(plain).encode(), origin) == [from_yaml]
    return from_yaml


def refused(plain: dict[str, Any]) -> BadObject:
    """The error for `plain`."""
    with pytest.raises(BadObject) as caught:
        from_plain(plain)
    assert (caught.value.kind, caught.value.problem != "") == (plain["kind"], True)
    return caught.value


def point(text: str) -> LoadBalancerIngress:
    """An address of a load balancer."""
    return LoadBalancerIngress(pack_address(text))


META = {"name": "one", "namespace": "team", "resourceVersion": "7", "uid": "u"}
META["creationTimestamp"] = "2026-01-01T00:00:00Z"


def strip(kind: str, origin: str = "", **fields: Any) -> Object:
    """The object of a kind with the metadata META and these fields."""
    return one({"kind": kind, "metadata": META, **fields}, origin)
