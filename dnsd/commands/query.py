"""`dnsd query`: send a query to a running dnsd.

In `commands/` (the command line). Change here: how a reply is printed.
"""

from __future__ import annotations

from typing import Any

import click

from dnsd.commands import Failure
from dnsd.commands.explain import NODATA, code_of
from dnsd.commands.options import option, settings_command
from dnsd.commands.printing import columns, echo, heading, plain, print_json
from dnsd.commands.remote import connect, remote_options
from dnsd.transport.registry import TRANSPORTS

_EXAMPLES = """\
dnsd query webui-svc.default.svc.cluster.local
dnsd query _http._tcp.web.prod.svc.cluster.local SRV
dnsd query --short web.prod.svc.cluster.local
dnsd query --client 10.244.1.7 --over udp example.org AAAA"""


@settings_command("query", _EXAMPLES, groups=())
@click.argument("name")
@click.argument("type_", metavar="[TYPE]", default="A")
@click.option("--client", metavar="IP", help="The address of the client.")
@option(
    "--over",
    click.Choice([transport.name for transport in TRANSPORTS]),
    "tcp",
    "Over UDP, a long reply is truncated.",
)
@click.option("--short", is_flag=True, help="Print only the values.")
@remote_options
def command(name: str, type_: str, as_json: bool, short: bool, **params: Any) -> int:
    """Send a query to a running dnsd, and print the reply of its engine.

    The query goes through the API to one of the processes that answer DNS, so it also works where
    port 53 is unreachable. NAME is taken as it is, without a search list.

    Exit codes: 0 such records exist, 3 the name does not exist (NXDOMAIN), 4 it has no record of
    that type (NODATA), 5 any other answer (SERVFAIL, REFUSED), 1 no reply.
    """
    found = connect(params).get(
        "/resolve", name=name, type=type_, client=params["client"], over=params["over"]
    )
    if as_json:
        print_json(found)
    if found["reply"] is None:
        raise Failure(f"{plain(name)}: dnsd sends no reply to this client")
    code = code_of(found["rcode"], bool(found["answer"]))
    if not as_json and short:
        for record in found["answer"]:
            echo(plain(record["value"]))
    elif not as_json:
        _print(found, code)
    return code


def _print(found: dict[str, Any], code: int) -> None:
    nodata = ", no record of that type (NODATA)" if code == NODATA else ""
    echo(f"{found['rcode']}{nodata}  flags: {' '.join(found['flags'])}", bold=True)
    for section in ("answer", "authority", "additional"):
        if found[section]:
            heading(section.capitalize())
            columns([one["name"], one["ttl"], one["type"], one["value"]] for one in found[section])
