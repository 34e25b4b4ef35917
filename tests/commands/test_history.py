"""`dnsd history`: the changes of names."""

from __future__ import annotations

import re
from pathlib import Path

from tests.commands.running import Capture, Running, complaint, run, running
from tests.helpers import until
from tests.serving import service

WEB = "web.default.svc.cluster.local"


def test_changes_are_printed_newest_first(tmp_path: Path, capsys: Capture) -> None:
    with running(tmp_path, web=service("web", "10.96.0.1")) as there:
        flags = ("history", WEB, *there.flags)
        assert run(capsys, *flags).out.startswith("no change in the history matches")
        (there.manifests / "web.yaml").write_text(service("web", "10.96.0.2"))
        out = until(lambda: "+ 5" in run(capsys, *flags).out and run(capsys, *flags).out)
        head, because, before, after = out.splitlines()[:4]
        assert re.fullmatch(rf"\S+ \S+  serial \d+  {re.escape(WEB)}\. A", head)
        assert because.startswith("  caused by Service default/web (web.yaml")
        assert (before, after) == ("  - 5 10.96.0.1", "  + 5 10.96.0.2")
        (there.manifests / "web.yaml").unlink()
        until(lambda: len(run(capsys, *flags, "--json").json["changes"]) > 2)
        newest = run(capsys, *flags, "--limit", "1", "--json").json["changes"]
        assert [one["after"] for one in newest] == [None]
        service_too = ("history", "--service", "default/web", "--json", *there.flags)
        names = {one["name"] for one in run(capsys, *service_too).json["changes"]}
        assert {f"{WEB}.", "2.0.96.10.in-addr.arpa."} <= names
        assert run(capsys, *flags, "--since", "0.001s", "--json").json["changes"] == []
        everything = run(capsys, "history", "--json", *there.flags).json["changes"]
        assert len(everything) >= len(names)


def test_a_service_requires_its_namespace(capsys: Capture) -> None:
    error = complaint(capsys, ["history", "--service", "web"], 2)
    assert error == "--service: web: write NAMESPACE/NAME"


def test_an_invalid_time_is_refused(there: Running, capsys: Capture) -> None:
    error = complaint(capsys, ["history", "--since", "then", *there.flags], 1)
    assert error == "since: write 90s, 2h, 7d, an ISO 8601 time, or seconds"
