"""Loads the credentials for an API server, and declares the timing towards it.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: where credentials
come from, and how long dnsd waits for an API server.

The official package (see `package.py`) reads kubeconfig files (merged, relative paths, contexts),
client certificates, and the rotating token of a service account. dnsd imports it when it loads
credentials, so that a server with only manifests never pays for it.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dnsd.sources.kubernetes import execplugin, package
from dnsd.sources.kubernetes.errors import BadCredentials


class Timing(Struct, frozen=True):
    """Durations (seconds) and counts for one API server.

    The defaults are for production clusters. Several are guesses; their comments give the tradeoff.
    """

    connect: float = 10.0  # TCP and TLS
    reply: float = 60.0  # until the headers: the server may queue a request that long (APF)
    page: float = 120.0  # one whole page of a list
    exec: float = 60.0  # one run of the exec plugin of a kubeconfig
    # A server sends one bookmark a minute to a quiet watch; two may be lost. A longer time finds a
    # dead connection later; a shorter one takes a quiet connection for a dead one.
    idle: float = 150.0
    # WatchList: a silence this long before the end mark means that the server ignores the request.
    end_mark: float = 10.0
    # A resumed watch without an event for this long has caught up: the server sends what it has at
    # once. A longer time marks answers stale for longer; a shorter one may end that too early.
    quiet: float = 1.0
    watch: float = 300.0  # sent as timeoutSeconds, up to twice that at random
    renew: float = 10.0  # at most one load of the credentials after a 401 in this time
    refresh: float = 60.0  # at most one load of credentials that are about to expire in this time
    backoff: float = 0.8
    backoff_max: float = 30.0
    brief: float = 1.0  # after a stream shorter than this, reconnect with a delay
    empty_ends: int = 5  # streams in a row that end without data count as 410 Gone
    grace: float = 5.0  # a reconcile waits this long for events that are under way
    # A snapshot and a stream wait this long for the identity of the cluster. A longer time keeps
    # names unanswered where that request hangs; a shorter one trusts streams without it more often.
    identity: float = 1.0


class Access(Struct, frozen=True):
    """The place of the credentials.

    `kubeconfig` and `context`: from the settings. Without a kubeconfig: the service account if the
    environment is that of a Pod, else `$KUBECONFIG`, else `~/.kube/config`.
    """

    kubeconfig: str = ""
    context: str = ""
    environ: Mapping[str, str] = os.environ
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105
    ca_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"

    @property
    def in_cluster(self) -> bool:
        """Whether to use the service account of this Pod."""
        named = self.kubeconfig or self.context
        return not named and bool(self.environ.get("KUBERNETES_SERVICE_HOST"))

    @property
    def paths(self) -> list[str]:
        """The kubeconfig files."""
        files = self.kubeconfig or self.environ.get("KUBECONFIG") or "~/.kube/config"
        return [os.path.expanduser(part) for part in files.split(os.pathsep) if part]


class Credentials(Struct):
    """The `Configuration` of the official package, and its expiry (seconds since the epoch)."""

    configuration: Any
    expires: float = math.inf


async def load(access: Access, timing: Timing) -> Credentials:
    """Load the credentials of `access`. Runs the exec plugin if the kubeconfig has one.

    Raises BadCredentials, which names the file and the problem.
    """
    if access.in_cluster:
        return Credentials(
            package.service_account(access.token_file, access.ca_file, access.environ)
        )
    files = os.pathsep.join(access.paths)
    if not any(map(os.path.exists, access.paths)):
        raise BadCredentials(
            f"kubeconfig {files}: no such file (give --kubeconfig FILE, set $KUBECONFIG,"
            " or run in a Pod with a service account)"
        )
    credentials = Credentials(None)

    async def run_plugin(user: str, section: Any) -> dict[str, str]:
        try:
            async with asyncio.timeout(timing.exec):
                status = await execplugin.run(section)
            if status.expiration_timestamp:
                credentials.expires = status.expiration_timestamp.timestamp()
            return status.user
        except (TimeoutError, execplugin.PluginError) as error:
            problem = str(error) or f"did not end in {timing.exec} s"
            plugin = f"the exec plugin of user {user!r}"
            raise BadCredentials(f"kubeconfig {files}: {plugin} {problem}") from error

    credentials.configuration = await package.kubeconfig(files, access.context, run_plugin)
    return credentials
