"""The command line: its output, its streams, and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dnsd import __version__
from dnsd.cli import main
from dnsd.commands import COMMANDS
from dnsd.control.settings import Settings
from dnsd.settings.schema import Group, declared, flag_of
from tests.serving import ENVIRONMENT, SEED, dnsd

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
    def test_version_prints_the_version(self, capsys: Capture) -> None:
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"dnsd {__version__}\n"

    def test_the_help_lists_the_commands_and_an_example(self, capsys: Capture) -> None:
        assert main(["--help"]) == 0
        page = capsys.readouterr().out
        assert "dnsd serve --manifests" in page
        assert all(name in page for name in COMMANDS)

    def test_no_command_shows_the_help_and_is_wrong_usage(self, capsys: Capture) -> None:
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

    def test_python_m_dnsd_is_the_command(self) -> None:
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
            (["explain"], "NAME: is missing; see dnsd explain --help"),
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
    def test_wrong_usage_is_one_line_with_the_remedy(
        self, arguments: list[str], line: str, capsys: Capture
    ) -> None:
        assert refused(capsys, *arguments).startswith(line)

    def test_each_problem_of_a_configuration_is_one_line(
        self, capsys: Capture, tmp_path: Path
    ) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text("ttl: x\nlisten: here\n")
        assert main(["serve", "--config", str(config)]) == 2
        assert capsys.readouterr().err.splitlines() == [
            f"dnsd: {config}:1: ttl: x is not a whole number",
            f"dnsd: {config}:2: listen: here is not an address and port, like 127.0.0.1:1053"
            " or '[::1]:1053'",
        ]


class TestImports:
    """A command imports only what it needs, because imports cost start time and memory."""

    def imported(self, modules: str, *heavy: str) -> list[str]:
        """Which of the heavy modules the import of these modules brings along."""
        program = f"import sys, {modules}; print(*[one for one in {heavy!r} if one in sys.modules])"
        command = [sys.executable, "-c", program]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return found.stdout.split()

    def test_serving_manifests_imports_no_kubernetes_client_and_no_http(self) -> None:
        modules = "dnsd.commands.serve, dnsd.control.serve, dnsd.sources.manifests.source"
        assert self.imported(modules, "kubernetes", "aiohttp") == []

    def test_a_worker_imports_no_client_no_yaml_and_no_command_line(self) -> None:
        heavy = ("kubernetes", "aiohttp", "yaml", "click", "dnsd.settings.load")
        assert self.imported("dnsd.worker.main", *heavy) == []
