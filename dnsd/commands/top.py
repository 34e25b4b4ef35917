"""`dnsd top`: show live rates, names, clients, and NXDOMAINs.

In `commands/` (the command line). Change here: what the screen shows.

The screen is redrawn every few seconds. Names and clients are counted from samples, so their
numbers are estimates; rates are exact. While dnsd is unreachable, the last data stays with the
error above.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from dnsd.commands import Failure
from dnsd.commands.client import Client
from dnsd.commands.options import option, settings_command
from dnsd.commands.printing import plain, print_json, short, span
from dnsd.commands.remote import connect, remote_options
from dnsd.commands.status import queries

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_TITLES = {"names": "Names", "nxdomains": "NXDOMAIN", "clients": "Clients"}
_SHADES = " ▁▂▃▄▅▆▇█"
_KEPT = 60  # rates in the sparkline
_OUTCOMES = ("answer", "nodata", "nxdomain", "servfail", "refused")
_EXAMPLES = """\
dnsd top
dnsd top --window 10m --lines 30
dnsd top --once
dnsd top --json | jq '.top.nxdomains[0].item'"""


@settings_command("top", _EXAMPLES, groups=())
@option(
    "--window",
    click.Choice(["1m", "10m"]),
    "1m",
    "The window in which names and clients are counted.",
)
@option("--interval", click.FloatRange(0.2, 3600), 2.0, "Time between two updates.", "SECONDS")
@option("--lines", click.IntRange(1, 200), 12, "Rows of each table.", "N")
@click.option(
    "--once", is_flag=True, help="Print once and exit. This is the default without a terminal."
)
@remote_options
def command(as_json: bool, once: bool, interval: float, **params: Any) -> None:
    """Show live rates, outcomes, names, clients, and NXDOMAINs until Ctrl-C.

    Names and clients are counted from samples, so their numbers are estimates; rates are exact.
    """
    client = connect(params)
    screen = _Screen(client, params["window"], params["lines"])
    screen.update()
    if as_json:
        print_json({"status": screen.status, "top": screen.top})
        return
    from rich.console import Console

    console = Console(highlight=False)
    if once or not sys.stdout.isatty():
        console.print(screen.drawn())
        return
    _watch(screen, console, interval)


def _watch(screen: _Screen, console: Any, interval: float) -> None:
    from rich.live import Live

    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        # Python drops an exception that a finalizer raises, so the loop looks at the list too.
        stopped.append(number)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, stop)
    try:
        with Live(screen.drawn(), console=console, screen=True, auto_refresh=False) as live:
            while not stopped:
                time.sleep(interval)
                try:
                    screen.update()
                except Failure as error:
                    screen.error = str(error)
                live.update(screen.drawn(), refresh=True)
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGINT, previous)


class _Screen:
    """The data of the last update, and how it is drawn. `error`: why an update failed."""

    def __init__(self, client: Client, window: str, lines: int) -> None:
        self._client, self._window, self._lines = client, window, lines
        self.status: dict[str, Any] = {}
        self.top: dict[str, Any] = {}
        self.error = ""
        self._rates: list[float] = []

    def update(self) -> None:
        """Read the data from dnsd. Raises Failure."""
        self.status = self._client.get("/status")
        self.top = self._client.get("/queries/top", window=self._window, k=self._lines)
        self.error = ""
        self._rates = [*self._rates, queries(self.status["rates"])][-_KEPT:]

    def drawn(self) -> Group:
        """The head, the rates, and the tables."""
        from rich.columns import Columns
        from rich.console import Group

        tables = [self._table(what) for what in _TITLES]
        return Group(*self._head(), "", Columns(tables, padding=(0, 3)), "", self._foot())

    def _head(self) -> list[RenderableType]:
        from rich.text import Text

        status, engine = self.status, self.status["answer_seconds"]
        ready = status["ready"]
        state = Text(f"dnsd {status['version']}  ", style="bold")
        if self.error:
            state.append(plain(self.error), style="bold red")
        else:
            state.append(plain(ready["reason"]), style="green" if ready["ok"] else "bold red")
        state.append(f"  serial {status['serial']}, {status['names']:,} names")
        state.append(f", up for {span(status['uptime'])}")
        rate = Text(f"{queries(status['rates']):,.1f} queries per second  ", style="bold")
        rate.append(sparkline(self._rates), style="cyan")
        rate.append(f"  engine p50 {short(engine['p50'])}, p99 {short(engine['p99'])}")
        return [state, rate, Text(outcomes(status["rates"]))]

    def _table(self, what: str) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        title = _TITLES[what]
        table = Table(
            title=title, title_justify="left", box=None, pad_edge=False, min_width=len(title)
        )
        table.add_column("queries", justify="right", style="cyan")
        table.add_column("", overflow="fold")
        for row in self.top[what]:
            table.add_row(f"{row['estimate']:,}", Text(plain(row["item"])))
        if not self.top[what]:
            table.add_row("", Text("none", style="dim"))
        return table

    def _foot(self) -> RenderableType:
        from rich.text import Text

        types = ", ".join(f"{plain(row['item'])} {row['estimate']:,}" for row in self.top["types"])
        one_in = self.top["sampled_one_in"]
        sampled = "all queries counted" if one_in < 1.5 else f"1 query in {one_in:,.0f} sampled"
        window = {"1m": "the last minute", "10m": "the last 10 minutes"}[self._window]
        return Text(f"types: {types or 'none'}\nover {window}; {sampled}", style="dim")


def outcomes(rates: dict[str, float]) -> str:
    """Replies per second by outcome, as text."""
    found = dict.fromkeys(_OUTCOMES, 0.0)
    for name, rate in rates.items():
        if name.startswith("queries."):
            what = name.rpartition(".")[2]
            found[what] = found.get(what, 0.0) + rate
    return ", ".join(f"{what} {rate:,.1f}" for what, rate in found.items() if rate) or "no queries"


def sparkline(values: list[float]) -> str:
    """The values as a line of block characters, scaled to the largest."""
    highest = max(values, default=0.0)
    if not highest:
        return ""
    return "".join(_SHADES[round(value / highest * (len(_SHADES) - 1))] for value in values)
