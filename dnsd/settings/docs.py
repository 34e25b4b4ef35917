"""Writes docs/settings.md and config/dnsd.yaml from the declared settings.

In `settings/` (below every package but dns/). Change here: the form of the two generated files.

Both files are in the repository, so they can be read without running dnsd. A test fails when they
differ from what this module writes; `make docs` writes them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from dnsd.settings.schema import Composed, Group, Setting, declared, flag_of, variable_of

_WIDTH = 88
_SOURCE = "the sections that the packages of dnsd declare (dnsd/*/settings.py)"


def yaml_text(cls: type[Composed]) -> str:
    """config/dnsd.yaml: every setting that a file can hold, commented out, with its default."""
    out = [
        "# The settings of dnsd, each with its default. To change one, remove the '#' and change",
        "# the value. A flag (--ttl 30) overrides a variable (DNSD_TTL=30), and a variable",
        "# overrides this file. `dnsd check --config FILE` reports the errors of a file;",
        "# docs/settings.md is the reference. `make docs` generates this file from",
        f"# {_SOURCE}.",
    ]
    for group, members in _groups(cls):
        out += ["", f"# {group} ".ljust(_WIDTH, "-")]
        for name, setting, default in members:
            if setting.in_file:
                out += ["", *_yaml_entry(name, setting, default)]
    return "\n".join(out) + "\n"


def _yaml_entry(name: str, setting: Setting, default: str) -> list[str]:
    facts = [setting.kind.name]
    facts += [f"example: {setting.example}"] if setting.example else []
    facts += [] if setting.reload else ["needs a restart"]
    lines = [*textwrap.wrap(setting.help, _WIDTH - 3), f"({'; '.join(facts)})"]
    return [f"# {line}" for line in lines] + [f"#{name}: {default}"]


def markdown(cls: type[Composed]) -> str:
    """docs/settings.md: one heading for each group and each setting."""
    out = [
        "# Settings",
        "",
        "Every setting can be a flag of `dnsd serve`, an environment variable, or a key of the",
        "YAML file that `--config` names ([config/dnsd.yaml](../config/dnsd.yaml) has all keys).",
        "A flag overrides a variable, and a variable overrides the file, for each setting; a list",
        "replaces a list. Repeat the flag of a list. In a variable, separate the items of a list",
        "with commas.",
        "",
        "A duration is `500ms`, `30s`, `1m30s`, or `2h` (a bare number is seconds). A size is",
        "`1232`, `64KiB`, or `10MB`. If a key or a variable is unknown, or a value is not of its",
        "kind, dnsd stops with exit code 2 and a line that names it; `dnsd check` reports these",
        "errors beforehand. For a Service named `dnsd`, Kubernetes sets variables like",
        "`DNSD_SERVICE_HOST` and `DNSD_PORT_53_UDP`; dnsd ignores them.",
        "",
        "On SIGHUP, dnsd reads its file again. Settings marked *live* change at once; for the",
        "others, dnsd logs that they need a restart. If the file cannot be used, or if workers do",
        "not start with it, dnsd reports the problem and keeps all settings as they were.",
    ]
    for group, members in _groups(cls):
        out += ["", f"## {group}"]
        for name, setting, default in members:
            out += _entry(name, setting, default)
    out += ["", f"`make docs` generates this page from {_SOURCE}."]
    return "\n".join(out) + "\n"


def _entry(name: str, setting: Setting, default: str) -> Iterator[str]:
    key = f"`{name}`" if setting.in_file else "no key"
    live = ", *live*" if setting.reload else ""
    flag = flag_of(name)
    flag = f"{flag} / --no-{flag[2:]}" if setting.kind.flag else f"{flag} {setting.kind.metavar}"
    yield from ("", f"### {name}", "", setting.help, "")
    yield f"`{flag}`, `{variable_of(name)}`, {key}; {setting.kind.name}{live}."
    example = f" Example: `{setting.example}`." if setting.example else ""
    yield f"Default: {'none' if default in ('[]', _EMPTY) else f'`{default}`'}.{example}"


_EMPTY = '""'
_Member = tuple[str, Setting, str]


def _groups(cls: type[Composed]) -> Iterator[tuple[Group, Iterator[_Member]]]:
    """Each group that has settings, with the name, declaration, and shown default of each."""
    defaults = cls()
    members = (
        (name, one.setting, one.setting.kind.show(defaults.value(name)))
        for name, one in declared(cls).items()
    )
    return groupby(members, key=lambda member: member[1].group)


FILES: dict[str, Callable[[type[Composed]], str]] = {
    "docs/settings.md": markdown,
    "config/dnsd.yaml": yaml_text,
}


def write(cls: type[Composed]) -> None:
    """Write both files below the working directory."""
    for path, render in FILES.items():
        Path(path).write_text(render(cls), encoding="utf-8")
