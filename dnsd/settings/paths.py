"""Kinds of settings that are paths of files and directories.

In `settings/` (below every package but dns/). Change here: what dnsd requires of a path.

A path is checked when it is read: a path that leads nowhere is a mistake in the configuration and
is reported as one. Empty text means that the setting is not given.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from dnsd.settings.kinds import TEXT, BadValue, Kind


def _path(problem_of: Callable[[str], str]) -> Callable[[object], str]:
    """Reads a path with `~` expanded; `problem_of` returns "" for a path that can be used."""

    def parse(value: object) -> str:
        path = os.path.expanduser(str(TEXT.parse(value)))
        if path and (problem := problem_of(path)):
            raise BadValue(value, problem)
        return path

    return parse


def _directory(path: str) -> str:
    if not os.path.exists(path):
        return "does not exist"
    if not os.path.isdir(path):
        return "is not a directory; give the directory that contains it"
    return "" if os.access(path, os.R_OK | os.X_OK) else "cannot be read (permission denied)"


def _file(path: str) -> str:
    if not os.path.exists(path):
        return "does not exist"
    if os.path.isdir(path):
        return "is a directory, not a file"
    return "" if os.access(path, os.R_OK) else "cannot be read (permission denied)"


def _own_directory(path: str) -> str:
    if os.path.exists(path) and not os.path.isdir(path):
        return "is not a directory"
    base = path if os.path.exists(path) else os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(base):
        return f"cannot be made: {base} does not exist"
    return "" if os.access(base, os.W_OK | os.X_OK) else "cannot be written (permission denied)"


DIRECTORY = Kind("directory", "DIR", _path(_directory), TEXT.show)
FILE = Kind("file", "FILE", _path(_file), TEXT.show)
OWN_DIRECTORY = Kind("directory, made when missing", "DIR", _path(_own_directory), TEXT.show)
