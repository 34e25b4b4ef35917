"""The command line: what it says, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import dns.rdatatype
import dns.zone
import pytest

from dnsd import __version__
from dnsd.cli import main
from dnsd.commands import COMMANDS
from dnsd.control.settings import Settings
from dnsd.settings.schema import Group, declared, flag_of
from tests.serving import ENVIRONMENT, SEED, dnsd, service

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_plain_environment() -> None:
    import os

    for name in set(os.environ) - set(ENVIRONMENT):
        del os.environ[name]


def refused(capsys: Capture, *arguments: str) -> str:
    """The one line on stderr of a command line that is refused."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("dnsd: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("dnsd: ").rstrip("\n")


class TestHelp:
    def test_the_version(self, capsys: Capture) -> None:
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"dnsd {__version__}\n"

    def test_the_first_page_teaches(self, capsys: Capture) -> None:
        assert main(["--help"]) == 0
        page = capsys.readouterr().out
        assert "dnsd serve --manifests" in page
        assert all(name in page for name in COMMANDS)

    def test_no_command_at_all_shows_it_and_is_wrong_usage(self, capsys: Capture) -> None:
        assert main([]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Examples:" in captured.err

    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_command_has_examples(self, name: str, capsys: Capture) -> None:
        assert main([name, "--help"]) == 0
        assert f"  dnsd {name} " in capsys.readouterr().out.partition("Examples:")[2]

    def test_serve_has_every_setting_in_its_group(self, capsys: Capture) -> None:
        main(["serve", "--help"])
        page = capsys.readouterr().out
        places = [page.index(f"\n{group}:\n") for group in Group]
        assert places == sorted(places)
        for name in declared(Settings):
            assert f"  {flag_of(name)} " in page

    def test_python_m_dnsd_is_the_same(self) -> None:
        assert dnsd("--version").stdout == f"dnsd {__version__}\n"


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["serv"], "serv: no such command; did you mean serve?"),
            (["xyzzy"], "xyzzy: no such command; there are serve, check, zone"),
            (["serve", "--lisen", "x"], "--lisen: no such option; did you mean --listen?"),
            (["--zone"], "--zone: no such option"),
            (["serve", "--ttl"], "Option '--ttl' requires an argument."),
            (["serve", "--ttl", "x"], "--ttl: x is not a whole number"),
            (["serve", "x"], "x: not expected here; give settings as --flag VALUE"),
            (["check", str(SEED)], f"{SEED}: give a directory of manifests as --manifests "),
            (["check", __file__], f"{__file__}: give it as --config {__file__}, or its direct"),
            (["serve"], "no source of Services; give --manifests DIR"),
            (
                ["zone", "--server", "ftp://x"],
                "--server: 'ftp://x' is not a URL; write it like http",
            ),
            (["explain"], "NAME: is missing; dnsd explain --help shows how"),
            (["check"], "nothing to check; give --config FILE or --manifests DIR"),
            (["zone", "--format", "xml"], "--format: 'xml' is not one of"),
            (
                ["zone", "--manifests", str(SEED), "x.y"],
                "ZONE: x.y: does not exist; the zones are clus",
            ),
            (
                ["zone", "--manifests", str(SEED), ".."],
                "ZONE: ..: does not exist; the zones are clus",
            ),
        ],
    )
    def test_one_line(self, arguments: list[str], line: str, capsys: Capture) -> None:
        assert refused(capsys, *arguments).startswith(line)

    def test_all_problems_of_a_configuration(self, capsys: Capture, tmp_path: Path) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text("ttl: x\nlisten: here\n")
        assert main(["serve", "--config", str(config)]) == 2
        assert capsys.readouterr().err.splitlines() == [
            f"dnsd: {config}:1: ttl: x is not a whole number",
            f"dnsd: {config}:2: listen: here is not an address and port, like 127.0.0.1:1053"
            " or '[::1]:1053'",
        ]


class TestCheck:
    def test_good_manifests(self, capsys: Capture) -> None:
        assert main(["check", "--manifests", str(SEED)]) == 0
        line = capsys.readouterr().out
        assert "8 Service, " in line
        assert "1 Deployment (skipped)" in line

    def test_a_good_configuration(self, capsys: Capture, tmp_path: Path) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text(f"ttl: 30\nmanifests: {SEED}\n")
        assert main(["check", "--config", str(config)]) == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first == f"{config}: 2 settings, no errors"
        assert second.startswith(f"{SEED}: 9 files")

    def test_a_zone_that_is_there_twice(self, capsys: Capture, tmp_path: Path) -> None:
        """What `serve` refuses later than the values themselves."""
        config = tmp_path / "dnsd.yaml"
        config.write_text("outside_zones: [cluster.local]\n")
        assert "cluster.local is a zone already" in refused(
            capsys, "check", "--config", str(config)
        )

    def test_bad_manifests(self, capsys: Capture, tmp_path: Path) -> None:
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


