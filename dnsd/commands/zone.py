"""`dnsd zone`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec

from dnsd.commands.client import Client, path_part
from dnsd.commands.options import settings_command, settings_from
from dnsd.commands.remote import connect, is_offline, remote_options
from dnsd.dns.names import BadName, Name, name_from_text, text_of
from dnsd.dns.text import canonical, rdata_text
from dnsd.dns.types import Type, type_text
from dnsd.settings.schema import NAMES, OUTSIDE, SOURCES, Settings, SettingsError
from dnsd.zone.text import zone_text
from dnsd.zone.zone import Zone

_PAGE = 1000
_EXAMPLES = """\
dnsd zone
dnsd zone --manifests my/manifests
dnsd zone --manifests my/manifests cluster.local > cluster.local.zone
dnsd zone --manifests my/manifests --format json | jq '.zones[].rrsets[].name'"""


@settings_command("zone", _EXAMPLES, groups=(SOURCES, NAMES, OUTSIDE))
@click.argument("apex", metavar="[ZONE]...", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(["zone", "json"]),
    default="zone",
    show_default=True,
    help="Zone-file text (RFC 1035) or JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@remote_options
def command(apex: Sequence[str], form: str, as_json: bool, **params: Any) -> None:
    """Print every record: all zones, or those named.

    With --manifests DIR, those that the manifests make, without a running dnsd: what is wrong with
    them is told on stderr, the rest is printed. Else those that a running dnsd serves.
    """
    settings = settings_from(params)
    form = "json" if as_json else form
    if is_offline(settings, params):
        _offline(settings, apex, form)
        return
    client = connect(settings, params)
    wanted = _chosen_there(client, apex)
    if form == "json":
        _write({"zones": [{"name": one, "rrsets": _fetched(client, one)} for one in wanted]})
        return
    for one in wanted:
        sys.stdout.write(f"$ORIGIN {one}\n")
        sys.stdout.flush()
        for piece in client.text(f"/zones/{path_part(one)}/records", format="zone"):
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()


# ---------------------------------------------------------------------------------------
# Of a running dnsd.


def _chosen_there(client: Client, wanted: Sequence[str]) -> list[str]:
    """All zones, forward ones first, or those wanted. Raises SettingsError."""
    zones = client.get("/zones")["zones"]
    zones.sort(key=lambda zone: zone["kind"] != "forward")
    there = [zone["name"] for zone in zones]
    chosen = [f"{one.lower().rstrip('.')}." for one in wanted]
    for one in chosen:
        if one not in there:
            names = ", ".join(name.removesuffix(".") for name in there)
            raise SettingsError(f"ZONE: {one}: no such zone; there are {names}")
    return chosen or there


def _fetched(client: Client, apex: str) -> list[dict[str, object]]:
    """All RRsets of a zone, page by page."""
    return list(_pages(client, f"/zones/{path_part(apex)}/records"))


def _pages(client: Client, path: str) -> Iterator[dict[str, object]]:
    cursor = ""
    while True:
        page = client.get(path, limit=_PAGE, cursor=cursor)
        for one in page["records"]:
            yield {name: one[name] for name in ("name", "type", "ttl", "values")}
        cursor = page["next"]
        if not cursor:
            return


# ---------------------------------------------------------------------------------------
# Of manifests.


def _offline(settings: Settings, apex: Sequence[str], form: str) -> None:
    from dnsd.control.offline import read

    found = read(settings)
    for problem in found.problems():
        click.echo(f"dnsd: {problem}", err=True)
    zone = found.pipeline.zone
    write = _write_json if form == "json" else _write_text
    write(zone, _chosen(zone, apex))


def _chosen(zone: Zone, wanted: Sequence[str]) -> list[Name]:
    # Forward zones in the order of the settings, then reverse zones by name.
    first = {name: place for place, name in enumerate((*zone.config.zones, *zone.external))}
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
    _write({"zones": [{"name": text_of(apex), "rrsets": _rrsets(zone, apex)} for apex in apexes]})


def _write(shown: dict[str, object]) -> None:
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
