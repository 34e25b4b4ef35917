"""docs/commands.md and the picture of the first screen show the real output of the commands."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dnsd.cli import main
from dnsd.commands import COMMANDS
from tests.serving import SEED, dnsd

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
PICTURE = ROOT / "docs" / "images" / "first-screen.svg"
SECTIONS = dict(re.findall(r"^## dnsd (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
EXAMPLES = re.findall(r"^```\n\$ (dnsd [^\n]*--manifests [^\n]*)\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_section_with_an_example(name: str) -> None:
    assert f"[`dnsd {name}`](#dnsd-{name})" in PAGE
    assert re.search(rf"^```\n(?:\$ )?dnsd {name} |^```\ndnsd {name}\n", SECTIONS[name], re.M)


def test_each_section_is_that_of_a_command() -> None:
    assert list(SECTIONS) == list(COMMANDS)


@pytest.mark.parametrize(("line", "output"), EXAMPLES, ids=[line for line, _ in EXAMPLES])
def test_an_example_shows_the_real_output(
    line: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, _, head = line.partition(" | head -")
    with contextlib.chdir(ROOT):
        main(shlex.split(command)[1:])
    found = capsys.readouterr().out.splitlines()
    assert (found[: int(head)] if head else found) == output.splitlines()


def test_the_commands_without_a_server_have_examples_with_output() -> None:
    assert {line.split()[1] for line, _ in EXAMPLES} == {"check", "zone", "explain", "plan"}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("serve", "check")])
def test_each_flag_of_the_page_exists(name: str) -> None:
    """The flags in the section of a command and in the section on connections."""
    known = set(re.findall(r"(?<!\S)--?[a-z-]+", dnsd(name, "--help").stdout))
    if name in ("query", "status", "history", "top"):
        known.add("--manifests")  # the shared section names the commands that take it
    which = PAGE.partition("## Connection to a running dnsd")[2].partition("\n## ")[0]
    code = re.findall(r"`([^`\n]*)`", SECTIONS[name] + which)
    named = {flag for text in code for flag in re.findall(r"(?<!\S)--?[a-z-]+", text)}
    assert named
    assert named <= known


def test_the_exit_codes_are_those_of_the_help() -> None:
    for name in ("explain", "query", "plan", "status"):
        help_ = " ".join(dnsd(name, "--help").stdout.split())
        listed = set(re.findall(r"(?:codes:|,) (\d) ", help_.partition("Exit codes:")[2]))
        rows = re.findall(r"^\| (\d) \| ([^|]*) \|", PAGE, re.M)
        assert {code for code, of in rows if f"`{name}`" in of} <= listed | {"1", "2"}
        assert {code for code in listed if int(code) > 2} == {
            code for code, of in rows if f"`{name}`" in of and int(code) > 2
        }


class TestPicture:
    """docs/pictures.py draws it from the output of the commands."""

    text = "\n".join(ElementTree.parse(PICTURE).getroot().itertext()).replace("\xa0", " ")

    @pytest.mark.parametrize(
        "words",
        [
            "make run",
            "webui-svc.default.svc.cluster.local. 5",
            "10.96.100.100",
            "CNAME google.com.",
            "does not exist (NXDOMAIN)",
        ],
    )
    def test_the_picture_shows_the_answers_of_the_readme(self, words: str) -> None:
        assert words in self.text

    def test_the_explanation_is_up_to_date(self) -> None:
        name = re.search(r"dnsd explain (\S+)", self.text)
        assert name
        found = dnsd("explain", name[1], "--manifests", str(SEED))
        assert found.stdout.splitlines()[0] in self.text

    def test_the_picture_shows_no_path_of_a_machine_and_no_token(self) -> None:
        source = PICTURE.read_text(encoding="utf-8")
        assert re.findall(r"/(?:home|root|tmp|work|Users)/", source) == []
        assert set(re.findall(r"token=\S", source)) == {"token=…"}
        assert "@font-face" not in source
