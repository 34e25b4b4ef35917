"""`dnsd explain`, of a running dnsd and of manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.running import Capture, Running, complaint, run
from tests.serving import service

CASES = [
    ("web.default.svc.cluster.local", "A", 0, "web.default.svc.cluster.local. A resolves to 10.96"),
    ("web", "A", 0, "web.default.svc.cluster.local. A resolves to 10.96.0.1"),
    ("webb", "A", 3, "webb.default.svc.cluster.local. does not exist (NXDOMAIN): "),
    ("web", "AAAA", 4, "web.default.svc.cluster.local. exists and has no AAAA record (NODATA)"),
    ("example.org.", "A", 5, "example.org. is an external name (REFUSED)"),
]


class TestOfARunningServer:
    @pytest.mark.parametrize(("name", "type_", "code", "verdict"), CASES)
    def test_verdict_and_exit_code(
        self, there: Running, name: str, type_: str, code: int, verdict: str, capsys: Capture
    ) -> None:
        found = run(capsys, "explain", name, type_, *there.flags)
        assert found.code == code
        assert found.out.startswith(verdict)

    def test_what_it_rests_on(self, there: Running, capsys: Capture) -> None:
        out = run(capsys, "explain", "webb", *there.flags).out
        assert "\n  fail  service    namespace default has no Service webb\n" in out
        assert "\nSimilar names that exist\n  web.default.svc.cluster.local.  Service web in" in out
        assert "\nSearch list of the Pod, in order\n  webb.default.svc.cluster.local.  nxd" in out
        out = run(capsys, "explain", "web", *there.flags).out
        assert "\nObjects\n  Service default/web (web.yaml" in out
        assert "\nAnswer\n  web.default.svc.cluster.local. 5 IN A 10.96.0.1\n" in out

    def test_an_alias_that_leads_elsewhere_resolves(self, there: Running, capsys: Capture) -> None:
        assert run(capsys, "explain", "outside.prod", *there.flags).code == 0

    def test_the_namespace_of_the_pod(self, there: Running, capsys: Capture) -> None:
        assert run(capsys, "explain", "outside", *there.flags).code == 3
        assert run(capsys, "explain", "outside", "--namespace", "prod", *there.flags).code == 0

    def test_json(self, there: Running, capsys: Capture) -> None:
        found = run(capsys, "explain", "web", "SRV", "--json", *there.flags)
        assert found.json["outcome"] == "answer"
        assert found.json["type"] == "SRV"
        assert found.json["steps"][0]["what"]

    def test_the_last_change(self, there: Running, capsys: Capture) -> None:
        from tests.helpers import until

        file = there.manifests / "moving.yaml"
        name = "moving.default.svc.cluster.local"
        for address in ("10.96.7.1", "10.96.7.2"):
            file.write_text(service("moving", address))
            until(lambda: there.server.values(name) == [address])  # noqa: B023
        out = run(capsys, "explain", name, *there.flags).out
        until(lambda: "10.96.7.1\n" in run(capsys, "explain", name, *there.flags).out)
        out = run(capsys, "explain", name, *there.flags).out
        assert "by Service default/moving (moving.yaml" in out.partition("Last change: ")[2]
        assert f"\n  - {name}. 5 IN A 10.96.7.1\n  + {name}. 5 IN A 10.96.7.2\n" in out

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["a..b"], "name: 'a..b' is not a domain name"),
            (["web", "NOTYPE"], "type: 'NOTYPE' is not a record type"),
            (["web", "--client", "here"], "client: 'here' is not an IP address"),
        ],
    )
    def test_bad_questions(
        self, there: Running, arguments: list[str], line: str, capsys: Capture
    ) -> None:
        assert complaint(capsys, ["explain", *arguments, *there.flags], 1) == line

    def test_a_terminal_gets_no_escape_from_a_name(self, there: Running, capsys: Capture) -> None:
        out = run(capsys, "explain", "a\x1b[31m\u202e.default", *there.flags)
        assert "\x1b" not in out.out + out.err
        assert "\u202e" not in out.out + out.err


class TestOfManifests:
    @pytest.mark.parametrize(("name", "type_", "code", "verdict"), CASES)
    def test_the_same_without_a_server(
        self, manifests: Path, name: str, type_: str, code: int, verdict: str, capsys: Capture
    ) -> None:
        found = run(capsys, "explain", name, type_, "--manifests", str(manifests))
        assert found.code == code
        assert found.out.startswith(verdict)

    def test_both_say_the_same(self, there: Running, capsys: Capture) -> None:
        flags = ("explain", "hollow.prod", "--json")
        running = run(capsys, *flags, *there.flags).json
        offline = run(capsys, *flags, "--manifests", str(there.manifests)).json
        assert offline["verdict"] == running["verdict"]
        assert [one["what"] for one in offline["steps"]] == [
            one["what"] for one in running["steps"]
        ]

    def test_a_server_that_is_named_beats_manifests(
        self, there: Running, manifests: Path, capsys: Capture
    ) -> None:
        arguments = ("explain", "api", "--manifests", str(manifests))
        assert run(capsys, *arguments).code == 3
        assert run(capsys, *arguments, *there.flags).code == 0

    def test_problems_are_told_aside(self, manifests: Path, capsys: Capture) -> None:
        (manifests / "broken.yaml").write_text("kind: [\n")
        found = run(capsys, "explain", "web", "--manifests", str(manifests))
        assert found.code == 0
        assert found.err.startswith(f"dnsd: {manifests}/broken.yaml:")

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["a..b"], "NAME: 'a..b' is not a domain name"),
            (["web", "NOTYPE"], "TYPE: 'NOTYPE' is not a record type"),
            (["web", "--client", "here"], "--client: 'here' is not an IP address"),
        ],
    )
    def test_bad_questions(
        self, manifests: Path, arguments: list[str], line: str, capsys: Capture
    ) -> None:
        said = complaint(capsys, ["explain", *arguments, "--manifests", str(manifests)], 2)
        assert said == line
