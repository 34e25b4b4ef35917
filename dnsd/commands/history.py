"""`dnsd history`."""

from __future__ import annotations

from typing import Any

import click

from dnsd.commands.options import settings_command, settings_from
from dnsd.commands.printing import cause, moment, plain, print_json, say
from dnsd.commands.remote import AS_JSON, connect, remote_options
from dnsd.settings.schema import SettingsError

_PAGE = 500
_EXAMPLES = """\
dnsd history web.prod.svc.cluster.local
dnsd history --service prod/web --since 2h
dnsd history --since 2026-11-20T08:00 --limit 1000 --json"""


@settings_command("history", _EXAMPLES, groups=())
@click.argument("name", required=False)
@click.option("--service", metavar="NAMESPACE/NAME", help="All names of this Service.")
@click.option(
    "--since", metavar="WHEN", help="90s, 2h or 7d ago, an ISO 8601 time, or seconds (epoch)."
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="At most so many changes, the newest.",
)
@AS_JSON
@remote_options
def command(name: str | None, as_json: bool, limit: int, **params: Any) -> None:
    """Show every change of a name: when, from what to what, and what caused it. Newest first.

    With neither NAME nor --service it shows the changes of all names. How far back it goes is
    up to that dnsd's settings; without a state directory it begins with the process.
    """
    client = connect(settings_from(params), params)
    wanted = {"name": name, "service": params["service"], "since": params["since"]}
    if params["service"] and "/" not in params["service"]:
        raise SettingsError(f"--service: {params['service']}: write NAMESPACE/NAME")
    changes: list[dict[str, Any]] = []
    cursor, oldest = None, 0.0
    while len(changes) < limit:
        page = client.get(
            "/history", **wanted, limit=min(_PAGE, limit - len(changes)), cursor=cursor
        )
        changes += page["changes"]
        cursor, oldest = page["next"], page["oldest"]
        if not cursor or not page["changes"]:
            break
    if as_json:
        print_json({"changes": changes, "oldest": oldest})
        return
    for change in changes:
        _print(change)
    if not changes:
        since = f" since {moment(oldest)}, when it begins" if oldest else ""
        say(f"nothing in the history matches{since}")


def _print(change: dict[str, Any]) -> None:
    head = f"{moment(change['at'])}  serial {change['serial']}  {change['name']} {change['type']}"
    say(plain(head), bold=True)
    say(f"  because of {plain(cause(change['cause']))}")
    for side, sign, colour in (("before", "-", "red"), ("after", "+", "green")):
        said = change[side]
        for value in said["values"] if said else ():
            say(f"  {sign} {said['ttl']} {plain(value)}", fg=colour)
