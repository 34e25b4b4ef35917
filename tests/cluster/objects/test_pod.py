"""A Pod is stripped to its DNS fields and checked."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import Pod
from dnsd.dns.addresses import pack_address
from tests.cluster.objects.decoding import one, refused


def test_every_field_that_dns_needs_is_kept() -> None:
    plain = {
        "kind": "Pod",
        "metadata": {"name": "p.1", "namespace": "d"},
        "spec": {
            "hostNetwork": True,
            "dnsPolicy": "None",
            "dnsConfig": {"searches": ["a.example"]},
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        },
    }
    ips = (pack_address("10.0.0.1"), pack_address("fd00::1"))
    pod = Pod("d", "p.1", ips, "Running", True, "None", ("a.example",))
    assert one(plain) == pod
    assert pod.running


def test_pod_ip_is_read_if_pod_ips_is_absent() -> None:
    made = one({"kind": "Pod", "metadata": {"name": "p"}, "status": {"podIP": "10.0.0.1"}})
    assert isinstance(made, Pod)
    assert made.ips == (pack_address("10.0.0.1"),)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_not_running(phase: str) -> None:
    assert not Pod("d", "p", phase=phase).running


def test_a_bad_address_or_a_missing_name_is_refused_by_its_path() -> None:
    bad = {"kind": "Pod", "metadata": {"name": "p"}, "status": {"podIP": "x"}}
    assert refused(bad).field == "status.podIP"
    bad = {"kind": "Pod", "metadata": {"name": "p"}, "status": {"podIPs": [{"ip": "x"}]}}
    assert refused(bad).field == "status.podIPs[0].ip"
    assert refused({"kind": "Pod", "metadata": {}}).field == "metadata.name"
