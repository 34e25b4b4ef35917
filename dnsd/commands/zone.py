"""`dnsd zone`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from dnsd.commands.options import settings_command, settings_from
from dnsd.settings import NAMES, SOURCES, SettingsError
from dnsd.zone.rrset import BadName, Name, Type, name_from_text, text_of, type_text
from dnsd.zone.text import canonical, rdata_text, zone_text
from dnsd.zone.zone import Zone

_EXAMPLES = """\
dnsd zone --manifests my/manifests
dnsd zone --manifests my/manifests cluster.local > cluster.local.zone
dnsd zone --manifests my/manifests --format json | jq '.zones[].rrsets[].name'"""


@settings_command("zone", _EXAMPLES, groups=(SOURCES, NAMES))
@click.argument("apex", metavar="[ZONE]...", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(["zone", "json"]),
    default="zone",
    show_default=True,
    help="Zone-file text (RFC 1035) or JSON.",
)
def command(apex: Sequence[str], form: str, **params: Any) -> None:
    """Print every record that manifests make: all zones, or those named.

    Needs no running dnsd. What is wrong with manifests is told on stderr, the rest is printed.
    """
    settings = settings_from(params)
    if not settings.manifests:
        raise SettingsError("no source of Services; give --manifests DIR")
    from dnsd.offline import read

    found = read(settings)
    for problem in found.problems():
        click.echo(f"dnsd: {problem}", err=True)
    zone = found.pipeline.zone
    write = _write_json if form == "json" else _write_text
    write(zone, _chosen(zone, apex))


def _chosen(zone: Zone, wanted: Sequence[str]) -> list[Name]:
    # Forward zones in the order of the settings, then reverse zones by name.
    first = {name: place for place, name in enumerate(zone.config.zones)}
    there = sorted(zone.apexes(), key=lambda name: (first.get(name, len(first)), canonical(name)))
    chosen = []
    for text in wanted:
        try:
            name = name_from_text(text.lower())
        except BadName as error:
            raise SettingsError(f"ZONE: {error}") from error
        if name not in there:
            raise SettingsError(f"ZONE: {text}: no such zone; there are {_listed(there)}")
        chosen.append(name)
    return chosen or there


def _listed(names: Sequence[Name]) -> str:
    return ", ".join(text_of(name).removesuffix(".") for name in names)


def _write_text(zone: Zone, apexes: Sequence[Name]) -> None:
    for apex in apexes:
        sys.stdout.write(f"$ORIGIN {text_of(apex)}\n")
        sys.stdout.writelines(zone_text(zone, apex))


def _write_json(zone: Zone, apexes: Sequence[Name]) -> None:
    shown = {"zones": [{"name": text_of(apex), "rrsets": _rrsets(zone, apex)} for apex in apexes]}
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(shown)) + b"\n")
    sys.stdout.flush()


def _rrsets(zone: Zone, apex: Name) -> list[dict[str, object]]:
    mine = [one for one in zone.rrsets() if zone.zone_of(one.name) == apex]
    mine.sort(key=lambda one: (one.type != Type.SOA, canonical(one.name), one.type))
    return [
        {
            "name": text_of(one.name),
            "type": type_text(one.type),
            "ttl": one.ttl,
            "values": [rdata_text(one.type, rdata) for rdata in one.rdatas],
        }
        for one in mine
    ]
