"""File names as text. A name is octets, which need not be UTF-8: Python holds what is not in
lone surrogates, which nothing can print, pack or send."""

from __future__ import annotations

import os


def shown(name: str) -> str:
    """A file's name as text that can be encoded: octets that are not UTF-8 as `\\xff`."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")
