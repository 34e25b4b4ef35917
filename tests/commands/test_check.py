"""`dnsd check`: errors in a configuration and its manifests."""

from __future__ import annotations

from pathlib import Path

from dnsd.cli import main
from tests.commands.running import Capture, complaint, run
from tests.serving import ROOT, SEED, service

FOLDER = str(ROOT / "config" / "examples" / "outside")
EXTERNAL = ("--manifests", FOLDER, "--outside-zones", "{name: k8s.example.com, ttl: 30}")


def test_an_external_zone_must_not_be_a_zone_of_the_cluster(capsys: Capture) -> None:
    zone = ("--outside-zones", "cluster.local")
    found = run(capsys, "check", "--manifests", FOLDER, *zone)
    assert found.code == 2
    assert "cluster.local is a zone already" in found.err


class TestCheck:
    def test_valid_manifests_are_summarized(self, capsys: Capture) -> None:
        assert main(["check", "--manifests", str(SEED)]) == 0
        line = capsys.readouterr().out
        assert "8 Service, " in line
        assert "1 Deployment (skipped)" in line

    def test_a_valid_configuration_is_summarized(self, capsys: Capture, tmp_path: Path) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text(f"ttl: 30\nmanifests: {SEED}\n")
        assert main(["check", "--config", str(config)]) == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first == f"{config}: 2 settings, no errors"
        assert second.startswith(f"{SEED}: 9 files")

    def test_a_zone_that_occurs_twice_is_refused(self, capsys: Capture, tmp_path: Path) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text("outside_zones: [cluster.local]\n")
        assert "cluster.local is a zone already" in complaint(
            capsys, ["check", "--config", str(config)], 2
        )

    def test_each_problem_of_manifests_is_one_line(self, capsys: Capture, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(service("web", "10.96.0.1") + service("x" * 64, ""))
        (tmp_path / "b.yaml").write_text(service("other", "10.96.0.1"))
        (tmp_path / "c.yaml").write_text("kind: Service\n  a: [\n")
        (tmp_path / "d.yaml").write_text(
            "kind: Service\nmetadata: {name: out}\n"
            "spec: {type: ExternalName, externalName: 192.0.2.1}\n"
        )
        assert main(["check", "--manifests", str(tmp_path)]) == 2
        lines = capsys.readouterr().err.splitlines()
        found = [line.removeprefix(f"dnsd: {tmp_path}/") for line in lines]
        assert found[0].startswith("a.yaml:8:12: ")
        assert "a DNS label has at most 63" in found[0]
        assert found[1].startswith("b.yaml:")
        assert "a.yaml" in found[1]
        assert found[2].startswith("c.yaml:2")
        assert found[3].startswith("d.yaml")
        assert "192.0.2.1" in found[3]
        assert found[3].count("Service default/out") == 1
        assert len(found) == 4
