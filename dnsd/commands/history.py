"""`dnsd history`: show how names changed.

In `commands/` (the command line). Change here: how the history is printed.
"""

from __future__ import annotations

from typing import Any

import click

from dnsd.commands.options import option, settings_command
from dnsd.commands.printing import cause, echo, moment, plain, print_json
from dnsd.commands.remote import connect, remote_options
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
    "--since", metavar="TIME", help="90s, 2h, or 7d ago, an ISO 8601 time, or seconds (epoch)."
)
@option(
    "--limit", click.IntRange(1, 100_000), 100, "At most this number of changes, the newest.", "N"
)
@remote_options
def command(name: str | None, as_json: bool, limit: int, **params: Any) -> None:
    """Show each change of a name: when, from what to what, and its cause. Newest first.

    Without NAME and --service, it shows the changes of all names. The settings of that dnsd limit
    the age of changes. Without a state directory, the history starts with the process.
    """
    if params["service"] and "/" not in params["service"]:
        raise SettingsError(f"--service: {params['service']}: write NAMESPACE/NAME")
    client = connect(params)
    wanted = {"name": name, "service": params["service"], "since": params["since"]}
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
        since = f"; it starts at {moment(oldest)}" if oldest else ""
        echo(f"no change in the history matches{since}")


def _print(change: dict[str, Any]) -> None:
    head = f"{moment(change['at'])}  serial {change['serial']}  {change['name']} {change['type']}"
    echo(plain(head), bold=True)
    echo(f"  caused by {plain(cause(change['cause']))}")
    for side, sign, color in (("before", "-", "red"), ("after", "+", "green")):
        records = change[side]
        for value in records["values"] if records else ():
            echo(f"  {sign} {records['ttl']} {plain(value)}", fg=color)
