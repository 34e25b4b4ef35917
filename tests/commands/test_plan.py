"""`dnsd plan`, against a running dnsd and against manifests."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from dnsd.commands.plan import MAX_BYTES, Text, joined
from tests.commands.running import Capture, Running, complaint, run
from tests.serving import ENVIRONMENT, ROOT, command, service

NEW = service("new", "10.96.9.9")


def path_of(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.fixture(params=["running", "manifests"])
def against(request: pytest.FixtureRequest, there: Running) -> tuple[str, ...]:
    """Flags that compare with the running server, or with the manifests it serves."""
    if request.param == "running":
        return there.flags
    return ("--manifests", str(there.manifests))


class TestExitCodes:
    def test_exit_code_0_when_no_name_vanishes(
        self, against: tuple[str, ...], tmp_path: Path, capsys: Capture
    ) -> None:
        found = run(capsys, "plan", "-f", path_of(tmp_path, "new.yaml", NEW), *against)
        assert (found.code, found.err) == (0, "")
        lines = found.out.splitlines()
        assert lines[0] == "2 names would appear."
        assert {line.split()[0] for line in lines[2:]} == {"+"}
        assert any(line.split()[1:] == ["new.default.svc.cluster.local.", "A", "10.96.9.9"]
                   for line in lines)  # fmt: skip

    def test_exit_code_0_when_nothing_differs(
        self, against: tuple[str, ...], there: Running, capsys: Capture
    ) -> None:
        file = str(there.manifests / "web.yaml")
        found = run(capsys, "plan", "-f", file, *against)
        assert (found.code, found.out) == (0, "No name would change.\n")

    def test_a_file_name_that_is_not_utf_8_is_escaped(
        self, against: tuple[str, ...], tmp_path: Path, capsys: Capture
    ) -> None:
        file = path_of(tmp_path, os.fsdecode(b"new\xff.yaml"), NEW + "---\nkind: 5\n")
        found = run(capsys, "plan", "-f", file, *against)
        assert found.out.splitlines()[0] == "2 names would appear."
        assert r"new\xff.yaml:" in found.out

    def test_exit_code_3_when_an_address_changes_and_its_reverse_name_vanishes(
        self, against: tuple[str, ...], tmp_path: Path, capsys: Capture
    ) -> None:
        file = path_of(tmp_path, "web.yaml", service("web", "10.96.0.77"))
        found = run(capsys, "plan", "-f", file, *against)
        assert "~ web.default.svc.cluster.local." in found.out
        assert "10.96.0.1 -> 10.96.0.77" in found.out
        assert found.code == 3

    def test_exit_code_3_when_names_would_vanish(
        self, against: tuple[str, ...], there: Running, capsys: Capture
    ) -> None:
        file = str(there.manifests / "web.yaml")
        found = run(capsys, "plan", "--delete", "-f", file, *against)
        assert found.code == 3
        assert found.out.startswith("4 names would vanish")
        assert "\n- web.default.svc.cluster.local. " in found.out

    def test_exit_code_3_when_whole_deletes_the_rest(
        self, against: tuple[str, ...], there: Running, tmp_path: Path, capsys: Capture
    ) -> None:
        file = path_of(tmp_path, "web.yaml", service("web", "10.96.0.1"))
        found = run(capsys, "plan", "--whole", "-f", file, *against)
        assert found.code == 3
        assert "- api.default.svc.cluster.local. " in found.out
        assert "- web.default" not in found.out

    def test_exit_code_4_for_conflicts(
        self, against: tuple[str, ...], tmp_path: Path, capsys: Capture
    ) -> None:
        file = path_of(tmp_path, "thief.yaml", service("thief", "10.96.0.1"))
        found = run(capsys, "plan", "-f", file, *against)
        assert found.code == 4
        assert "conflict: 10.96.0.1 " in found.out

    def test_exit_code_2_for_invalid_manifests(
        self, against: tuple[str, ...], tmp_path: Path, capsys: Capture
    ) -> None:
        first = path_of(tmp_path, "good.yaml", NEW)
        second = path_of(tmp_path, "wrong.yaml", NEW + service("x" * 64, ""))
        found = run(capsys, "plan", "-f", first, "-f", second, *against)
        assert found.code == 2
        line = next(line for line in found.out.splitlines() if line.startswith("problem: "))
        assert line.startswith(f"problem: {second}:8:")


class TestManifests:
    def test_a_directory_is_read_with_its_subdirectories(
        self, there: Running, tmp_path: Path, capsys: Capture
    ) -> None:
        folder = tmp_path / "deploy" / "deeper"
        folder.mkdir(parents=True)
        path_of(folder, "a.yml", service("a", "10.96.9.1"))
        plain = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}}
        plain["spec"] = {"clusterIP": "10.96.9.2", "ports": [{"port": 80}]}
        path_of(folder.parent, "b.json", json.dumps(plain, indent="\t"))
        path_of(folder, "notes.txt", "no manifest")
        found = run(capsys, "plan", "-f", str(folder.parent), "--json", *there.flags)
        names = {row["name"] for row in found.json["appear"] if row["type"] == "A"}
        assert names == {"a.default.svc.cluster.local.", "b.default.svc.cluster.local."}
        assert found.json["objects"] == 2

    def test_a_dash_reads_stdin(self, there: Running) -> None:
        found = subprocess.run(
            command(["plan", "-f", "-", *there.flags]),
            input=NEW, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=True,
        )  # fmt: skip
        assert found.stdout.startswith("2 names would appear.")

    def test_recent_queries_are_printed(self, there: Running, capsys: Capture) -> None:
        from tests.helpers import until

        file = str(there.manifests / "web.yaml")
        there.server.query("web.default.svc.cluster.local")

        def reported() -> bool:
            there.server.query("web.default.svc.cluster.local")
            out = run(capsys, "plan", "--delete", "-f", file, *there.flags).out
            return "queries in 10 min)" in out

        until(reported)

    def test_several_files_become_one_body_with_known_lines(self) -> None:
        texts = [Text("a.yaml", b"x: 1\ny: 2"), Text("b.json", b'{\n"z": 3}'), Text("c", b"w: 1\n")]
        body, kind, starts = joined(texts)
        assert body == b'x: 1\ny: 2\n---\n{"z":3}\n---\nw: 1\n'
        assert kind == "application/yaml"
        assert starts == [(1, "a.yaml"), (4, "b.json"), (6, "c")]

    def test_one_json_file_is_sent_unchanged(self) -> None:
        assert joined([Text("b.json", b'{"z":\t3}')])[:2] == (b'{"z":\t3}', "application/json")

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            ([], "-f: is missing; see dnsd plan --help"),
            (["-f", "missing.yaml"], "-f: missing.yaml: No such file or directory"),
        ],
    )
    def test_wrong_usage_is_refused(self, arguments: list[str], line: str, capsys: Capture) -> None:
        assert complaint(capsys, ["plan", *arguments], 2) == line

    def test_manifests_over_the_limit_are_refused(self, tmp_path: Path, capsys: Capture) -> None:
        file = tmp_path / "big.yaml"
        with file.open("wb") as opened:
            opened.truncate(MAX_BYTES + 1)
        error = complaint(capsys, ["plan", "-f", str(file)], 2)
        assert error == f"-f: {file}: the manifests exceed 8 MiB in total"

    def test_an_empty_directory_is_refused(self, tmp_path: Path, capsys: Capture) -> None:
        error = complaint(capsys, ["plan", "-f", str(tmp_path)], 2)
        assert error == f"-f: {tmp_path} has no .yaml, .yml, .json files"

    def test_invalid_json_is_refused(self, there: Running, tmp_path: Path, capsys: Capture) -> None:
        files = ["-f", path_of(tmp_path, "a.json", "{"), "-f", path_of(tmp_path, "b.yaml", NEW)]
        error = complaint(capsys, ["plan", *files, *there.flags], 2)
        assert error.startswith(f"-f: {tmp_path}/a.json: is not JSON")

    def test_nothing_is_applied(self, there: Running, tmp_path: Path, capsys: Capture) -> None:
        before = run(capsys, "zone", *there.flags).out
        run(capsys, "plan", "-f", path_of(tmp_path, "new.yaml", NEW), *there.flags)
        assert run(capsys, "zone", *there.flags).out == before


def test_json_is_the_response_of_the_api(there: Running, tmp_path: Path, capsys: Capture) -> None:
    file = path_of(tmp_path, "new.yaml", NEW)
    found = run(capsys, "plan", "-f", file, "--json", *there.flags)
    assert {"verdict", "breaks", "appear", "vanish", "change", "conflicts"} <= set(found.json)
    offline = run(capsys, "plan", "-f", file, "--json", "--manifests", str(there.manifests))
    assert set(offline.json) == set(found.json)
    assert msgspec.json.encode(offline.json["vanish"]) == b"[]"
    assert os.path.exists(file)


FOLDER = str(ROOT / "config" / "examples" / "outside")
EXTERNAL = ("--manifests", FOLDER, "--outside-zones", "{name: k8s.example.com, ttl: 30}")


def test_external_names_are_planned(capsys: Capture, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    text = "{kind: Service, metadata: {name: new}, spec: {externalIPs: [198.51.100.9]}}"
    new.write_text(text)
    out = run(capsys, "plan", *EXTERNAL, "-f", str(new)).out
    assert "new.default.k8s.example.com" in out
