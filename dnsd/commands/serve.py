"""`dnsd serve`."""

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

    When it answers it prints where, a command to try, and the address of its page. SIGTERM and
    Ctrl-C let it finish what it is doing, a second one does not; SIGHUP makes it read its
    configuration again. Every flag is also a variable (DNSD_LISTEN) and a key of the --config
    file (listen:).
    Exit codes: 0 stopped as asked, 2 wrong usage or configuration, 1 anything else.
    """
    settings = settings_from(params)
    # structlog draws tracebacks with rich, and keeps greenlets apart, when it finds these, and
    # we need neither: not to import them saves 5 MB of memory and 70 ms of the start.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    sys.modules.setdefault("greenlet", None)  # type: ignore[arg-type]
    from dnsd.control.serve import ServeFailed, serve  # only serving pays for its imports

    try:
        serve(settings, lambda: settings_from(params), click.echo)
    except ServeFailed as error:
        raise Failure(str(error)) from error
