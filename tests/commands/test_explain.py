"""`dnsd explain`, of a running dnsd and of manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.running import Capture, Running, complaint, run
from tests.serving import ROOT, service

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

    def test_steps_objects_and_similar_names_are_printed(
        self, there: Running, capsys: Capture
    ) -> None:
        out = run(capsys, "explain", "webb", *there.flags).out
        assert "\n  fail  service    namespace default has no Service webb\n" in out
        assert "\nSimilar names that exist\n  web.default.svc.cluster.local.  Service web in" in out
        assert "\nSearch list of the Pod, in order\n  webb.default.svc.cluster.local.  nxd" in out
        out = run(capsys, "explain", "web", *there.flags).out
        assert "\nObjects\n  Service default/web (web.yaml" in out
        assert "\nAnswer\n  web.default.svc.cluster.local. 5 IN A 10.96.0.1\n" in out

    def test_an_alias_of_an_external_name_resolves(self, there: Running, capsys: Capture) -> None:
        assert run(capsys, "explain", "outside.prod", *there.flags).code == 0

    def test_the_namespace_completes_the_name(self, there: Running, capsys: Capture) -> None:
        assert run(capsys, "explain", "outside", *there.flags).code == 3
        assert run(capsys, "explain", "outside", "--namespace", "prod", *there.flags).code == 0

    def test_json_is_the_response_of_the_api(self, there: Running, capsys: Capture) -> None:
        found = run(capsys, "explain", "web", "SRV", "--json", *there.flags)
        assert found.json["outcome"] == "answer"
        assert found.json["type"] == "SRV"
        assert found.json["steps"][0]["what"]

    def test_the_last_change_is_printed(self, there: Running, capsys: Capture) -> None:
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
    def test_an_invalid_question_is_refused(
        self, there: Running, arguments: list[str], line: str, capsys: Capture
    ) -> None:
        assert complaint(capsys, ["explain", *arguments, *there.flags], 1) == line

    def test_control_characters_of_a_name_are_escaped(
        self, there: Running, capsys: Capture
    ) -> None:
        out = run(capsys, "explain", "a\x1b[31m\u202e.default", *there.flags)
        assert "\x1b" not in out.out + out.err
        assert "\u202e" not in out.out + out.err


class TestOfManifests:
    @pytest.mark.parametrize(("name", "type_", "code", "verdict"), CASES)
    def test_manifests_give_the_same_verdict(
        self, manifests: Path, name: str, type_: str, code: int, verdict: str, capsys: Capture
    ) -> None:
        found = run(capsys, "explain", name, type_, "--manifests", str(manifests))
        assert found.code == code
        assert found.out.startswith(verdict)

    def test_verdict_and_steps_are_the_same_for_both(self, there: Running, capsys: Capture) -> None:
        flags = ("explain", "hollow.prod", "--json")
        running = run(capsys, *flags, *there.flags).json
        offline = run(capsys, *flags, "--manifests", str(there.manifests)).json
        assert offline["verdict"] == running["verdict"]
        assert [one["what"] for one in offline["steps"]] == [
            one["what"] for one in running["steps"]
        ]

    def test_a_given_server_wins_over_manifests(
        self, there: Running, manifests: Path, capsys: Capture
    ) -> None:
        arguments = ("explain", "api", "--manifests", str(manifests))
        assert run(capsys, *arguments).code == 3
        assert run(capsys, *arguments, *there.flags).code == 0

    def test_problems_of_manifests_are_on_stderr(self, manifests: Path, capsys: Capture) -> None:
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
    def test_an_invalid_question_is_refused(
        self, manifests: Path, arguments: list[str], line: str, capsys: Capture
    ) -> None:
        error = complaint(capsys, ["explain", *arguments, "--manifests", str(manifests)], 2)
        assert error == line


FOLDER = str(ROOT / "config" / "examples" / "outside")
EXTERNAL = ("--manifests", FOLDER, "--outside-zones", "{name: k8s.example.com, ttl: 30}")


def test_a_pending_external_name_is_nodata(capsys: Capture) -> None:
    found = run(capsys, "explain", *EXTERNAL, "soon.shop.k8s.example.com")
    assert found.code == 4
    assert "pending: status.loadBalancer.ingress is empty" in found.out


def test_the_view_of_the_client_decides(capsys: Capture) -> None:
    views = ("--views", '{networks: ["10.0.0.0/8"], see: inside}')
    name = "web.shop.k8s.example.com."
    hidden = run(capsys, "explain", *EXTERNAL, *views, "--client", "10.0.0.1", name)
    assert hidden.code == 3
    assert "10.0.0.1 sees only the zones of the cluster" in hidden.out
    assert run(capsys, "explain", *EXTERNAL, *views, "--client", "192.0.2.1", name).code == 0
