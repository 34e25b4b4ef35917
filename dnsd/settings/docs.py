"""The written forms of the declared settings: docs/settings.md and config/dnsd.yaml.

Both files are in the repository so that they can be read without running anything, and a
test fails when they differ from what this module writes (`make docs` writes them).
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from dnsd.settings.schema import GROUPS, Setting, declared, defaults, flag_of, variable_of

_WIDTH = 88


def yaml_text() -> str:
    """config/dnsd.yaml: every setting that a file can hold, commented out, with its default."""
    out = [
        "# The settings of dnsd. Every key is here with its default; take the '#' away and",
        "# change the value. A flag (--ttl 30) beats a variable (DNSD_TTL=30) beats this file.",
        "# `dnsd check --config FILE` says what is wrong with a file; docs/settings.md is the",
        "# reference. This file is generated from dnsd/settings.py by `make docs`.",
    ]
    for group in GROUPS:
        out += ["", f"# {group} ".ljust(_WIDTH, "-")]
        for name, setting in _members(group):
            if setting.in_file:
                out += ["", *_yaml_entry(name, setting)]
    return "\n".join(out) + "\n"


def _yaml_entry(name: str, setting: Setting) -> list[str]:
    facts = [setting.kind.name]
    facts += [f"example: {setting.example}"] if setting.example else []
    facts += [] if setting.reload else ["needs a restart"]
    lines = [*textwrap.wrap(setting.help, _WIDTH - 3), f"({'; '.join(facts)})"]
    default = setting.kind.show(getattr(defaults(), name))
    return [f"# {line}" for line in lines] + [f"#{name}: {default}"]


def markdown() -> str:
    """docs/settings.md: a section a group, a row a setting."""
    out = [
        "# Settings",
        "",
        "Every setting can be a flag of `dnsd serve`, an environment variable, or a key of the",
        "YAML file that `--config` names ([config/dnsd.yaml](../config/dnsd.yaml) has them all).",
        "A flag beats a variable beats the file, setting by setting; a list replaces a list.",
        "Flags of lists are repeated, variables of lists separate their items with commas.",
        "",
        "Durations are written `500ms`, `30s`, `1m30s`, `2h` (a bare number is seconds), sizes",
        "`1232`, `64KiB`, `10MB`. Unknown keys and variables, and values that are not of their",
        "kind, stop dnsd with exit code 2 and a line that names them; `dnsd check` finds them",
        "beforehand. A Service named `dnsd` makes Kubernetes set variables like",
        "`DNSD_SERVICE_HOST` and `DNSD_PORT_53_UDP`; those are passed over.",
        "",
        "On SIGHUP dnsd reads its file again. Settings marked *live* change at once; for the",
        "others dnsd says that they wait for a restart. A file that cannot be used, or with which",
        "workers do not start, is reported and changes nothing: not even what of it could be",
        "used.",
    ]
    for group in GROUPS:
        out += ["", f"## {group}"]
        for name, setting in _members(group):
            out += _section(name, setting)
    out += ["", "This page is generated from `dnsd/settings.py` by `make docs`."]
    return "\n".join(out) + "\n"


def _section(name: str, setting: Setting) -> Iterator[str]:
    key = f"`{name}`" if setting.in_file else "no key"
    live = ", *live*" if setting.reload else ""
    yield ""
    yield f"### {name}"
    yield ""
    yield setting.help
    yield ""
    yield f"`{_flag(name, setting)}`, `{variable_of(name)}`, {key}; {setting.kind.name}{live}."
    default = setting.kind.show(getattr(defaults(), name))
    example = f" Example: `{setting.example}`." if setting.example else ""
    yield f"Default: {'none' if default in ('[]', _EMPTY) else f'`{default}`'}.{example}"


_EMPTY = '""'


def _flag(name: str, setting: Setting) -> str:
    flag = flag_of(name)
    return f"{flag} / --no-{flag[2:]}" if setting.kind.flag else f"{flag} {setting.kind.metavar}"


def _members(group: str) -> Iterator[tuple[str, Setting]]:
    return ((name, item) for name, item in declared().items() if item.group == group)


FILES = {"docs": ("docs/settings.md", markdown), "yaml": ("config/dnsd.yaml", yaml_text)}


def main(arguments: Sequence[str]) -> int:
    """`python -m dnsd.settings.docs docs|yaml`: one on stdout; `write`: both files in place."""
    if list(arguments) == ["write"]:
        for path, render in FILES.values():
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text(render(), encoding="utf-8")
        return 0
    if len(arguments) != 1 or arguments[0] not in FILES:
        sys.stderr.write(f"usage: python -m dnsd.settings.docs {'|'.join(FILES)}|write\n")
        return 2
    sys.stdout.write(FILES[arguments[0]][1]())
    return 0
