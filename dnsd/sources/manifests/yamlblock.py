"""The YAML that tools write, read three times as fast.

What `kubectl get -o yaml`, Helm and generators emit is almost always a small part of YAML:
block mappings and sequences, one `key: value` a line, plain or simply quoted scalars, no
anchors, tags, flow or multi-line text. For a document that keeps to that part a regular
expression a line and a stack are enough; for any other `read` returns None, and the caller
takes the real parser. Two rules keep this honest:

* A line counts only if the expression matches all of it; whatever could mean something else
  (a space in a plain scalar, a tab, a character beyond ASCII, an indicator) does not match.
* Indentation counts only where YAML leaves no choice. A line deeper than its block could
  continue a scalar, one between two blocks is an error: both go to the real parser, and so
  does everything that is wrong. Nothing is ever refused here.

A property test holds the two readers against each other.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from dnsd.sources.manifests.yamlscalar import resolve

MAX_BYTES = 4 * 1024 * 1024  # a larger document is the real parser's, which counts its nodes
MAX_DEPTH = 50

_LINE = re.compile(
    r"""
    ([ ]*)                                # indentation
    (?:
        ((?:-[ ])*)                       # dashes of nested sequences
        (?: ([A-Za-z_][A-Za-z0-9_./-]*):(?:[ ](?=\S)|\Z) )?   # a key
        (?: ([A-Za-z0-9_/.][A-Za-z0-9_./:=+@%,~$()-]*(?<!:))  # a value: plain
          | "([ !#-\[\]-~]*)"             # in double quotes, without escapes
          | '([ -&(-~]*)'                 # in single quotes, without quotes
          | (\{\}|\[\])                   # empty
        )?
      | \#[ -~]*                          # a comment
    )
    """,
    re.X,
)


# What a line adds: nothing is decided by the next line (PENDING), a scalar, or one of these.
_PENDING, _MAP, _LIST = object(), object(), object()

# Indentation, columns of dashes, key (None: an item of a sequence), value.
_Line = tuple[int, int, str | None, Any]
_BLANK: _Line = (0, 0, None, None)


@lru_cache(maxsize=8192)
def _line(text: str) -> _Line | None:
    """The tokens of one line; None when it is not of the subset.

    Kept, because the lines of manifests repeat (`    ready: true`), and their strings with them.
    """
    found = _LINE.fullmatch(text)
    if found is None:
        return None
    indent, dashes, key, plain, double, single, empty = found.groups()
    if not key and not dashes:
        # Text without a key continues a scalar, or is a document of its own.
        return _BLANK if plain is double is single is empty is None else None
    value: Any = _PENDING
    if plain is not None:
        value = resolve(plain)
    elif double is not None or single is not None:
        value = double if single is None else single
    elif empty is not None:
        value = _MAP if empty == "{}" else _LIST
    if key is None and value is _PENDING:
        return None  # a dash with nothing after it
    if key is not None and resolve(key) is not key:
        return None  # `yes:`, `null:`
    return len(indent), len(dashes), key, value


def read(text: str) -> tuple[int, dict[str, Any]] | None:
    """The mapping that `text`, one document, holds, and the line (from 0) it begins at.

    None when the document is empty or does not keep to the subset.
    """
    if len(text) > MAX_BYTES:
        return None
    lines = text.split("\n")
    first = -1
    root: dict[str, Any] = {}
    stack: list[tuple[int, Any]] = [(0, root)]
    column, top = stack[-1]
    pending: str | None = None  # the key of `top` whose value the next line decides
    for number, line in enumerate(lines):
        tokens = _line(line) if number or line != "---" else _BLANK
        if tokens is None:
            return None
        at, dashes, key, value = tokens
        if tokens is _BLANK:
            continue
        if first < 0:
            first = number
        # Where does this line belong?
        if pending is not None and (at > column or (dashes and at == column)):
            block: Any = [] if dashes else {}
            top[pending] = block
            column, top = at, block
            stack.append((at, block))
            if len(stack) > MAX_DEPTH:
                return None
        elif at != column or not dashes:
            while stack and (stack[-1][0] > at or (not dashes and type(stack[-1][1]) is list)):
                stack.pop()  # a sequence no deeper than its key ends with the next key
            if not stack:
                return None
            column, top = stack[-1]
        if at != column or (type(top) is list) is not bool(dashes):
            return None
        # What does it add?
        for dash in range(2, dashes + 1, 2):
            if dash == dashes and key is None:
                break
            block = {} if dash == dashes else []
            top.append(block)
            column, top = at + dash, block
            stack.append((column, block))
        pending = None
        if value is _PENDING:
            pending, value = key, None
        elif value is _MAP:
            value = {}
        elif value is _LIST:
            value = []
        if key is None:
            top.append(value)
        else:
            top[key] = value
    return (first, root) if first >= 0 else None
