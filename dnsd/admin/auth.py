"""Who may ask the API: bearer tokens and their roles.

A file of tokens has a line each, `NAME ROLE TOKEN`; the role is `read` or `write` (which may
read too); `#` begins a comment. It is read again when it changes, at the next request. What
is wrong with it is logged once, and the tokens that were good before stay in force.

Without a file dnsd makes a token of its own, with the role `write`, in a file of mode 0600
where its command line finds it: `admin.token` in the state directory, or, without one, in a
directory of this user's below XDG_RUNTIME_DIR or the system's temporary directory.

Tokens are kept as SHA-256 digests, and a presented one is compared with every one of them in
constant time (hmac.compare_digest): neither the time taken nor a memory dump tells a token.
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
MIN_LENGTH = 16  # characters; what is shorter can be guessed
MAX_LENGTH = 512
_MAX_FILE = 1 << 20
_MAX_TOKENS = 1000
_OWN_BYTES = 32
_WORD = re.compile(r"[!-~]+")


class Role(Enum):
    """What a token allows; WRITE includes READ."""

    READ = "read"
    WRITE = "write"


class BadTokens(ValueError):
    """A file of tokens that cannot be used; says which line and why."""


class Token(Struct, frozen=True):
    """A token, by its digest. `name`: whose it is, for the log."""

    name: str
    role: Role
    digest: bytes


class Tokens:
    """The tokens in force: those of a file, or dnsd's own."""

    def __init__(self, file: str = "", own: str = "") -> None:
        """Raises BadTokens when `file` is given and cannot be used."""
        self._file = file
        self._seen = _look(file) if file else None
        self._tokens: tuple[Token, ...] = read(file) if file else ()
        if own:
            self._tokens += (Token("dnsd", Role.WRITE, _digest(own)),)

    def find(self, presented: str) -> Token | None:
        """Whose token this is; None when it is nobody's."""
        self._follow()
        digest = _digest(presented[:MAX_LENGTH])
        found = None
        for token in self._tokens:  # all of them, whichever fits
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def _follow(self) -> None:
        """Reads the file again when it is another one than at the last look."""
        if not self._file or (now := _look(self._file)) == self._seen:
            return
        self._seen = now
        try:
            self._tokens = read(self._file)
        except BadTokens as error:
            log.error("the tokens in force stay the old ones", problem=str(error))  # noqa: TRY400
        else:
            log.info("tokens read again", file=self._file, tokens=len(self._tokens))


def read(file: str) -> tuple[Token, ...]:
    """The tokens of a file. Raises BadTokens."""
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MAX_FILE + 1)
        if stat.S_IMODE(os.stat(file).st_mode) & stat.S_IROTH:
            log.warning(
                "everybody on this machine can read the tokens", file=file, hint="chmod 600"
            )
    except OSError as error:
        raise BadTokens(f"{file}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise BadTokens(f"{file}: is over {_MAX_FILE} bytes")
    tokens = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            tokens.append(_token(f"{file}:{number}", words))
    if not tokens:
        raise BadTokens(f"{file}: has no token; write lines of NAME ROLE TOKEN")
    if len(tokens) > _MAX_TOKENS:
        raise BadTokens(f"{file}: has {len(tokens)} tokens, at most {_MAX_TOKENS} are read")
    return tuple(tokens)


def _token(place: str, words: list[str]) -> Token:
    if len(words) != 3:
        raise BadTokens(f"{place}: has {len(words)} words; write NAME ROLE TOKEN")
    name, role, secret = words
    if role not in (one.value for one in Role):
        raise BadTokens(f"{place}: {role!r} is no role; write read or write")
    if not MIN_LENGTH <= len(secret) <= MAX_LENGTH or not _WORD.fullmatch(secret):
        # The token itself is not said: errors end up in logs.
        raise BadTokens(
            f"{place}: the token of {name} must have {MIN_LENGTH} to {MAX_LENGTH} printable"
            " ASCII characters"
        )
    return Token(name, Role(role), _digest(secret))


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()


def _look(file: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


# ---------------------------------------------------------------------------------------
# dnsd's own token.


def own_token(path: Path) -> str:
    """The token in the file at `path`, which is made when it is missing. Raises OSError.

    A file that others can read is no secret any more, and is replaced.
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
    return text if MIN_LENGTH <= len(text) <= MAX_LENGTH and _WORD.fullmatch(text) else ""


def token_path(state_dir: str, port: int, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the token of a dnsd lies that has its API at `port`. Makes nothing."""
    if state_dir:
        return Path(state_dir, TOKEN_FILE)
    return _runtime(environ) / f"admin-{port}.token"


def private(directory: Path) -> Path:
    """`directory`, made when missing, and certainly this user's only. Raises OSError."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(1, "others can write there, or it is not this user's", str(directory))
    return directory


def _runtime(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_RUNTIME_DIR", "")
    if base and os.path.isdir(base):
        return Path(base, "dnsd")
    return Path(tempfile.gettempdir(), f"dnsd-{os.getuid()}")


def find_token(state_dir: str, port: int, environ: Mapping[str, str] = os.environ) -> str:
    """The token that a dnsd on this machine left for its command line; "" when there is none."""
    try:
        return _usable(token_path(state_dir, port, environ))
    except OSError:
        return ""
