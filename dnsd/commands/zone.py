"""`dnsd zone`: print all records.

In `commands/` (the command line). Change here: the output formats of zones.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from dnsd.admin.records import shown
from dnsd.commands.client import Client, path_part
from dnsd.commands.options import option, settings_command, settings_from
from dnsd.commands.printing import print_json
from dnsd.commands.remote import connect, is_offline, read_offline, remote_options
from dnsd.dns.names import name_from_text, text_of
from dnsd.dns.text import canonical
from dnsd.dns.types import Type
from dnsd.settings.schema import Group, SettingsError
from dnsd.zone.text import zone_text
from dnsd.zone.zone import Zone

_PAGE = 1000
_EXAMPLES = """\
dnsd zone
dnsd zone --manifests my/manifests
dnsd zone --manifests my/manifests cluster.local > cluster.local.zone
dnsd zone --manifests my/manifests --format json | jq '.zones[].rrsets[].name'"""


@settings_command("zone", _EXAMPLES, groups=(Group.SOURCES, Group.NAMES, Group.EXTERNAL))
@click.argument("apex", metavar="[ZONE]...", nargs=-1)
@option(
    "--format",
    click.Choice(["zone", "json"]),
    "zone",
    "Zone-file text (RFC 1035) or JSON (the same as --json).",
)
@remote_options
def command(apex: Sequence[str], as_json: bool, **params: Any) -> None:
    """Print all records of all zones, or of the given zones.

    With --manifests DIR, it prints the records of these manifests without a running dnsd, and their
    problems on stderr. Otherwise it prints the records of a running dnsd.
    """
    settings = settings_from(params)
    source = (
        _OfflineZones(read_offline(settings).pipeline.zone)
        if is_offline(settings, params)
        else _RemoteZones(connect(params, settings))
    )
    names = _chosen(source.names(), apex)
    if as_json or params["format"] == "json":
        print_json({"zones": [{"name": one, "rrsets": source.rrsets(one)} for one in names]})
        return
    for one in names:
        sys.stdout.write(f"$ORIGIN {one}\n")
        sys.stdout.flush()
        for chunk in source.text(one):
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()


def _chosen(names: list[str], wanted: Sequence[str]) -> list[str]:
    """All zones, or the wanted ones. Raises SettingsError."""
    chosen = []
    for text in wanted:
        name = f"{text.lower().rstrip('.')}."
        if name not in names:
            known = ", ".join(one.removesuffix(".") for one in names)
            raise SettingsError(f"ZONE: {text}: does not exist; the zones are {known}")
        chosen.append(name)
    return chosen or names


class _RemoteZones:
    """The zones of a running dnsd."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def names(self) -> list[str]:
        """The apexes, forward zones first."""
        zones = self._client.get("/zones")["zones"]
        return [one["name"] for one in sorted(zones, key=lambda zone: zone["kind"] != "forward")]

    def rrsets(self, apex: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        cursor = ""
        while cursor is not None:
            page = self._client.get(_records(apex), limit=_PAGE, cursor=cursor)
            for one in page["records"]:
                del one["owners"]
            found += page["records"]
            cursor = page["next"]
        return found

    def text(self, apex: str) -> Iterator[bytes]:
        return self._client.text(_records(apex), format="zone")


def _records(apex: str) -> str:
    return f"/zones/{path_part(apex)}/records"


class _OfflineZones:
    """The zones of manifests."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def names(self) -> list[str]:
        """The apexes: forward zones in the order of the settings, then reverse zones by name."""
        forward = [*self._zone.config.zones, *self._zone.external]
        reverse = sorted(set(self._zone.apexes()) - set(forward), key=canonical)
        return [text_of(name) for name in (*forward, *reverse)]

    def rrsets(self, apex: str) -> list[dict[str, object]]:
        name = name_from_text(apex)
        found = [one for one in self._zone.rrsets() if self._zone.zone_of(one.name) == name]
        found.sort(key=lambda one: (one.type != Type.SOA, canonical(one.name), one.type))
        return [shown(one) for one in found]

    def text(self, apex: str) -> Iterator[bytes]:
        return (line.encode() for line in zone_text(self._zone, name_from_text(apex)))
