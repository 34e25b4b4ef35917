"""`dnsd explain`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from dnsd.commands.options import settings_command, settings_from
from dnsd.commands.printing import ago, cause, columns, heading, plain, print_json, say, wrapped
from dnsd.commands.remote import AS_JSON, connect, is_offline, remote_options
from dnsd.settings.schema import NAMES, OUTSIDE, SIGHT, SOURCES, Settings, SettingsError

# The exit code of a name that was asked for; `query` has the same.
RESOLVES, NXDOMAIN, NODATA, OTHER = 0, 3, 4, 5
_CODES = {"NXDOMAIN": NXDOMAIN, "NOERROR": RESOLVES, "": RESOLVES}

_EXAMPLES = """\
dnsd explain web.prod
dnsd explain web.prod.svc.cluster.local AAAA
dnsd explain web --namespace prod --client 10.244.1.7
dnsd explain web.prod.svc.cluster.local --manifests my/manifests
dnsd explain web.prod --server https://dnsd.example:8053 --token-file token --json"""


@settings_command("explain", _EXAMPLES, groups=(SOURCES, NAMES, OUTSIDE, SIGHT))
@click.argument("name")
@click.argument("type_", metavar="[TYPE]", default="A")
@click.option("--client", metavar="IP", help="Who asks: policies and its Pod's search list count.")
@click.option(
    "--namespace",
    metavar="NAMESPACE",
    default="default",
    show_default=True,
    help="Namespace of the Pod that asks.",
)
@AS_JSON
@remote_options
def command(name: str, type_: str, as_json: bool, **params: Any) -> int:
    """Say why a name resolves, or why it does not.

    One sentence, then what it rests on: the steps, the objects, the last change, names nearby,
    and what the search list of a Pod asks. A name without a dot at its end is also looked up as
    a Pod would. With --manifests DIR it reads those and needs no running dnsd; else it asks one.

    Exit codes: 0 the name resolves (or is forwarded), 3 it does not exist (NXDOMAIN), 4 it has no
    record of that type (NODATA), 5 any other answer (SERVFAIL, REFUSED).
    """
    settings = settings_from(params)
    question = {
        "name": name,
        "type": type_,
        "client": params["client"],
        "namespace": params["namespace"],
    }
    if is_offline(settings, params):
        found = _offline(settings, question)
    else:
        found = connect(settings, params).get("/explain", **question)
    (print_json if as_json else _print)(found)
    return code_of(found["rcode"], bool(found["answer"]))


def code_of(rcode: str, answered: bool) -> int:
    """The exit code of an answer. `rcode` is "" when it is an upstream's to give."""
    if rcode == "NOERROR" and not answered:
        return NODATA
    return _CODES.get(rcode, OTHER)


def _offline(settings: Settings, question: dict[str, Any]) -> dict[str, Any]:
    from dnsd.control.offline import read as read_manifests
    from dnsd.control.offline import views_of
    from dnsd.dns.addresses import pack_address
    from dnsd.explain.explain import BadQuestion, Circumstances, Question, explain, read

    found = read_manifests(settings)
    for problem in found.problems():
        click.echo(f"dnsd: {plain(problem)}", err=True)
    number = _type(question["type"])
    try:
        client = pack_address(question["client"]) if question["client"] else b""
    except ValueError as error:
        raise SettingsError(f"--client: {question['client']!r} is no IP address") from error
    asked = Question(question["name"], number, client, question["namespace"])
    try:
        around = Circumstances(view_zones=views_of(settings, found.pipeline))
        answer = explain(found.pipeline, read(found.pipeline, asked), around)
    except BadQuestion as error:
        raise SettingsError(f"NAME: {error}") from error
    shown: dict[str, Any] = msgspec.to_builtins(answer)
    return shown


def _type(text: str) -> int:
    from dnsd.dns.rdata import BadRecord, type_number
    from dnsd.dns.types import Type

    if text.upper() in Type.__members__:
        return int(Type[text.upper()])
    try:
        return type_number(text)[0]
    except BadRecord as error:
        raise SettingsError(f"TYPE: {error}") from error


def _print(found: dict[str, Any]) -> None:
    say(plain(found["verdict"]), bold=True)
    say()
    for step in found["steps"]:
        _print_step(step)
    if found["answer"]:
        heading("Answer")
        columns([[line] for line in found["answer"]])
    if found["nearest"]:
        heading("Names that do exist")
        columns([[near["name"], near["why"]] for near in found["nearest"]])
    if found["objects"]:
        heading("Objects")
        columns([[cause(one)] for one in found["objects"]])
    if len(found["search"]) > 1:
        heading("What a Pod asks, in this order")
        columns([_asked(one) for one in found["search"]])
    if found["changed"]:
        _print_change(found["changed"])


_INDENT = 17  # what stands before the sentence of a step
_MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("--", "yellow")}


def _print_step(step: dict[str, Any]) -> None:
    mark, colour = _MARKS[step["ok"]]
    said = wrapped(plain(step["said"]), _INDENT)
    say(f"  {click.style(mark, fg=colour)}  {step['what']:<10} {said}")


def _asked(one: dict[str, Any]) -> list[str]:
    return [one["name"], one["outcome"] + (", and stops here" if one["used"] else "")]


def _print_change(last: dict[str, Any]) -> None:
    heading(f"Last change: {ago(last['at'])}, serial {last['serial']}, by {cause(last['cause'])}")
    for line in last["before"]:
        say(f"  - {plain(line)}", fg="red")
    for line in last["after"]:
        say(f"  + {plain(line)}", fg="green")
