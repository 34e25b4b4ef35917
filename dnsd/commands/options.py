"""Flags made from the declared settings, and help that shows them in their groups.

Flags take text and hand it on as it is: the kind of each setting reads it, so a bad value
is refused in the same words whether it came from a flag, a variable or a file.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import click

from dnsd.settings.load import load
from dnsd.settings.schema import GROUPS, Setting, Settings, declared, defaults, flag_of


class _Flag(click.Option):
    """A flag of a declared setting; remembers the group that help shows it in."""

    def __init__(self, name: str, setting: Setting) -> None:
        kind, spelled = setting.kind, flag_of(name)
        self.group = setting.group
        super().__init__(
            [f"{spelled}/--no-{spelled[2:]}" if kind.flag else spelled, name],
            help=_help(name, setting),
            default=None,
            is_flag=kind.flag,
            multiple=kind.many,
            metavar=None if kind.flag else kind.metavar,
            type=None if kind.flag else click.UNPROCESSED,
        )


def _help(name: str, setting: Setting) -> str:
    default = setting.kind.show(getattr(defaults(), name)).strip("[]").replace('"', "")
    words = setting.help
    if setting.kind.many:
        words += " Repeatable."
    return words if setting.kind.flag or not default else f"{words} [{default}]"


class SettingsCommand(click.Command):
    """A command with a flag for every setting of some groups (all, unless told)."""

    def __init__(self, *args: Any, groups: Collection[str] = GROUPS, **more: Any) -> None:
        super().__init__(*args, **more)
        flags = [_Flag(name, item) for name, item in declared().items() if _shown(item, groups)]
        self.params = [*flags, *self.params]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True  # to say more about them than click would
        super().parse_args(ctx, args)
        if ctx.args:
            raise click.UsageError(_unexpected(ctx.args[0]))
        return ctx.args

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in ("Options", *GROUPS):
            rows = [
                row
                for param in self.get_params(ctx)
                if getattr(param, "group", "Options") == group
                if (row := param.get_help_record(ctx)) is not None
            ]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)


def _unexpected(word: str) -> str:
    """What to do about an argument that no command of settings takes."""
    if os.path.isdir(word):
        return f"{word}: a directory of manifests is given as --manifests {word}"
    if os.path.isfile(word):
        place = os.path.dirname(word) or "."
        return f"{word}: give it as --config {word}, or its directory as --manifests {place}"
    return f"{word}: not expected here; settings are given as --flag VALUE (--help lists them)"


def _shown(setting: Setting, groups: Collection[str]) -> bool:
    return setting.group in groups or not setting.in_file  # --config goes with every group


def settings_from(params: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this command line, its environment and its file.

    `params`: what click parsed; what belongs to no setting is passed over.
    Raises SettingsError.
    """
    flags = {
        name: value
        for name, value in params.items()
        if name in declared() and value is not None and value != ()
    }
    return load(flags, environ)


def settings_command(
    name: str, examples: str, groups: Collection[str] = GROUPS
) -> Callable[[Callable[..., Any]], click.Command]:
    """Decorator: a `SettingsCommand`, its help from the docstring and then `examples`."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        shown = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples.splitlines())
        help_ = f"{inspect.getdoc(function)}\n\n{shown}"
        return click.command(name, cls=SettingsCommand, groups=groups, help=help_)(function)

    return decorate
