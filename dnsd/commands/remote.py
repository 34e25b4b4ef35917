"""Flags of the commands that ask a running dnsd, and how it is found.

Where: `--server`, or DNSD_SERVER, or the address that the settings (`--config`, DNSD_ADMIN)
name as `admin`; that is 127.0.0.1:8053 unless told otherwise. The token: `--token`,
`--token-file`, DNSD_TOKEN, DNSD_TOKEN_FILE, or the one dnsd left on this machine (in its
state directory, or in this user's runtime directory).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from dnsd.commands.client import Client, Place, place_of
from dnsd.dns.addresses import Address
from dnsd.settings.schema import Settings, SettingsError

_MAX_TOKEN_FILE = 4096
_Function = TypeVar("_Function", bound=Callable[..., Any])

SERVER = click.option(
    "--server",
    metavar="URL",
    help="The API of a running dnsd; also DNSD_SERVER. [http://127.0.0.1:8053]",
)
TOKEN = click.option(
    "--token", metavar="TOKEN", help="Its token; others can see it in the list of processes."
)
TOKEN_FILE = click.option(
    "--token-file",
    metavar="FILE",
    help="File with the token; also DNSD_TOKEN_FILE, or the token itself in DNSD_TOKEN."
    " Without any, the one dnsd left on this machine is found.",
)
STATE_DIR = click.option(
    "--state-dir", metavar="DIR", help="The state directory of that dnsd; its token lies there."
)
CA = click.option(
    "--ca", metavar="FILE", help="Certificates to trust for https, instead of the system's."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def remote_options(function: _Function) -> _Function:
    """Decorator: all flags that say which dnsd to ask, in the order of help."""
    for option in (CA, STATE_DIR, TOKEN_FILE, TOKEN, SERVER):
        function = option(function)
    return function


def is_offline(settings: Settings, params: dict[str, Any]) -> bool:
    """Whether manifests are to be read here: they are named, and no server is."""
    return bool(settings.manifests) and not _server(params)


def connect(settings: Settings, params: dict[str, Any]) -> Client:
    """The API that flags, environment and settings name. Raises SettingsError, Failure."""
    place = _place(settings, params)
    token, told = _token(settings, params, place)
    return Client(place, token, told, params.get("ca") or "")


def _server(params: dict[str, Any]) -> str:
    return params.get("server") or os.environ.get("DNSD_SERVER", "")


def _place(settings: Settings, params: dict[str, Any]) -> Place:
    url = _server(params)
    if not url:
        return _own(settings)
    try:
        return place_of(url)
    except ValueError as error:
        who = "--server" if params.get("server") else "DNSD_SERVER"
        raise SettingsError(f"{who}: {error}") from error


def _own(settings: Settings) -> Place:
    """Where a dnsd with these settings has its API."""
    admin: Address | None = settings.admin
    if admin is None:
        raise SettingsError(f"{settings.named('admin')}: off; give --server URL")
    scheme = "https" if getattr(settings, "admin_tls_cert", "") else "http"
    return Place(scheme, admin.reachable().host, admin.port)


def _token(settings: Settings, params: dict[str, Any], place: Place) -> tuple[str, str]:
    """A token and where it is from; ("", "") when there is none."""
    if params.get("token"):
        return _checked(params["token"], "--token"), "of --token"
    if params.get("token_file"):
        return _from_file(params["token_file"], "--token-file")
    if os.environ.get("DNSD_TOKEN"):
        return _checked(os.environ["DNSD_TOKEN"], "DNSD_TOKEN"), "in DNSD_TOKEN"
    if os.environ.get("DNSD_TOKEN_FILE"):
        return _from_file(os.environ["DNSD_TOKEN_FILE"], "DNSD_TOKEN_FILE")
    if not place.here:
        return "", ""
    from dnsd.admin.auth import find_token, token_path

    path = token_path(settings.state_dir, place.port)
    found = find_token(settings.state_dir, place.port)
    return (found, f"in {path}") if found else ("", "")


def _from_file(path: str, who: str) -> tuple[str, str]:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_TOKEN_FILE)
    except OSError as error:
        raise SettingsError(f"{who}: {path}: {error.strerror}") from error
    words = data.decode("ascii", "replace").split()
    if not words:
        raise SettingsError(f"{who}: {path} is empty")
    if len(words) > 1:
        raise SettingsError(f"{who}: {path} must hold one token and nothing else")
    return _checked(words[0], f"{who}: {path}"), f"in {path}"


def _checked(token: str, who: str) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{who}: is no token: printable ASCII characters without spaces are")
    return token
