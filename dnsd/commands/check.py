"""`dnsd check`: report errors in a configuration and its manifests.

In `commands/` (the command line). Change here: what is checked before a deployment.
"""

from __future__ import annotations

from typing import Any

import click

from dnsd.commands.options import settings_command, settings_from
from dnsd.control.settings import Settings
from dnsd.settings.schema import SettingsError

_EXAMPLES = """\
dnsd check --config config/dnsd.yaml
dnsd check --manifests my/manifests
dnsd check --config dnsd.yaml --manifests my/manifests && git push"""


@settings_command("check", _EXAMPLES)
def command(**params: Any) -> None:
    """Report errors in a configuration, and in the manifests that it names.

    Each error is one line on stderr with file and line, and the exit code is 2. Without errors, it
    prints a summary, and the exit code is 0. It serves nothing, and opens no port.
    """
    from dnsd.control.forwarding import upstream_config
    from dnsd.control.resolve import schema_config

    settings = settings_from(params)
    if not (settings.config or settings.manifests.directory):
        raise SettingsError("nothing to check; give --config FILE or --manifests DIR")
    # These raise errors in zones, upstreams, rules, and pinned names.
    schema_config(settings, [one.address for one in settings.transport.listen])
    upstream_config(settings)
    if settings.config:
        count = sum(one.startswith(f"{settings.config}:") for one in settings.origins.values())
        click.echo(f"{settings.config}: {count} settings, no errors")
    if settings.manifests.directory:
        click.echo(_manifests(settings))


def _manifests(settings: Settings) -> str:
    from dnsd.control.offline import read

    found = read(settings)
    if problems := found.problems():
        raise SettingsError(*problems)
    counts = [f"{count} {kind}" for kind, count in found.pipeline.state.counts().items() if count]
    counts += [f"{count} {kind} (skipped)" for kind, count in found.loaded.skipped.items()]
    what = ", ".join(counts) or "no objects"
    files, names = found.loaded.files, len(found.pipeline.zone)
    return f"{settings.manifests.directory}: {files} files, {what}; {names} names, no errors"
