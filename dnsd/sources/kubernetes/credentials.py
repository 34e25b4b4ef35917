"""Where credentials for an API server come from, and how patient to be with it.

The official `kubernetes` package knows how to find and keep credentials: kubeconfig files
(merged, relative paths, contexts), exec plugins, client certificates, the rotating token of
a service account. It is imported when credentials are loaded, not before, so a server that
follows manifests never pays for it; its lazy submodules cost 21 MB and 0.2 s, its model
classes (which nothing here touches) four times that.

What the package raises for a file that is missing, broken or incomplete is anything from
its own exception to a TypeError; all of it leaves here as `BadCredentials` with the file's
name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dnsd.sources.kubernetes.execplugin import ExecPlugin
from dnsd.sources.kubernetes.package import aio_only


class Timing(Struct, frozen=True):
    """Every duration (seconds) and count of patience towards an API server.

    The defaults are for real clusters; tests hand in small ones. Several are guesses, and
    say what they trade.
    """

    connect: float = 10.0  # TCP and TLS
    reply: float = 60.0  # until the headers: the server may queue a request (its APF) this long
    page: float = 120.0  # one whole page of a list
    exec: float = 60.0  # one run of a kubeconfig's exec plugin
    # A quiet kind gets one bookmark a minute: two may be lost. Longer finds a dead
    # connection later, shorter takes quiet ones for dead.
    idle: float = 150.0
    # WatchList: silence this long before the end mark means a server that ignored the wish.
    end_mark: float = 10.0
    # A resumed watch that says nothing for this long has caught up: the server sends what
    # it has at once. Longer marks answers stale for longer, shorter may call them fresh early.
    quiet: float = 1.0
    watch: float = 300.0  # asked as timeoutSeconds, up to twice that at random
    renew: float = 10.0
    refresh: float = 60.0  # how often credentials that expire are looked at
    backoff: float = 0.8
    backoff_max: float = 30.0
    brief: float = 1.0  # a stream shorter than this is not reconnected without a pause
    empty_ends: int = 5  # streams in a row that end without a word count as 410 Gone
    settle: float = 5.0  # a reconcile waits this long for events under way
    # A snapshot and a stream wait this long for the cluster to say who it is. Longer keeps
    # names unanswered where that request hangs, shorter believes streams more often unasked.
    identity: float = 1.0


class KubeError(Exception):
    """Something about the API server; the message is a sentence for the operator."""


class BadCredentials(KubeError):
    """The kubeconfig or service account cannot be used; no retry mends it."""


class Access(Struct, frozen=True):
    """Where credentials come from.

    `kubeconfig` and `context` as given on the command line. Without a kubeconfig: the
    service account when the environment says that this is a Pod, else `$KUBECONFIG`, else
    `~/.kube/config`. The two files of the service account are where every Pod has them.
    """

    kubeconfig: str = ""
    context: str = ""
    environ: Mapping[str, str] = os.environ
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105
    ca_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"

    @property
    def in_cluster(self) -> bool:
        """Whether the service account of this Pod is meant."""
        named = self.kubeconfig or self.context
        return not named and bool(self.environ.get("KUBERNETES_SERVICE_HOST"))

    @property
    def files(self) -> str:
        """The kubeconfig file, or files separated by colons."""
        return self.kubeconfig or self.environ.get("KUBECONFIG") or "~/.kube/config"

    @property
    def paths(self) -> list[str]:
        """The kubeconfig files, one by one."""
        return [os.path.expanduser(part) for part in self.files.split(os.pathsep) if part]


async def load(access: Access, timing: Timing) -> tuple[Any, Any]:
    """The package's Configuration for `access`, and its kubeconfig loader (None in a Pod).

    Raises BadCredentials, naming the file and the problem.
    """
    aio_only()
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.config.config_exception import ConfigException

    configuration = Configuration()
    where = "the service account" if access.in_cluster else f"kubeconfig {access.files}"
    try:
        if access.in_cluster:
            _load_service_account(access, configuration)
            return configuration, None
        return configuration, await _load_kubeconfig(access, configuration, timing)
    except TimeoutError as error:
        raise BadCredentials(f"{where}: the exec plugin did not end in {timing.exec} s") from error
    except (ConfigException, OSError, ValueError) as error:
        raise BadCredentials(f"{where}: {error}") from error
    except (TypeError, KeyError, AttributeError) as error:
        # What the package raises for YAML that is not shaped like a kubeconfig.
        raise BadCredentials(f"{where}: is not a complete kubeconfig ({error!r})") from error


def _load_service_account(access: Access, configuration: Any) -> None:
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader

    InClusterConfigLoader(
        token_filename=access.token_file, cert_filename=access.ca_file, environ=access.environ
    ).load_and_set(configuration)


async def _load_kubeconfig(access: Access, configuration: Any, timing: Timing) -> Any:
    import yaml
    from kubernetes.aio.config import kube_config

    kube_config.ExecProvider = ExecPlugin  # see there
    files = access.paths
    if not any(map(os.path.exists, files)):
        raise BadCredentials(
            f"kubeconfig {access.files}: no such file (give --kubeconfig FILE, set $KUBECONFIG,"
            " or run in a Pod with a service account)"
        )
    try:
        async with asyncio.timeout(timing.exec):
            loader = await kube_config.load_kube_config(
                config_file=os.pathsep.join(files),
                context=access.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except yaml.YAMLError as error:  # it says it in several lines
        why = " ".join(str(error).split())
        raise BadCredentials(f"kubeconfig {access.files}: is not valid YAML: {why}") from error
    user = loader.current_context["context"].get("user", "")
    if has_exec(loader) and "token" not in vars(loader) and not configuration.cert_file:
        # The package logs why and goes on without credentials; the server would only say 401.
        raise BadCredentials(f"kubeconfig {access.files}: the exec plugin of user {user!r} failed")
    return loader


def has_exec(loader: Any) -> bool:
    """Whether credentials come from an exec plugin (client.authentication.k8s.io)."""
    user = loader._user
    return user is not None and "exec" in user
