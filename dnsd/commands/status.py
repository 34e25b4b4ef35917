"""`dnsd status`."""

from __future__ import annotations

from typing import Any

from dnsd.commands.options import settings_command, settings_from
from dnsd.commands.printing import ago, columns, count, heading, plain, print_json, say, short, span
from dnsd.commands.remote import AS_JSON, connect, remote_options

READY, NOT_READY = 0, 3
_EXAMPLES = """\
dnsd status
dnsd status --server http://127.0.0.1:8053 --json | jq .ready
dnsd status > /dev/null && echo "queries may be sent there" """.rstrip()


@settings_command("status", _EXAMPLES, groups=())
@AS_JSON
@remote_options
def command(as_json: bool, **params: Any) -> int:
    """Say how a running dnsd is doing: readiness, names, rates, sources, workers, upstreams.

    Exit codes: 0 it is healthy and ready, 3 it answers here, but is not.
    """
    client = connect(settings_from(params), params)
    found = client.get("/status")
    if as_json:
        print_json(found)
    else:
        _print(found)
    return READY if found["ready"]["ok"] and found["healthy"]["ok"] else NOT_READY


def _print(found: dict[str, Any]) -> None:
    good = found["ready"]["ok"]
    state = "ready" if good else "not ready"
    say(
        f"dnsd {found['version']}: {state} ({plain(found['ready']['reason'])})",
        bold=True,
        fg="green" if good else "red",
    )
    if not found["healthy"]["ok"]:
        say(f"not healthy: {plain(found['healthy']['reason'])}", fg="red")
    columns(_facts(found))
    heading("Sources")
    columns([_source(one) for one in found["sources"]])
    heading("Workers")
    columns([_worker(one) for one in found["workers"]])
    if found["upstreams"]:
        heading("Upstreams")
        columns([_upstream(one) for one in found["upstreams"]])
    if found["problems"]:
        heading("Not served")
        columns([key, text] for key, texts in found["problems"].items() for text in texts)


def _facts(found: dict[str, Any]) -> list[list[str]]:
    services = [f"{number} {kind}" for kind, number in found["services"].items() if number]
    answer, change = found["answer_seconds"], found["change_seconds"]
    asked = queries(found["counters"])
    per_second = queries(found["rates"])
    return [
        ["answers on", ", ".join(found["listen"])],
        ["for", ", ".join(found["zones"])],
        ["running", f"{span(found['uptime'])}, serial {found['serial']}"],
        ["knows", f"{count(found['names'], 'name')} of {', '.join(services) or 'no Services'}"],
        ["asked", f"{asked:,.0f} queries, {per_second:,.1f} a second lately"],
        ["in the engine", f"p50 {short(answer['p50'])}, p99 {short(answer['p99'])} (sampled)"],
        ["changes", f"{change['count']:,}, answered after p99 {short(change['p99'])}"],
    ]


def queries(counters: dict[str, float]) -> float:
    """How many queries were answered, of counters or of rates."""
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
        f"for {span(one['age'])}",
        replaced,
    ]


def _upstream(one: dict[str, Any]) -> list[str]:
    return [
        one["address"],
        "up" if one["up"] else "down",
        short(one["latency"]),
        f"{one['queries']:,} asked, {one['failures']:,} failed",
    ]
