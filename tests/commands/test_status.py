"""`dnsd status`: the state and its exit code."""

from __future__ import annotations

import re
from pathlib import Path

from tests.commands.running import Capture, Running, run, running

WEB = "web.default.svc.cluster.local"


def test_the_text_has_readiness_sources_and_workers(there: Running, capsys: Capture) -> None:
    there.server.query(WEB)
    found = run(capsys, "status", *there.flags)
    assert found.code == 0
    assert re.match(r"dnsd \S+: ready \(synced\)\n", found.out)
    for part in ("listen", "\nSources\n  manifests  synced", "\nWorkers\n  0  open"):
        assert part in found.out
    assert "2 ClusterIP, 1 ExternalName, 1 headless" in found.out


def test_json_is_the_response_of_the_api(there: Running, capsys: Capture) -> None:
    assert run(capsys, "status", "--json", *there.flags).json["ready"]["ok"] is True


def test_exit_code_3_when_dnsd_is_not_ready(tmp_path: Path, capsys: Capture) -> None:
    from urllib.request import Request, urlopen

    with running(tmp_path) as there:
        headers = {
            "Authorization": f"Bearer {there.token}",
            "Content-Type": "application/json",
        }
        drain = Request(there.url + "/api/v1/drain", b"{}", headers, method="POST")
        with urlopen(drain, timeout=20):
            found = run(capsys, "status", *there.flags)
    assert found.code == 3
    assert "not ready (draining" in found.out


def test_problems_of_objects_are_listed(tmp_path: Path, capsys: Capture) -> None:
    wrong = (
        "kind: Service\napiVersion: v1\nmetadata: {name: out}\n"
        "spec: {type: ExternalName, externalName: 192.0.2.1}\n"
    )
    with running(tmp_path, wrong=wrong) as there:
        out = run(capsys, "status", *there.flags).out
    assert "\nProblems\n  Service default/out  " in out
