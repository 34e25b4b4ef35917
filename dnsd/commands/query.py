"""`dnsd query`."""

from __future__ import annotations

from typing import Any

import click

from dnsd.commands import Failure
from dnsd.commands.explain import code_of
from dnsd.commands.options import settings_command, settings_from
from dnsd.commands.printing import columns, heading, plain, print_json, say
from dnsd.commands.remote import AS_JSON, connect, remote_options
from dnsd.transport.registry import TRANSPORTS

_EXAMPLES = """\
dnsd query webui-svc.default.svc.cluster.local
dnsd query _http._tcp.web.prod.svc.cluster.local SRV
dnsd query --short web.prod.svc.cluster.local
dnsd query --client 10.244.1.7 --over udp example.org AAAA"""


@settings_command("query", _EXAMPLES, groups=())
@click.argument("name")
@click.argument("type_", metavar="[TYPE]", default="A")
@click.option("--client", metavar="IP", help="The address it is asked from.")
@click.option(
    "--over",
    type=click.Choice([transport.name for transport in TRANSPORTS]),
    default="tcp",
    show_default=True,
    help="Over UDP a long answer comes truncated.",
)
@click.option("--short", is_flag=True, help="Print the values only.")
@AS_JSON
@remote_options
def command(name: str, type_: str, as_json: bool, short: bool, **params: Any) -> int:
    """Ask a running dnsd a question, and print what its engine answers.

    The question goes through the API to one of the very processes that answer DNS, so it works
    where port 53 cannot be reached. NAME is taken as it stands, without any search list.

    Exit codes: 0 it has such records, 3 there is no such name (NXDOMAIN), 4 it has no record of
    that type (NODATA), 5 any other answer (SERVFAIL, REFUSED), 1 no answer.
    """
    found = connect(settings_from(params), params).get(
        "/resolve", name=name, type=type_, client=params["client"], over=params["over"]
    )
    if as_json:
        print_json(found)
    if found["reply"] is None:
        raise Failure(f"{plain(name)}: dnsd gives no answer to this client")
    if not as_json:
        (_print_short if short else _print)(found)
    return code_of(found["rcode"], bool(found["answer"]))


def _print_short(found: dict[str, Any]) -> None:
    for record in found["answer"]:
        say(plain(record["value"]))


def _print(found: dict[str, Any]) -> None:
    said = found["rcode"]
    if code_of(said, bool(found["answer"])) == code_of("NOERROR", False):
        said += ", no record of that type (NODATA)"
    say(f"{said}  flags: {' '.join(found['flags'])}", bold=True)
    for section in ("answer", "authority", "additional"):
        if found[section]:
            heading(section.capitalize())
            columns([one["name"], one["ttl"], one["type"], one["value"]] for one in found[section])
