"""`dnsd check`."""

from __future__ import annotations

from typing import Any

import click

from dnsd.commands.options import settings_command, settings_from
from dnsd.settings.schema import Settings, SettingsError

_EXAMPLES = """\
dnsd check --config config/dnsd.yaml
dnsd check --manifests my/manifests
dnsd check --config dnsd.yaml --manifests my/manifests && git push"""


@settings_command("check", _EXAMPLES)
def command(**params: Any) -> None:
    """Say what is wrong with a configuration, and with the manifests it names.

    Each problem is a line on stderr, with file and line; then the exit code is 2. If nothing is
    wrong, it says what there is, and the exit code is 0. Nothing is served, no port is taken.
    """
    from dnsd.control.forwarding import upstream_config
    from dnsd.control.settings import listening, schema_config

    settings = settings_from(params)
    if not (settings.config or settings.manifests):
        raise SettingsError("nothing to check; give --config FILE or --manifests DIR")
    # They raise what is wrong with schemes, zones, upstreams, rules, and pinned names.
    schema_config(settings, [address for address, _ in listening(settings)])
    upstream_config(settings)
    if settings.config:
        count = sum(who.startswith(f"{settings.config}:") for who in settings.origins.values())
        click.echo(f"{settings.config}: {count} settings, all good")
    if settings.manifests:
        click.echo(_manifests(settings))


def _manifests(settings: Settings) -> str:
    from dnsd.control.offline import read

    found = read(settings)
    if problems := found.problems():
        raise SettingsError(*problems)
    counts = [f"{count} {kind}" for kind, count in found.pipeline.state.counts().items() if count]
    counts += [f"{count} {kind} (not read)" for kind, count in found.loaded.skipped.items()]
    what = ", ".join(counts) or "no objects"
    files, names = found.loaded.files, len(found.pipeline.zone)
    return f"{settings.manifests}: {files} files, {what}; {names} names, all good"
