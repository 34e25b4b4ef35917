"""Whether dnsd in this container is alive: `python -m dnsd.commands.health`, for HEALTHCHECK.

Asks `/healthz` where the settings of the environment (and of the file DNSD_CONFIG) say that
the admin API is, over TLS if they say so; what flags of `dnsd serve` say is not seen. With
the API off there is nobody to ask, and a process that runs counts as healthy.

Exit code 0: alive. 1: it is not, with a line that says why.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Mapping

from dnsd.settings.load import load
from dnsd.settings.schema import Settings, SettingsError

TIMEOUT = 4.0  # seconds; the image gives it five in all


def problem(environ: Mapping[str, str]) -> str:
    """Why dnsd counts as dead; "" when it is alive."""
    try:
        connection = _connect(load({}, environ))
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
    if settings.admin is None:
        return None
    host = settings.admin.reachable().host
    if not settings.admin_tls_cert:
        return http.client.HTTPConnection(host, settings.admin.port, timeout=TIMEOUT)
    # It is this container's own; its certificate is of the name that others ask for.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, settings.admin.port, timeout=TIMEOUT, context=context)


def main() -> int:
    """The program. Its exit code."""
    found = problem(os.environ)
    if found:
        print(found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
