"""`dnsd serve`: answer DNS.

In `commands/` (the command line). Change here: the help of `serve`; the process is in `control/`.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from dnsd.commands import Failure
from dnsd.commands.options import settings_command, settings_from

_EXAMPLES = """\
dnsd serve --manifests config/examples/seed
dnsd serve --manifests my/manifests --listen 127.0.0.1:1053 --listen '[::1]:1053'
dnsd serve --kubernetes --context staging
dnsd serve --config config/dnsd.yaml --workers 2
DNSD_MANIFESTS=my/manifests dnsd serve"""


@settings_command("serve", _EXAMPLES)
def command(**params: Any) -> None:
    """Answer DNS for the Services of a directory of manifests or of a cluster, as they change.

    When it starts to answer, it prints its addresses, a command to try, and the URL of its page.
    SIGTERM and Ctrl-C drain and stop it; a second one stops it at once. SIGHUP reloads the
    configuration. Each flag is also a variable (DNSD_LISTEN) and a key of the --config file
    (listen:).
    Exit codes: 0 stopped on request, 2 wrong usage or configuration, 1 any other error.
    """
    settings = settings_from(params)
    # structlog imports rich and greenlet if they are installed. Without these imports, the process
    # needs 5 MB less memory, and starts 70 ms earlier.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    sys.modules.setdefault("greenlet", None)  # type: ignore[arg-type]
    from dnsd.control.serve import ServeFailed, serve  # imported only by this command

    try:
        serve(settings, lambda: settings_from(params), click.echo)
    except ServeFailed as error:
        raise Failure(str(error)) from error
