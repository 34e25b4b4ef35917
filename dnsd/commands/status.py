"""`dnsd status`: show the state of a running dnsd.

In `commands/` (the command line). Change here: how the status is printed.
"""

from __future__ import annotations

from typing import Any

from dnsd.commands.options import settings_command
from dnsd.commands.printing import (
    ago,
    columns,
    count,
    echo,
    heading,
    plain,
    print_json,
    short,
    span,
)
from dnsd.commands.remote import connect, remote_options

READY, NOT_READY = 0, 3
_EXAMPLES = """\
dnsd status
dnsd status --server http://127.0.0.1:8053 --json | jq .ready
dnsd status > /dev/null && echo "ready for queries" """.rstrip()


@settings_command("status", _EXAMPLES, groups=())
@remote_options
def command(as_json: bool, **params: Any) -> int:
    """Show the state of a running dnsd: readiness, names, rates, sources, workers, upstreams.

    Exit codes: 0 it is healthy and ready, 3 it answers this request and is not.
    """
    found = connect(params).get("/status")
    (print_json if as_json else _print)(found)
    return READY if found["ready"]["ok"] and found["healthy"]["ok"] else NOT_READY


def _print(found: dict[str, Any]) -> None:
    ready = found["ready"]["ok"]
    echo(
        f"dnsd {found['version']}: {'ready' if ready else 'not ready'}"
        f" ({plain(found['ready']['reason'])})",
        bold=True,
        fg="green" if ready else "red",
    )
    if not found["healthy"]["ok"]:
        echo(f"not healthy: {plain(found['healthy']['reason'])}", fg="red")
    columns(_facts(found))
    heading("Sources")
    columns(map(_source, found["sources"]))
    heading("Workers")
    columns(map(_worker, found["workers"]))
    if found["upstreams"]:
        heading("Upstreams")
        columns(map(_upstream, found["upstreams"]))
    if found["problems"]:
        heading("Problems")
        columns([key, text] for key, texts in found["problems"].items() for text in texts)


def _facts(found: dict[str, Any]) -> list[list[str]]:
    services = [f"{number} {kind}" for kind, number in found["services"].items() if number]
    answer, change = found["answer_seconds"], found["change_seconds"]
    total, rate = queries(found["counters"]), queries(found["rates"])
    return [
        ["listen", ", ".join(found["listen"])],
        ["zones", ", ".join(found["zones"])],
        ["uptime", f"{span(found['uptime'])}, serial {found['serial']}"],
        ["names", f"{found['names']:,} of {', '.join(services) or 'no Services'}"],
        ["queries", f"{total:,.0f}, {rate:,.1f} per second over 10 s"],
        ["engine", f"p50 {short(answer['p50'])}, p99 {short(answer['p99'])} (sampled)"],
        ["changes", f"{change['count']:,}, p99 {short(change['p99'])} until answered"],
    ]


def queries(counters: dict[str, float]) -> float:
    """The number of queries in counters, or their rate in rates."""
    return sum(number for name, number in counters.items() if name.startswith("queries."))


def _source(one: dict[str, Any]) -> list[str]:
    more = [f"{one[what]} {what}" for what in ("relists", "corrections", "errors") if one[what]]
    return [
        one["name"],
        one["state"],
        count(one["objects"], "object"),
        f"last event {ago(one['last_event'])}",
        ", ".join([*more, one["detail"]]).strip(", "),
    ]


def _worker(one: dict[str, Any]) -> list[str]:
    replaced = f"replaced {one['restarts']} times, {one['last_end']}" if one["restarts"] else ""
    return [
        str(one["index"]),
        one["state"],
        f"process {one['pid']}",
        f"age {span(one['age'])}",
        replaced,
    ]


def _upstream(one: dict[str, Any]) -> list[str]:
    return [
        one["address"],
        "up" if one["up"] else "down",
        short(one["latency"]),
        f"{one['queries']:,} queries, {one['failures']:,} failed",
    ]