class TestZone:
    def test_the_text_is_a_zone_file(self, capsys: Capture) -> None:
        assert main(["zone", "--manifests", str(SEED), "cluster.local"]) == 0
        text = capsys.readouterr().out
        zone = dns.zone.from_text(text, origin="cluster.local.", relativize=False)
        webui = zone.find_rdataset("webui-svc.default.svc.cluster.local.", "A")
        assert [rdata.to_text() for rdata in webui] == ["10.96.100.100"]
        assert zone.find_rdataset("cluster.local.", "SOA")
        external = zone.find_rdataset("externalname-svc.default.svc.cluster.local.", "CNAME")
        assert external[0].to_text() == "google.com."

    def test_all_zones_one_after_the_other(self, capsys: Capture) -> None:
        main(["zone", "--manifests", str(SEED)])
        parts = capsys.readouterr().out.split("$ORIGIN ")[1:]
        assert parts[0].startswith("cluster.local.\n")
        assert len(parts) > 1
        for part in parts:
            dns.zone.from_text("$ORIGIN " + part, origin=part.split("\n")[0])

    def test_json_has_the_same_records(self, capsys: Capture) -> None:
        main(["zone", "--manifests", str(SEED), "--format", "json", "cluster.local"])
        (found,) = json.loads(capsys.readouterr().out)["zones"]
        main(["zone", "--manifests", str(SEED), "cluster.local"])
        zone = dns.zone.from_text(capsys.readouterr().out, relativize=False)
        as_text = {
            (str(name), dns.rdatatype.to_text(rdataset.rdtype))
            for name, rdataset in zone.iterate_rdatasets()
        }
        assert {(rrset["name"], rrset["type"]) for rrset in found["rrsets"]} == as_text

    def test_the_same_manifests_give_the_same_text(self, capsys: Capture) -> None:
        main(["zone", "--manifests", str(SEED)])
        first = capsys.readouterr().out
        main(["zone", "--manifests", str(SEED)])
        assert capsys.readouterr().out == first

    def test_settings_of_names_count(self, capsys: Capture) -> None:
        main(["zone", "--manifests", str(SEED), "--zone", "a.example", "--ttl", "77", "a.example"])
        lines = capsys.readouterr().out.splitlines()[1:]
        assert all("a.example.\t" in line for line in lines)
        assert any("\t77\tIN\tA\t" in line for line in lines)

    def test_problems_are_told_and_the_rest_is_printed(
        self, capsys: Capture, tmp_path: Path
    ) -> None:
        (tmp_path / "a.yaml").write_text(service("web", "10.96.0.1"))
        (tmp_path / "b.yaml").write_text("kind: [\n")
        assert main(["zone", "--manifests", str(tmp_path)]) == 0
        captured = capsys.readouterr()
        assert captured.err.startswith(f"dnsd: {tmp_path}/b.yaml:")
        assert "web.default.svc.cluster.local." in captured.out

    def test_a_reader_that_leaves_early_causes_no_noise(self) -> None:
        import subprocess
        import sys

        line = f"{sys.executable} -m dnsd zone --manifests {SEED} | head -1"
        found = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert found.stderr == ""
        assert found.stdout == "$ORIGIN cluster.local.\n"


class TestImports:
    """What a command does not need, it does not pay for at its start."""

    def test_serving_manifests_needs_no_cluster_client_and_no_http(self) -> None:
        import subprocess
        import sys

        program = (
            "import sys, dnsd.commands.serve, dnsd.server, dnsd.sources.manifests.source;"
            "print(*[name for name in ('kubernetes', 'aiohttp') if name in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert found.stdout.strip() == ""

    def test_a_worker_imports_little(self) -> None:
        import subprocess
        import sys

        program = (
            "import sys, dnsd.worker.main;"
            "heavy = ('kubernetes', 'aiohttp', 'yaml', 'click', 'dnsd.settings.load');"
            "print(*[name for name in heavy if name in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert found.stdout.strip() == ""
