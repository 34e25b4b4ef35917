"""The flags that select a running dnsd, and the choice between it and manifests.

In `commands/` (the command line). Change here: how commands find dnsd and its token.

The address: `--server`, DNSD_SERVER, or `admin` of the settings (`--config`, DNSD_ADMIN), by
default 127.0.0.1:8053. The token: `--token`, `--token-file`, DNSD_TOKEN, DNSD_TOKEN_FILE, or the
token that a dnsd on this machine wrote to its state directory or to this user's runtime directory.
A token that was found is sent to loopback addresses only; a token that was given is sent to the
given address.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dnsd.commands.client import ApiUrl, Client, api_url
from dnsd.commands.options import settings_from
from dnsd.commands.printing import plain
from dnsd.control.settings import Settings
from dnsd.settings.schema import SettingsError

if TYPE_CHECKING:
    from dnsd.control.offline import Offline

_MAX_TOKEN_FILE = 4096  # bytes
_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts."),
    click.option(
        "--server",
        metavar="URL",
        help="The API of a running dnsd; also DNSD_SERVER. [http://127.0.0.1:8053]",
    ),
    click.option(
        "--token",
        metavar="TOKEN",
        help="Its token. Other users can see it in the list of processes.",
    ),
    click.option(
        "--token-file",
        metavar="FILE",
        help="File with the token; also DNSD_TOKEN_FILE, or the token itself in DNSD_TOKEN."
        " Without any, the token of a dnsd on this machine is used.",
    ),
    click.option(
        "--state-dir", metavar="DIR", help="State directory of that dnsd, with its token."
    ),
    click.option(
        "--ca", metavar="FILE", help="Certificates to trust for https, instead of the system's."
    ),
)


def remote_options(function: _Function) -> _Function:
    """Decorator: --json, and the flags that select a running dnsd, in the order of the help."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def is_offline(settings: Settings, params: dict[str, Any]) -> bool:
    """Whether to read manifests: `manifests` is set, and no server is given."""
    return bool(settings.manifests.directory) and not _server(params)


def read_offline(settings: Settings) -> Offline:
    """The zone of the manifests. Prints their problems on stderr. Raises SettingsError."""
    from dnsd.control.offline import read

    found = read(settings)
    for problem in found.problems():
        click.echo(f"dnsd: {plain(problem)}", err=True)
    return found


def connect(params: dict[str, Any], settings: Settings | None = None) -> Client:
    """A client of the API that flags, environment, and settings select.

    Raises SettingsError, Failure.
    """
    settings = settings or settings_from(params)
    url = _url(settings, params)
    token, source = _token(settings, params, url)
    return Client(url, token, source, params.get("ca") or "")


def _server(params: dict[str, Any]) -> str:
    return params.get("server") or os.environ.get("DNSD_SERVER", "")


def _url(settings: Settings, params: dict[str, Any]) -> ApiUrl:
    if url := _server(params):
        try:
            return api_url(url)
        except ValueError as error:
            origin = "--server" if params.get("server") else "DNSD_SERVER"
            raise SettingsError(f"{origin}: {error}") from error
    if settings.admin.listen is None:
        raise SettingsError(f"{settings.named('admin')}: is off; give --server URL")
    scheme = "https" if settings.admin.tls_cert else "http"
    return ApiUrl(scheme, settings.admin.listen.reachable().host, settings.admin.listen.port)


def _token(settings: Settings, params: dict[str, Any], url: ApiUrl) -> tuple[str, str]:
    """A token and its source; ("", "") if none is found."""
    environ = os.environ
    if token := params.get("token"):
        return _checked(token, "--token"), "of --token"
    if path := params.get("token_file"):
        return _from_file(path, "--token-file")
    if token := environ.get("DNSD_TOKEN"):
        return _checked(token, "DNSD_TOKEN"), "in DNSD_TOKEN"
    if path := environ.get("DNSD_TOKEN_FILE"):
        return _from_file(path, "DNSD_TOKEN_FILE")
    if not url.local:
        return "", ""
    from dnsd.admin.auth import find_token, token_path

    found = find_token(settings.state_dir, url.port)
    return (found, f"in {token_path(settings.state_dir, url.port)}") if found else ("", "")


def _from_file(path: str, origin: str) -> tuple[str, str]:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_TOKEN_FILE)
    except OSError as error:
        raise SettingsError(f"{origin}: {path}: {error.strerror}") from error
    words = data.decode("ascii", "replace").split()
    if not words:
        raise SettingsError(f"{origin}: {path} is empty; write the token to it")
    if len(words) > 1:
        raise SettingsError(f"{origin}: {path} must hold one token and nothing else")
    return _checked(words[0], f"{origin}: {path}"), f"in {path}"


def _checked(token: str, origin: str) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{origin}: a token has printable ASCII characters without spaces")
    return token
