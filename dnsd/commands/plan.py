"""`dnsd plan`: list the names that manifests would add, remove, or change.

In `commands/` (the command line). Change here: how manifests are collected, and a plan is printed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from dnsd.commands.client import JSON, YAML
from dnsd.commands.options import settings_command, settings_from
from dnsd.commands.printing import echo, plain, print_json
from dnsd.commands.remote import connect, is_offline, read_offline, remote_options
from dnsd.control.settings import Settings
from dnsd.settings.schema import Group, SettingsError
from dnsd.sources.manifests.problems import printable

if TYPE_CHECKING:
    from dnsd.explain.plan import Mode

OK, PROBLEMS, VANISH, CONFLICTS = 0, 2, 3, 4
MAX_BYTES = 8 << 20  # the limit of the API
MAX_FILES = 2000
_SUFFIXES = (".yaml", ".yml", ".json")
_LINE = re.compile(r"\bmanifests\.(?:yaml|json):([0-9]+)")

_EXAMPLES = """\
dnsd plan -f new.yaml
dnsd plan -f deploy/ --manifests my/manifests
helm template my-chart | dnsd plan -f -
dnsd plan --delete -f old.yaml || echo "names would vanish"
dnsd plan --whole -f my/manifests --json"""


class Text(NamedTuple):
    """A manifest file. `name` is used in messages."""

    name: str
    data: bytes


@settings_command("plan", _EXAMPLES, groups=(Group.SOURCES, Group.NAMES, Group.EXTERNAL))
@click.option(
    "-f",
    "files",
    metavar="FILE",
    multiple=True,
    required=True,
    help="Manifests: a file, a directory, or - for stdin. Repeatable.",
)
@click.option("--delete", "mode", flag_value="delete", help="Plan their deletion.")
@click.option(
    "--whole", "mode", flag_value="whole", help="Plan them as the whole state; the rest is deleted."
)
@remote_options
def command(files: Sequence[str], mode: Mode | None, as_json: bool, **params: Any) -> int:
    """List the names that manifests would add, remove, or change. Nothing is applied.

    The manifests are compared with the names of a running dnsd, which also reports how many queries
    it currently gets for each name; or with the names of --manifests DIR.

    Exit codes: 0 no name would vanish, 3 names would vanish, 4 no name would vanish but there are
    conflicts (two Services with one address, a pinned record), 2 wrong usage or invalid manifests.
    """
    settings = settings_from(params)
    texts = read(files)
    mode = mode or "apply"
    if is_offline(settings, params):
        found = _offline(settings, texts, mode)
    else:
        body, kind, starts = joined(texts)
        plan = connect(params, settings).post("/plan", body, kind, mode=mode)
        found = _with_files(plan, starts)
    (print_json if as_json else _print)(found)
    return code_of(found)


def code_of(found: dict[str, Any]) -> int:
    """The exit code of a plan."""
    if found["problems"]:
        return PROBLEMS
    if found["vanish"]:
        return VANISH
    return CONFLICTS if found["conflicts"] else OK


# ---------------------------------------------------------------------------------------
# Manifests.


def read(files: Sequence[str]) -> list[Text]:
    """The text of files, of files below directories, and of stdin. Raises SettingsError."""
    texts: list[Text] = []
    left = MAX_BYTES
    for given in files:
        for name in _expanded(given):
            text = _read(name, left)
            left -= len(text.data)
            texts.append(text)
    return texts


def _expanded(given: str) -> list[str]:
    path = Path(given)
    if given == "-" or not path.is_dir():
        return [given]
    found = sorted(str(one) for one in path.rglob("*") if one.suffix in _SUFFIXES and one.is_file())
    if not found:
        raise SettingsError(f"-f: {given} has no {', '.join(_SUFFIXES)} files")
    if len(found) > MAX_FILES:
        raise SettingsError(f"-f: {given} has {len(found)} files; give at most {MAX_FILES}")
    return found


def _read(name: str, left: int) -> Text:
    try:
        if name == "-":
            text = Text("stdin", sys.stdin.buffer.read(left + 1))
        else:
            with open(name, "rb") as file:
                text = Text(printable(name), file.read(left + 1))
    except OSError as error:
        raise SettingsError(f"-f: {name}: {error.strerror}") from error
    if len(text.data) > left:
        raise SettingsError(f"-f: {name}: the manifests exceed {MAX_BYTES >> 20} MiB in total")
    return text


Starts = list[tuple[int, str]]  # the first line of each file in the joined text, and its name


def joined(texts: Sequence[Text]) -> tuple[bytes, str, Starts]:
    """All texts as one body, its content type, and where each starts in it.

    JSON is YAML unless it is indented by tabs, so JSON is rewritten to one line.
    """
    if len(texts) == 1 and texts[0].name.endswith(".json"):
        return texts[0].data, JSON, [(1, texts[0].name)]
    body, starts, line = bytearray(), [], 1
    for text in texts:
        data = _on_one_line(text) if text.name.endswith(".json") else text.data
        if body:
            body += b"---\n"
            line += 1
        starts.append((line, text.name))
        body += data + (b"" if data.endswith(b"\n") else b"\n")
        line = body.count(b"\n") + 1
    return bytes(body), YAML, starts


def _on_one_line(text: Text) -> bytes:
    try:
        return msgspec.json.encode(msgspec.json.decode(text.data))
    except (msgspec.DecodeError, RecursionError) as error:
        raise SettingsError(f"-f: {text.name}: is not JSON: {error}") from error


def _with_files(found: dict[str, Any], starts: Starts) -> dict[str, Any]:
    """The plan with the names and lines of the files instead of those of the joined text."""

    def replacement(match: re.Match[str]) -> str:
        line = int(match[1])
        first, name = max((one for one in starts if one[0] <= line), default=starts[0])
        return f"{name}:{line - first + 1}"

    for part in ("conflicts", "problems", "notes"):
        found[part] = [_LINE.sub(replacement, sentence) for sentence in found[part]]
    return found


def _offline(settings: Settings, texts: Sequence[Text], mode: Mode) -> dict[str, Any]:
    from dnsd.explain.plan import TooMuch, plan, read_manifests

    served = read_offline(settings)
    manifests = read_manifests(*texts)
    try:
        found = plan(served.pipeline, manifests, mode).fields()
    except TooMuch as error:
        raise SettingsError(f"-f: {error}") from error
    shown: dict[str, Any] = msgspec.to_builtins(found)
    return shown


# ---------------------------------------------------------------------------------------
# Output.


def _print(found: dict[str, Any]) -> None:
    echo(plain(found["verdict"]), bold=True)
    rows = [
        (sign, color, row)
        for part, sign, color in (
            ("vanish", "-", "red"),
            ("change", "~", "yellow"),
            ("appear", "+", "green"),
        )
        for row in found[part]
    ]
    if rows:
        echo()
    width = max((len(plain(row["name"])) for _, _, row in rows), default=0)
    for sign, color, row in rows:
        echo(f"{sign} {plain(row['name']):<{width}}  {row['type']:<5} {_values(row)}", fg=color)
    for part, label in (("conflicts", "conflict"), ("problems", "problem"), ("notes", "note")):
        for sentence in found[part]:
            echo(f"{label}: {plain(sentence)}")
    if found["skipped"]:
        kinds = ", ".join(f"{number} {kind}" for kind, number in found["skipped"].items())
        echo(f"note: skipped, because these kinds have no names: {plain(kinds)}")


def _values(row: dict[str, Any]) -> str:
    before, after = (plain(", ".join(row[side])) for side in ("before", "after"))
    text = " -> ".join(one for one in (before, after) if one)
    if row["before"] and row["after"] and before == after:
        text += " (TTL)"
    if row.get("asked"):
        text += f"  (about {row['asked']:,} queries in 10 min)"
    return text
