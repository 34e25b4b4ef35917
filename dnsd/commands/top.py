"""`dnsd top`.

A picture every few seconds, drawn by rich in place. What is counted are samples, so the
numbers of queries are estimates (the API says what one sample stands for); rates are exact.
When dnsd goes away the last picture stays, says so, and goes on when it is back.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from dnsd.commands import Failure
from dnsd.commands.client import Client
from dnsd.commands.options import settings_command, settings_from
from dnsd.commands.printing import plain, print_json, short, span
from dnsd.commands.remote import AS_JSON, connect, remote_options
from dnsd.commands.status import queries

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_TITLES = {"names": "Names", "nxdomains": "Names that do not exist", "clients": "Clients"}
_SHADES = " ▁▂▃▄▅▆▇█"
_KEPT = 60  # rates behind the curve
_OUTCOMES = ("answer", "nodata", "nxdomain", "servfail", "refused")
_EXAMPLES = """\
dnsd top
dnsd top --window 10m --lines 30
dnsd top --once
dnsd top --json | jq '.top.nxdomains[0].item'"""


@settings_command("top", _EXAMPLES, groups=())
@click.option(
    "--window",
    type=click.Choice(["1m", "10m"]),
    default="1m",
    show_default=True,
    help="Over how long names and clients are counted.",
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="Between two pictures.",
)
@click.option(
    "--lines",
    metavar="N",
    type=click.IntRange(1, 200),
    default=12,
    show_default=True,
    help="At most so many in each table.",
)
@click.option("--once", is_flag=True, help="One picture and no more; so it is without a terminal.")
@AS_JSON
@remote_options
def command(as_json: bool, once: bool, interval: float, **params: Any) -> None:
    """Watch what is asked: rates, outcomes, names, clients, names that do not exist. Ctrl-C ends.

    Names and clients are counted from samples, so their numbers are estimates; rates are exact.
    """
    client = connect(settings_from(params), params)
    picture = _Picture(client, params["window"], params["lines"])
    picture.look()
    if as_json:
        print_json({"status": picture.status, "top": picture.top})
        return
    from rich.console import Console

    console = Console(highlight=False)
    if once or not sys.stdout.isatty():
        console.print(picture.drawn())
        return
    _watch(picture, console, interval)


def _watch(picture: _Picture, console: Any, interval: float) -> None:
    from rich.live import Live

    with Live(picture.drawn(), console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                time.sleep(interval)
            except KeyboardInterrupt:
                return
            try:
                picture.look()
            except Failure as error:
                picture.trouble = str(error)
            live.update(picture.drawn(), refresh=True)


class _Picture:
    """What was seen last, and how it is drawn. `trouble`: why it is not from now."""

    def __init__(self, client: Client, window: str, lines: int) -> None:
        self._client, self._window, self._lines = client, window, lines
        self.status: dict[str, Any] = {}
        self.top: dict[str, Any] = {}
        self.trouble = ""
        self._rates: list[float] = []

    def look(self) -> None:
        """Asks dnsd. Raises Failure."""
        self.status = self._client.get("/status")
        self.top = self._client.get("/queries/top", window=self._window, k=self._lines)
        self.trouble = ""
        self._rates = [*self._rates, queries(self.status["rates"])][-_KEPT:]

    def drawn(self) -> Group:
        """Head, rates and tables."""
        from rich.columns import Columns
        from rich.console import Group

        tables = [self._table(what) for what in _TITLES]
        return Group(*self._head(), "", Columns(tables, padding=(0, 3)), "", self._foot())

    def _head(self) -> list[RenderableType]:
        from rich.text import Text

        status, engine = self.status, self.status["answer_seconds"]
        ready = status["ready"]
        state = Text(f"dnsd {status['version']}  ", style="bold")
        if self.trouble:
            state.append(plain(self.trouble), style="bold red")
        else:
            state.append(plain(ready["reason"]), style="green" if ready["ok"] else "bold red")
        state.append(f"  serial {status['serial']}, {status['names']:,} names")
        state.append(f", running for {span(status['uptime'])}")
        rate = Text(f"{queries(status['rates']):,.1f} queries a second  ", style="bold")
        rate.append(curve(self._rates), style="cyan")
        rate.append(f"  in the engine p50 {short(engine['p50'])}, p99 {short(engine['p99'])}")
        return [state, rate, Text(outcomes(status["rates"]))]

    def _table(self, what: str) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        title = _TITLES[what]
        table = Table(
            title=title, title_justify="left", box=None, pad_edge=False, min_width=len(title)
        )
        table.add_column("about", justify="right", style="cyan")
        table.add_column("", overflow="fold")
        for row in self.top[what]:
            table.add_row(f"{row['estimate']:,}", Text(plain(row["item"])))
        if not self.top[what]:
            table.add_row("", Text("none yet", style="dim"))
        return table

    def _foot(self) -> RenderableType:
        from rich.text import Text

        types = ", ".join(f"{plain(row['item'])} {row['estimate']:,}" for row in self.top["types"])
        one_in = self.top["sampled_one_in"]
        sampled = "every query is counted" if one_in < 1.5 else f"one query in {one_in:,.0f} counts"
        window = {"1m": "the last minute", "10m": "the last 10 minutes"}[self._window]
        said = f"types: {types or 'none yet'}\nover {window}; {sampled}"
        return Text(said, style="dim")


def outcomes(rates: dict[str, float]) -> str:
    """Answers a second by outcome, in words."""
    found = dict.fromkeys(_OUTCOMES, 0.0)
    for name, rate in rates.items():
        if name.startswith("queries."):
            what = name.rpartition(".")[2]
            found[what] = found.get(what, 0.0) + rate
    return ", ".join(f"{what} {rate:,.1f}" for what, rate in found.items() if rate) or "no queries"


def curve(values: list[float]) -> str:
    """The values as a line of blocks, the largest a full one."""
    highest = max(values, default=0.0)
    if not highest:
        return ""
    return "".join(_SHADES[round(value / highest * (len(_SHADES) - 1))] for value in values)
