"""The official `kubernetes` package, confined to this module.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: everything that
touches the official package.

dnsd uses four classes of the package, all of its asyncio side: `Configuration`, the loaders of a
kubeconfig and of a service account, and `RESTClientObject`, which holds the session, TLS, and
credentials. It avoids the rest:

* `import kubernetes.aio` first runs the `__init__` of the whole package: the blocking client,
  dynamic clients, streams, and leader election. That costs 9 MB and 0.25 s at the start. No
  public call skips it. So `_module` registers the two parent packages without running their
  `__init__`. A process that has already imported them keeps them.
* The model classes, and decoding every field into them, cost 82 MB and 25 times the CPU time. No
  function here touches them.
* The package logs the failure of an exec plugin and continues without credentials, and never ends a
  plugin that hangs. So `credentials.py` runs the plugin and puts its result into the kubeconfig.
* For a broken kubeconfig the package raises anything from its own exception to a TypeError. Here
  each becomes `BadCredentials`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any

from dnsd.sources.kubernetes.errors import BadCredentials, Unreachable

_PARENTS = ("kubernetes", "kubernetes.aio")
_READ_BUFFER = 64 * 2**10  # bytes a stream; the 2 MB of the package dominate an idle dnsd


def _module(name: str) -> Any:
    """A module of `kubernetes.aio`, without the `__init__` of its parents."""
    for parent in _PARENTS:
        if parent not in sys.modules and (spec := find_spec(parent)) is not None:
            sys.modules[parent] = module_from_spec(spec)
    return import_module(f"kubernetes.aio.{name}")


@contextmanager
def _errors(place: str) -> Iterator[None]:
    import yaml

    try:
        yield
    except yaml.YAMLError as error:  # its message has several lines
        problem = " ".join(str(error).split())
        raise BadCredentials(f"{place}: is not valid YAML: {problem}") from error
    except (_module("config.config_exception").ConfigException, OSError, ValueError) as error:
        raise BadCredentials(f"{place}: {error}") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise BadCredentials(f"{place}: is not a complete kubeconfig ({error!r})") from error


def service_account(token_file: str, ca_file: str, environ: Mapping[str, str]) -> Any:
    """The Configuration of the service account of this Pod. Raises BadCredentials."""
    configuration = _module("client.configuration").Configuration()
    with _errors("the service account"):
        _module("config.incluster_config").InClusterConfigLoader(
            token_filename=token_file, cert_filename=ca_file, environ=environ
        ).load_and_set(configuration)
    return configuration


async def kubeconfig(
    files: str, context: str, run_plugin: Callable[[str, Any], Awaitable[dict[str, str]]]
) -> Any:
    """The Configuration of a context in merged kubeconfig files. Raises BadCredentials.

    `run_plugin`: gets the name of the user and the `exec` section, and returns fields of a user.
    """
    kube_config = _module("config.kube_config")
    configuration = _module("client.configuration").Configuration()
    with _errors(f"kubeconfig {files}"):
        merged = kube_config.KubeConfigMerger(files).config
        active = merged["contexts"].get_with_name(context or merged["current-context"])
        name = active["context"].safe_get("user")
        entry = merged["users"].get_with_name(name, safe=True)
        user = entry["user"].value if entry else {}
        if section := user.pop("exec", None):
            user |= await run_plugin(name, section)
        loader = kube_config.KubeConfigLoader(merged, context or None, config_base_path=None)
        await loader.load_and_set(configuration)
    return configuration


def rest_client(configuration: Any) -> Any:
    """A new REST client. Raises OSError for a certificate or key that cannot be read."""
    configuration.client_session_kwargs = {"read_bufsize": _READ_BUFFER}
    return _module("client.rest").RESTClientObject(configuration)


async def authorization(configuration: Any) -> str:
    """The value of the Authorization header, or an empty string.

    Raises Unreachable while a token file is being replaced: it is missing or empty for a moment.
    """
    try:
        token = await configuration.get_api_key_with_prefix("BearerToken")
    except (_module("config.config_exception").ConfigException, OSError) as error:
        raise Unreachable(f"the token of the service account: {error}") from error
    return (token or "").strip()
