"""The health check of a container: `python -m dnsd.commands.health`, for HEALTHCHECK.

In `commands/` (the command line). Change here: when a container counts as healthy.

It queries `/healthz` at the admin address of the environment (and of the file DNSD_CONFIG), over
TLS if a certificate is set. The flags of `dnsd serve` do not reach it. If the API is off, a running
process counts as healthy.

Exit code 0: healthy. 1: not healthy, with the reason in one line.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Mapping

from dnsd.control.settings import Settings
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError

TIMEOUT = 4.0  # seconds; the image allows five in total


def problem(environ: Mapping[str, str]) -> str:
    """Why dnsd is not healthy; "" if it is."""
    try:
        connection = _connect(load(Settings, {}, environ))
    except SettingsError as error:
        return str(error)
    if connection is None:
        return ""
    try:
        connection.request("GET", "/healthz")
        reply = connection.getresponse()
        text = reply.read(1000).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"{connection.host}:{connection.port}: {error}"
    finally:
        connection.close()
    return "" if reply.status == 200 else f"{reply.status} {text}"


def _connect(settings: Settings) -> http.client.HTTPConnection | None:
    if settings.admin.listen is None:
        return None
    host, port = settings.admin.listen.reachable().host, settings.admin.listen.port
    if not settings.admin.tls_cert:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    # The connection stays in the container; the certificate has the external name of dnsd.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)


def main() -> int:
    """Run the check. The exit code."""
    found = problem(os.environ)
    if found:
        print(found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
