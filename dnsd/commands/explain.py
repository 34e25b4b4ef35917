"""`dnsd explain`: explain why a name resolves, or why it does not.

In `commands/` (the command line). Change here: how an explanation is printed.
"""

from __future__ import annotations

from typing import Any

import click
import msgspec

from dnsd.commands.options import option, settings_command, settings_from
from dnsd.commands.printing import ago, cause, columns, echo, heading, plain, print_json, wrapped
from dnsd.commands.remote import connect, is_offline, read_offline, remote_options
from dnsd.control.settings import Settings
from dnsd.settings.schema import Group, SettingsError

# The exit codes of an answer; `query` has the same.
RESOLVES, NXDOMAIN, NODATA, OTHER = 0, 3, 4, 5
_ARGUMENTS = {"name": "NAME", "type": "TYPE", "client": "--client"}
_CODES = {"NXDOMAIN": NXDOMAIN, "NOERROR": RESOLVES, "": RESOLVES}

_EXAMPLES = """\
dnsd explain web.prod
dnsd explain web.prod.svc.cluster.local AAAA
dnsd explain web --namespace prod --client 10.244.1.7
dnsd explain web.prod.svc.cluster.local --manifests my/manifests
dnsd explain web.prod --server https://dnsd.example:8053 --token-file token --json"""


@settings_command(
    "explain", _EXAMPLES, groups=(Group.SOURCES, Group.NAMES, Group.EXTERNAL, Group.VIEWS)
)
@click.argument("name")
@click.argument("type_", metavar="[TYPE]", default="A")
@click.option("--client", metavar="IP", help="The client: its policies, and its Pod's search list.")
@option("--namespace", click.STRING, "default", "Namespace of the client's Pod.", "NAMESPACE")
@remote_options
def command(name: str, type_: str, as_json: bool, **params: Any) -> int:
    """Explain why a name resolves, or why it does not.

    Prints one sentence, and then the facts behind it: the steps, the objects, the last change,
    similar names, and the search list of a Pod. A name without a trailing dot is also expanded as a
    Pod would. With --manifests DIR it reads those; otherwise it queries a running dnsd.

    Exit codes: 0 the name resolves (or is forwarded), 3 it does not exist (NXDOMAIN), 4 it has no
    record of that type (NODATA), 5 any other answer (SERVFAIL, REFUSED).
    """
    settings = settings_from(params)
    question = {"name": name, "type": type_}
    question |= {one: params[one] for one in ("client", "namespace")}
    if is_offline(settings, params):
        found = _offline(settings, question)
    else:
        found = connect(params, settings).get("/explain", **question)
    (print_json if as_json else _print)(found)
    return code_of(found["rcode"], bool(found["answer"]))


def code_of(rcode: str, answered: bool) -> int:
    """The exit code of an answer. `rcode` is "" for the answer of an upstream server."""
    if rcode == "NOERROR" and not answered:
        return NODATA
    return _CODES.get(rcode, OTHER)


def _offline(settings: Settings, question: dict[str, Any]) -> dict[str, Any]:
    from dnsd.control.offline import views_of
    from dnsd.explain import explain as explanations

    pipeline = read_offline(settings).pipeline
    try:
        type_ = explanations.type_of(question["type"])
        client = explanations.client_of(question["client"] or "")
        parsed = explanations.Question(question["name"], type_, client, question["namespace"])
        meant = explanations.interpret(pipeline, parsed)
    except explanations.BadQuestion as error:
        raise SettingsError(f"{_ARGUMENTS[error.field]}: {error}") from error
    runtime = explanations.Runtime(view_zones=views_of(settings, pipeline))
    found = explanations.explain(pipeline, meant, runtime)
    shown: dict[str, Any] = msgspec.to_builtins(found)
    return shown


def _print(found: dict[str, Any]) -> None:
    echo(plain(found["verdict"]), bold=True)
    echo()
    for step in found["steps"]:
        _print_step(step)
    if found["answer"]:
        heading("Answer")
        columns([[line] for line in found["answer"]])
    if found["nearest"]:
        heading("Similar names that exist")
        columns([[near["name"], near["why"]] for near in found["nearest"]])
    if found["objects"]:
        heading("Objects")
        columns([[cause(one)] for one in found["objects"]])
    if len(found["search"]) > 1:
        heading("Search list of the Pod, in order")
        columns([_candidate(one) for one in found["search"]])
    if found["changed"]:
        _print_change(found["changed"])


_INDENT = 19  # columns in front of the sentence of a step
_MARKS = {True: ("ok", "green"), False: ("fail", "red"), None: ("info", "yellow")}


def _print_step(step: dict[str, Any]) -> None:
    mark, color = _MARKS[step["ok"]]
    sentence = wrapped(plain(step["said"]), _INDENT)
    echo(f"  {click.style(f'{mark:<4}', fg=color)}  {step['what']:<10} {sentence}")


def _candidate(one: dict[str, Any]) -> list[str]:
    outcome = "external" if one["outcome"] == "not ours" else one["outcome"]
    return [one["name"], outcome + (" (the resolver stops here)" if one["used"] else "")]


def _print_change(last: dict[str, Any]) -> None:
    heading(f"Last change: {ago(last['at'])}, serial {last['serial']}, by {cause(last['cause'])}")
    for line in last["before"]:
        echo(f"  - {plain(line)}", fg="red")
    for line in last["after"]:
        echo(f"  + {plain(line)}", fg="green")
