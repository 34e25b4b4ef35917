"""Makes a flag of each declared setting, and shows the flags in their groups in the help.

In `commands/` (the command line). Change here: flags of settings, and the form of the help.

A flag passes its text on unchanged. The kind of the setting reads it, so the error for a bad value
is the same for a flag, a variable, and the file.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import click

from dnsd.control.settings import Settings
from dnsd.settings.load import load
from dnsd.settings.schema import Group, Setting, declared, flag_of


class _Flag(click.Option):
    """The flag of a declared setting, and its group in the help."""

    def __init__(self, name: str, setting: Setting) -> None:
        kind, flag = setting.kind, flag_of(name)
        self.group = setting.group
        super().__init__(
            [f"{flag}/--no-{flag[2:]}" if kind.flag else flag, name],
            help=_help(name, setting),
            default=None,
            is_flag=kind.flag,
            multiple=kind.many,
            metavar=None if kind.flag else kind.metavar,
            type=None if kind.flag else click.UNPROCESSED,
        )


def _help(name: str, setting: Setting) -> str:
    default = setting.kind.show(Settings().value(name)).strip("[]").replace('"', "")
    text = setting.help + (" Repeatable." if setting.kind.many else "")
    return text if setting.kind.flag or default in ("", "{}") else f"{text} [{default}]"


class SettingsCommand(click.Command):
    """A command with a flag for each setting of some groups, by default of all."""

    def __init__(self, *args: Any, groups: Collection[Group] = tuple(Group), **more: Any) -> None:
        super().__init__(*args, **more)
        settings = ((name, one.setting) for name, one in declared(Settings).items())
        # Only --config has no key in the file; it belongs to every command.
        flags = [_Flag(*one) for one in settings if one[1].group in groups or not one[1].in_file]
        self.params = [*flags, *self.params]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True  # for a better error than that of click
        super().parse_args(ctx, args)
        if ctx.args:
            raise click.UsageError(_unexpected(ctx.args[0]))
        return ctx.args

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in ("Options", *Group):
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
    """The error for an argument that is not a flag, with the flag that was probably meant."""
    if os.path.isdir(word):
        return f"{word}: give a directory of manifests as --manifests {word}"
    if os.path.isfile(word):
        place = os.path.dirname(word) or "."
        return f"{word}: give it as --config {word}, or its directory as --manifests {place}"
    return f"{word}: not expected here; give settings as --flag VALUE (--help lists them)"


def settings_from(params: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this command line, its environment, and its file.

    `params`: the result of click; ignores what is not a setting. Raises SettingsError.
    """
    flags = {
        name: value
        for name, value in params.items()
        if name in declared(Settings) and value is not None and value != ()
    }
    return load(Settings, flags, environ)


def settings_command(
    name: str, examples: str, groups: Collection[Group] = tuple(Group)
) -> Callable[[Callable[..., Any]], click.Command]:
    """Decorator: a `SettingsCommand`. Its help is the docstring, and then `examples`."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        shown = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples.splitlines())
        help_ = f"{inspect.getdoc(function)}\n\n{shown}"
        return click.command(name, cls=SettingsCommand, groups=groups, help=help_)(function)

    return decorate


def option(
    flag: str, kind: click.ParamType[Any], default: object, text: str, metavar: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: a flag that is not a setting. Its help is `text` with the default."""
    return click.option(
        flag, type=kind, default=default, help=text, metavar=metavar, show_default=True
    )
