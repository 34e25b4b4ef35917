"""Authentication of API requests: bearer tokens and their roles.

In `admin/` (control plane: the HTTP API). Change here: token files, and dnsd's own token.

A token file has one line for each token, `NAME ROLE TOKEN`. The role is `read`, or `write` (which
includes read). `#` starts a comment. A changed file is read again at the next request. If it is
invalid, one error is logged and the previous tokens stay in force.

Without a file, dnsd creates a token with the role `write`, in a file of mode 0600 where its command
line finds it: `admin.token` in the state directory, or else in a directory of this user below
XDG_RUNTIME_DIR or the temporary directory of the system.

Tokens are kept as SHA-256 digests. A request's token is compared with each of them in constant time
(hmac.compare_digest), so neither timing nor a memory dump reveals a token.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from enum import Enum
from hashlib import sha256
from pathlib import Path

import structlog
from msgspec import Struct

log = structlog.get_logger(__name__)

TOKEN_FILE = "admin.token"  # noqa: S105 - its name, not a token
MIN_LENGTH = 16  # characters; a shorter token can be guessed
MAX_LENGTH = 512
_MAX_FILE = 1 << 20  # bytes
_MAX_TOKENS = 1000
_OWN_BYTES = 32  # of random data
_TOKEN = re.compile(rf"[!-~]{{{MIN_LENGTH},{MAX_LENGTH}}}")


class Role(Enum):
    """What a token allows; WRITE includes READ."""

    READ = "read"
    WRITE = "write"


class BadTokens(ValueError):
    """A token file is invalid; the text names the line and the reason."""


class Identity(Struct, frozen=True):
    """The holder of a token, by its name in the log. `role`: None if RBAC allows neither role."""

    name: str
    role: Role | None


class Tokens:
    """The tokens in force: those of a file, or the one that dnsd created."""

    def __init__(self, file: str = "", own: str = "") -> None:
        """Raises BadTokens if `file` is given and invalid."""
        self._file = file
        self._version = _version_of(file)
        self._tokens = read(file) if file else []  # the digest and the identity of each
        if own:
            self._tokens.append((_digest(own), Identity("dnsd", Role.WRITE)))

    def find(self, presented: str) -> Identity | None:
        """The identity of a token; None for an unknown one."""
        self._update()
        digest = _digest(presented[:MAX_LENGTH])
        found = None
        for known, identity in self._tokens:  # always all of them, so that the time is constant
            if hmac.compare_digest(known, digest):
                found = identity
        return found

    def _update(self) -> None:
        """Read the file again if it changed."""
        if (now := _version_of(self._file)) == self._version:
            return
        self._version = now
        try:
            self._tokens = read(self._file)
        except BadTokens as error:
            log.error(  # noqa: TRY400
                "the token file is invalid; the previous tokens stay in force", problem=str(error)
            )
        else:
            log.info("token file read again", file=self._file, tokens=len(self._tokens))


def read(file: str) -> list[tuple[bytes, Identity]]:
    """The digest and the identity of each token of a file. Raises BadTokens."""
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MAX_FILE + 1)
        if stat.S_IMODE(os.stat(file).st_mode) & stat.S_IROTH:
            log.warning("every user of this machine can read the tokens; run chmod 600", file=file)
    except OSError as error:
        raise BadTokens(f"{file}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise BadTokens(f"{file}: exceeds {_MAX_FILE} bytes")
    tokens = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            tokens.append(_token(f"{file}:{number}", words))
    if not tokens:
        raise BadTokens(f"{file}: has no token; write lines of NAME ROLE TOKEN")
    if len(tokens) > _MAX_TOKENS:
        raise BadTokens(f"{file}: has {len(tokens)} tokens; write at most {_MAX_TOKENS}")
    return tokens


def _token(place: str, words: list[str]) -> tuple[bytes, Identity]:
    if len(words) != 3:
        raise BadTokens(f"{place}: has {len(words)} words; write NAME ROLE TOKEN")
    name, role, secret = words
    if role not in ("read", "write"):
        raise BadTokens(f"{place}: {role!r} is not a role; write read or write")
    if not _TOKEN.fullmatch(secret):
        # Without the token itself, because errors are logged.
        raise BadTokens(
            f"{place}: the token of {name} must have {MIN_LENGTH} to {MAX_LENGTH} printable"
            " ASCII characters"
        )
    return _digest(secret), Identity(name, Role(role))


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()


def _version_of(file: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


# ---------------------------------------------------------------------------------------
# The token that dnsd creates.


def own_token(path: Path) -> str:
    """The token in the file at `path`. Creates a missing file. Raises OSError.

    A file that other users can read is replaced.
    """
    known = _usable(path)
    if known:
        return known
    token = secrets.token_urlsafe(_OWN_BYTES)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(token + "\n")
    return token


def _usable(path: Path) -> str:
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.getuid():
            return ""
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
    return text if _TOKEN.fullmatch(text) else ""


def token_path(state_dir: str, port: int, environ: Mapping[str, str] = os.environ) -> Path:
    """The file with the token of a dnsd whose API is at `port`. Creates nothing."""
    if state_dir:
        return Path(state_dir, TOKEN_FILE)
    return _runtime(environ) / f"admin-{port}.token"


def private(directory: Path) -> Path:
    """`directory`, created if missing. Raises OSError if another user can write to it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(1, "is not a directory of this user with mode 0700", str(directory))
    return directory


def _runtime(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_RUNTIME_DIR", "")
    if base and os.path.isdir(base):
        return Path(base, "dnsd")
    return Path(tempfile.gettempdir(), f"dnsd-{os.getuid()}")


def find_token(state_dir: str, port: int, environ: Mapping[str, str] = os.environ) -> str:
    """The token that a dnsd on this machine wrote for its command line; "" for none."""
    try:
        return _usable(token_path(state_dir, port, environ))
    except OSError:
        return ""
