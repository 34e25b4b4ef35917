"""The command line: finds the command, runs it, and prints each error as one line.

In `dnsd/` (above all packages). Change here: how commands are found, and how errors are printed.

Exit codes of every command: 0 done, or stopped on request; 2 wrong usage or configuration; 1 any
other error. A command may define more; its help lists them.

Code that finds a problem does not print. It raises, and `main` writes `dnsd: ` and the message to
stderr: one line for each problem, without usage text and traceback. An unexpected exception keeps
its traceback.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from dnsd import __version__
from dnsd.commands import COMMANDS, Failure
from dnsd.settings.schema import SettingsError

STOPPED, FAILED, USAGE = 0, 1, 2

_HELP = """The DNS server of Kubernetes Services.

It reads Services and EndpointSlices from a directory of manifests or from a cluster, and
answers DNS for their names, as they change.

\b
Examples:
  dnsd serve --manifests config/examples/seed
  dig -p 1053 @127.0.0.1 webui-svc.default.svc.cluster.local
  dnsd check --manifests my/manifests
  dnsd zone --manifests my/manifests
"""


class _Commands(click.Group):
    """The group of all commands. It imports the module of a command when the command runs.

    The methods have the signatures of click.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        formatter.write_paragraph()
        formatter.write_text("dnsd COMMAND --help describes a command.")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"{args[0]}: no such command; {hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def commands() -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: that of this process), and return the exit code."""
    try:
        result = commands.main(
            args=None if arguments is None else list(arguments),
            prog_name="dnsd",
            standalone_mode=False,
        )
    except SettingsError as error:
        return _fail(USAGE, *error.problems)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.UsageError as error:
        return _fail(USAGE, _usage(error))
    except click.ClickException as error:
        return _fail(FAILED, error.format_message())
    except Failure as error:
        return _fail(FAILED, str(error))
    except click.Abort:
        return STOPPED  # Ctrl-C before the command started
    return result if isinstance(result, int) else STOPPED


def _usage(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        near = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        return f"{error.option_name}: no such option{near}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        path = error.ctx.command_path if error.ctx else "dnsd"
        return f"{_spelled(error.param)}: is missing; see {path} --help"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_spelled(error.param)}: {error.message}"
    return " ".join(error.format_message().split())


def _spelled(param: click.Parameter) -> str:
    """The parameter as the command line spells it: --over, NAME."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name


def _fail(code: int, *sentences: str) -> int:
    for sentence in sentences:
        sys.stderr.write(f"dnsd: {sentence}\n")
    return code
