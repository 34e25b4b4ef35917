"""`query`, `status`, `history`, `top` and `zone` of a running dnsd."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dnsd.commands.printing import ago, count, plain, short, span
from dnsd.commands.top import outcomes, sparkline
from tests.commands.running import Capture, Running, complaint, run, running
from tests.helpers import until
from tests.serving import ENVIRONMENT, command, service

WEB = "web.default.svc.cluster.local"


class TestQuery:
    @pytest.mark.parametrize(
        ("name", "type_", "code", "first"),
        [
            (WEB, "A", 0, "NOERROR  flags: aa rd"),
            ("none.default.svc.cluster.local", "A", 3, "NXDOMAIN  flags: aa rd"),
            (WEB, "AAAA", 4, "NOERROR, no record of that type (NODATA)  flags: aa rd"),
            ("example.org", "A", 5, "REFUSED  flags: rd"),
        ],
    )
    def test_answers_and_exit_codes(
        self, there: Running, name: str, type_: str, code: int, first: str, capsys: Capture
    ) -> None:
        found = run(capsys, "query", name, type_, *there.flags)
        assert (found.code, found.out.splitlines()[0]) == (code, first)

    def test_the_records(self, there: Running, capsys: Capture) -> None:
        out = run(capsys, "query", WEB, *there.flags).out
        assert out.endswith(f"\nAnswer\n  {WEB}.  5  A  10.96.0.1\n")

    def test_short(self, there: Running, capsys: Capture) -> None:
        assert run(capsys, "query", "--short", WEB, *there.flags).out == "10.96.0.1\n"

    def test_json(self, there: Running, capsys: Capture) -> None:
        found = run(capsys, "query", "--json", "--over", "udp", WEB, *there.flags).json
        assert found["answer"][0]["value"] == "10.96.0.1"
        assert bytes.fromhex(found["reply"])[2] & 0x80

    def test_a_client_that_may_not_ask(self, tmp_path: Path, capsys: Capture) -> None:
        flags = ("--allow-query", "127.0.0.0/8")
        with running(tmp_path, *flags, web=service("web", "10.96.0.1")) as there:
            asked = ("query", WEB, *there.flags)
            assert run(capsys, *asked, "--client", "127.0.0.1").code == 0
            assert run(capsys, *asked, "--client", "192.0.2.1").code == 5


class TestStatus:
    def test_in_words(self, there: Running, capsys: Capture) -> None:
        there.server.ask(WEB)
        found = run(capsys, "status", *there.flags)
        assert found.code == 0
        assert re.match(r"dnsd \S+: ready \(synced\)\n", found.out)
        for part in ("listen", "\nSources\n  manifests  synced", "\nWorkers\n  0  open"):
            assert part in found.out
        assert "2 ClusterIP, 1 ExternalName, 1 headless" in found.out

    def test_json(self, there: Running, capsys: Capture) -> None:
        assert run(capsys, "status", "--json", *there.flags).json["ready"]["ok"] is True

    def test_3_when_it_is_not_ready(self, tmp_path: Path, capsys: Capture) -> None:
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

    def test_what_is_not_served(self, tmp_path: Path, capsys: Capture) -> None:
        wrong = (
            "kind: Service\napiVersion: v1\nmetadata: {name: out}\n"
            "spec: {type: ExternalName, externalName: 192.0.2.1}\n"
        )
        with running(tmp_path, wrong=wrong) as there:
            out = run(capsys, "status", *there.flags).out
        assert "\nProblems\n  Service default/out  " in out


class TestHistory:
    def test_every_change_of_a_name(self, tmp_path: Path, capsys: Capture) -> None:
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

    def test_a_service_without_its_namespace(self, capsys: Capture) -> None:
        said = complaint(capsys, ["history", "--service", "web"], 2)
        assert said == "--service: web: write NAMESPACE/NAME"

    def test_a_time_that_is_none(self, there: Running, capsys: Capture) -> None:
        said = complaint(capsys, ["history", "--since", "then", *there.flags], 1)
        assert said == "since: write 90s, 2h, 7d, an ISO 8601 time, or seconds"


class TestZone:
    def test_the_same_as_of_its_manifests(self, there: Running, capsys: Capture) -> None:
        """The serial, and where it listens, are the only difference."""
        texts = []
        for flags in (there.flags, ("--manifests", str(there.manifests))):
            out = run(capsys, "zone", "cluster.local", *flags).out
            texts.append(sorted(re.sub(r"(hostmaster\S+) \d+", r"\1", out).splitlines()))
        assert texts[0] == texts[1]
        assert texts[0][0] == "$ORIGIN cluster.local."

    def test_all_zones(self, there: Running, capsys: Capture) -> None:
        origins = re.findall(r"\$ORIGIN (\S+)", run(capsys, "zone", *there.flags).out)
        assert origins[0] == "cluster.local."
        assert len(origins) > 1

    def test_json(self, there: Running, capsys: Capture) -> None:
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

    def test_a_reader_that_leaves_early_causes_no_noise(self, there: Running) -> None:
        import shlex

        line = shlex.join(command(["zone", *there.flags])) + " | head -1"
        found = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT, check=False
        )
        assert (found.stdout, found.stderr) == ("$ORIGIN cluster.local.\n", "")

    def test_no_such_zone(self, there: Running, capsys: Capture) -> None:
        said = complaint(capsys, ["zone", "x.y", *there.flags], 2)
        assert said.startswith("ZONE: x.y: does not exist; the zones are cluster.local, ")

    def test_nobody_to_ask(self, capsys: Capture) -> None:
        said = complaint(capsys, ["zone", "--server", "http://127.0.0.1:1"], 1)
        assert said.startswith("no dnsd at http://127.0.0.1:1: ")


class TestTop:
    def test_once(self, there: Running, capsys: Capture) -> None:
        missing = "missing.default.svc.cluster.local"

        def seen() -> str:
            there.server.ask(WEB)
            there.server.ask(missing)
            out = run(capsys, "top", "--once", *there.flags).out
            return out if out.count(missing) == 2 else ""

        out = until(seen)
        assert "NXDOMAIN" in out
        assert "127.0.0.1" in out.partition("Clients")[2]
        assert "types: A " in out
        assert "\x1b" not in out

    def test_json(self, there: Running, capsys: Capture) -> None:
        found = run(capsys, "top", "--json", "--window", "10m", *there.flags).json
        assert found["top"]["window"] == "10m"
        assert found["status"]["version"]

    def test_on_a_terminal_it_goes_on_until_ctrl_c(self, tmp_path: Path) -> None:
        """And says so while dnsd is gone, with what it saw last."""
        with running(tmp_path, web=service("web", "10.96.0.1")) as there:
            screen = _Screen(["top", "--interval", "0.2", *there.flags])
            try:
                screen.wait_for("queries per second")
                there.server.process.kill()
                there.server.ended()
                screen.wait_for("connection refused")
                screen.process.send_signal(signal.SIGINT)
                assert until(lambda: screen.ended(), "Ctrl-C ends it") == [0]
            finally:
                screen.close()

    def test_nothing_there_from_the_start(self, capsys: Capture) -> None:
        assert complaint(capsys, ["top", "--server", "http://127.0.0.1:1"], 1)


class _Screen:
    """A command on a terminal of its own."""

    def __init__(self, arguments: list[str]) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        environ = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
        self.process = subprocess.Popen(
            command(arguments), stdin=slave, stdout=slave, stderr=slave, env=environ,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def wait_for(self, words: str) -> None:
        self.text = ""
        until(lambda: words in self.read(), f"the screen shows {words!r}")

    def read(self) -> str:
        try:
            self.text += os.read(self._master, 65536).decode("utf-8", "replace")
        except (BlockingIOError, OSError):
            time.sleep(0)
        return self.text

    def ended(self) -> list[int]:
        self.read()  # it must not wait for somebody to read
        code = self.process.poll()
        return [] if code is None else [code]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


class TestWords:
    @pytest.mark.parametrize(
        ("seconds", "text"), [(0, "-"), (2e-7, "<1 µs"), (25e-6, "25 µs"), (0.0015, "1.5 ms")]
    )
    def test_short_times(self, seconds: float, text: str) -> None:
        assert short(seconds) == text

    def test_long_times(self) -> None:
        assert [span(one) for one in (5, 90, 7200, 200_000)] == ["5 s", "2 min", "2 h", "2 d"]
        assert ago(0.0) == "never"
        assert ago(100.0, now=160.0) == "1 min ago"

    def test_counts(self) -> None:
        assert (count(1, "name"), count(1200, "name")) == ("1 name", "1,200 names")

    def test_nothing_that_a_terminal_obeys(self) -> None:
        assert plain("a\x1b[2Jb\nc\u200b\x9b") == "a\\x1b[2Jb\\nc\\u200b\\x9b"
        assert plain("naïve 名") == "naïve 名"

    def test_a_curve(self) -> None:
        assert sparkline([]) == sparkline([0.0]) == ""
        assert sparkline([0.0, 5.0, 10.0]) == " ▄█"

    def test_outcomes(self) -> None:
        rates = {"queries.udp.A.nxdomain": 1.0, "queries.tcp.A.nxdomain": 0.5, "udp.sent": 9.0}
        assert outcomes(rates) == "nxdomain 1.5"
        assert outcomes({}) == "no queries"
