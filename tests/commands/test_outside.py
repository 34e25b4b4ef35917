"""The view from outside on the command line: zone, explain, plan and check over manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.running import run
from tests.serving import ROOT

Capture = pytest.CaptureFixture[str]
FOLDER = str(ROOT / "config" / "examples" / "outside")
OUTSIDE = ("--manifests", FOLDER, "--outside-zones", "{name: k8s.example.com, ttl: 30}")


def test_zone_prints_it_behind_the_zones_of_the_cluster(capsys: Capture) -> None:
    out = run(capsys, "zone", *OUTSIDE).out
    assert "www.k8s.example.com.\t30\tIN\tA\t192.0.2.10\n" in out
    assert out.index("cluster.local.") < out.index("k8s.example.com.") < out.index("in-addr.arpa.")
    alone = run(capsys, "zone", *OUTSIDE, "k8s.example.com").out
    assert "svc.cluster.local" not in alone


def test_explain_says_pending(capsys: Capture) -> None:
    found = run(capsys, "explain", *OUTSIDE, "soon.shop.k8s.example.com")
    assert found.code == 4
    assert "pending: status.loadBalancer.ingress is empty" in found.out


def test_explain_says_what_a_client_does_not_see(capsys: Capture) -> None:
    views = ("--views", '{networks: ["10.0.0.0/8"], see: inside}')
    name = "web.shop.k8s.example.com."
    hidden = run(capsys, "explain", *OUTSIDE, *views, "--client", "10.0.0.1", name)
    assert hidden.code == 3
    assert "10.0.0.1 sees only the zones of the cluster" in hidden.out
    assert run(capsys, "explain", *OUTSIDE, *views, "--client", "192.0.2.1", name).code == 0


def test_plan_names_outside_too(capsys: Capture, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    text = "{kind: Service, metadata: {name: new}, spec: {externalIPs: [198.51.100.9]}}"
    new.write_text(text)
    out = run(capsys, "plan", *OUTSIDE, "-f", str(new)).out
    assert "new.default.k8s.example.com" in out


def test_check_finds_an_outside_zone_that_is_one_already(capsys: Capture) -> None:
    zone = ("--outside-zones", "cluster.local")
    found = run(capsys, "check", "--manifests", FOLDER, *zone)
    assert found.code == 2
    assert "cluster.local is a zone already" in found.err
