"""`dnsd zone`: the records of a running dnsd and of manifests."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import dns.rdatatype
import dns.zone

from dnsd.cli import main
from tests.commands.running import Capture, Running, complaint, run
from tests.serving import ENVIRONMENT, ROOT, SEED, command, service


def test_a_running_dnsd_prints_the_zone_of_its_manifests(there: Running, capsys: Capture) -> None:
    """The serial, and where it listens, are the only difference."""
    texts = []
    for flags in (there.flags, ("--manifests", str(there.manifests))):
        out = run(capsys, "zone", "cluster.local", *flags).out
        texts.append(sorted(re.sub(r"(hostmaster\S+) \d+", r"\1", out).splitlines()))
    assert texts[0] == texts[1]
    assert texts[0][0] == "$ORIGIN cluster.local."


def test_all_zones_are_printed_forward_zones_first(there: Running, capsys: Capture) -> None:
    origins = re.findall(r"\$ORIGIN (\S+)", run(capsys, "zone", *there.flags).out)
    assert origins[0] == "cluster.local."
    assert len(origins) > 1


def test_json_is_the_same_for_both(there: Running, capsys: Capture) -> None:
    running = run(capsys, "zone", "--json", "cluster.local", *there.flags).json
    flags = ("--format", "json", "--manifests", str(there.manifests))
    offline = run(capsys, "zone", "cluster.local", *flags).json

    def sets(shown: dict[str, list[dict[str, list[dict[str, object]]]]]) -> set[str]:
        return {
            f"{one['name']} {one['type']} {one['ttl']} {one['values']}"
            for one in shown["zones"][0]["rrsets"]
            if one["type"] != "SOA"
        }

    assert sets(running) == sets(offline)
    assert len(running["zones"][0]["rrsets"]) == len(offline["zones"][0]["rrsets"])


def test_a_closed_pipe_is_not_an_error(there: Running) -> None:
    import shlex

    line = shlex.join(command(["zone", *there.flags])) + " | head -1"
    found = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert (found.stdout, found.stderr) == ("$ORIGIN cluster.local.\n", "")


def test_an_unknown_zone_is_refused(there: Running, capsys: Capture) -> None:
    error = complaint(capsys, ["zone", "x.y", *there.flags], 2)
    assert error.startswith("ZONE: x.y: does not exist; the zones are cluster.local, ")


def test_without_a_dnsd_it_fails(capsys: Capture) -> None:
    error = complaint(capsys, ["zone", "--server", "http://127.0.0.1:1"], 1)
    assert error.startswith("no dnsd at http://127.0.0.1:1: ")


FOLDER = str(ROOT / "config" / "examples" / "outside")
EXTERNAL = ("--manifests", FOLDER, "--outside-zones", "{name: k8s.example.com, ttl: 30}")


def test_external_zones_come_after_the_zones_of_the_cluster(capsys: Capture) -> None:
    out = run(capsys, "zone", *EXTERNAL).out
    assert "www.k8s.example.com.\t30\tIN\tA\t192.0.2.10\n" in out
    assert out.index("cluster.local.") < out.index("k8s.example.com.") < out.index("in-addr.arpa.")
    alone = run(capsys, "zone", *EXTERNAL, "k8s.example.com").out
    assert "svc.cluster.local" not in alone


class TestManifests:
    def test_the_text_is_a_zone_file(self, capsys: Capture) -> None:
        assert main(["zone", "--manifests", str(SEED), "cluster.local"]) == 0
        text = capsys.readouterr().out
        zone = dns.zone.from_text(text, origin="cluster.local.", relativize=False)
        webui = zone.find_rdataset("webui-svc.default.svc.cluster.local.", "A")
        assert [rdata.to_text() for rdata in webui] == ["10.96.100.100"]
        assert zone.find_rdataset("cluster.local.", "SOA")
        external = zone.find_rdataset("externalname-svc.default.svc.cluster.local.", "CNAME")
        assert external[0].to_text() == "google.com."

    def test_all_zones_are_printed(self, capsys: Capture) -> None:
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

    def test_the_output_is_deterministic(self, capsys: Capture) -> None:
        main(["zone", "--manifests", str(SEED)])
        first = capsys.readouterr().out
        main(["zone", "--manifests", str(SEED)])
        assert capsys.readouterr().out == first

    def test_settings_of_names_apply(self, capsys: Capture) -> None:
        main(["zone", "--manifests", str(SEED), "--zone", "a.example", "--ttl", "77", "a.example"])
        lines = capsys.readouterr().out.splitlines()[1:]
        assert all("a.example.\t" in line for line in lines)
        assert any("\t77\tIN\tA\t" in line for line in lines)

    def test_problems_are_on_stderr_and_the_rest_is_printed(
        self, capsys: Capture, tmp_path: Path
    ) -> None:
        (tmp_path / "a.yaml").write_text(service("web", "10.96.0.1"))
        (tmp_path / "b.yaml").write_text("kind: [\n")
        assert main(["zone", "--manifests", str(tmp_path)]) == 0
        captured = capsys.readouterr()
        assert captured.err.startswith(f"dnsd: {tmp_path}/b.yaml:")
        assert "web.default.svc.cluster.local." in captured.out

    def test_a_reader_that_closes_the_pipe_causes_no_error(self) -> None:
        import subprocess
        import sys

        line = f"{sys.executable} -m dnsd zone --manifests {SEED} | head -1"
        found = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert found.stderr == ""
        assert found.stdout == "$ORIGIN cluster.local.\n"
