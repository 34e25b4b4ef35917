"""A Node is stripped to its DNS fields and checked."""

from __future__ import annotations

from dnsd.cluster.objects import Node
from dnsd.dns.addresses import pack_address
from tests.cluster.objects.decoding import one, refused


def test_addresses_by_type_and_readiness_are_kept() -> None:
    plain = {
        "kind": "Node",
        "metadata": {"name": "n"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "192.168.0.1"},
                {"type": "ExternalIP", "address": "192.0.2.1"},
                {"type": "Hostname", "address": "n"},
            ],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    inside, external = pack_address("192.168.0.1"), pack_address("192.0.2.1")
    assert one(plain) == Node("n", (inside,), (external,), True)
    assert one({"kind": "Node", "metadata": {"name": "n"}}) == Node("n")


def test_a_bad_address_or_a_missing_name_is_refused_by_its_path() -> None:
    status = {"addresses": [{"type": "InternalIP", "address": "x"}]}
    bad = {"kind": "Node", "metadata": {"name": "n"}, "status": status}
    assert refused(bad).field == "status.addresses[0].address"
    assert refused({"kind": "Node", "metadata": {}}).field == "metadata.name"
