"""Reads YAML text into dicts, lists, and scalars, within bounds.

In `sources/manifests/` (control plane: objects from files). Change here: which YAML is accepted.

libyaml parses (PyYAML's `CParser`). Kubernetes reads manifests with a Go port of libyaml, so both
accept the same texts. This module builds the objects from libyaml's events instead of using
PyYAML's constructor, because the constructor has no bounds (nine lines of nested aliases become a
billion nodes) and takes 1.7 times as long.

Rules
* A file is split into documents first. A line that begins with `---` starts a document wherever
  it stands (YAML 1.1, section 9.1.2), so a caller can skip the documents that did not change.
* Depth, nodes, and nodes that aliases stand for are counted while they are read. A text that
  exceeds a bound is `Unreadable`, with line and column.
* An alias shares the object of its anchor (nothing is copied). `<<` merges as in YAML 1.1. Of two
  equal keys, the last one counts.
* Plain scalars mean what they mean to Kubernetes: `yes`, `on`, and `0777` as in YAML 1.1, and
  `1e3` is a number. `80:80` and `2026-01-01` are text: base 60 and timestamps do not exist.
* Tags other than those of the YAML core schema are refused.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml
from yaml import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)
from yaml._yaml import CParser

MAX_DEPTH = 100  # levels; a CustomResourceDefinition reaches about 40
MAX_NODES = 4_000_000  # per document; a List of 10,000 Services and 50,000 endpoints has 1 million
MAX_ALIASED = 200_000  # nodes that the aliases of a document stand for, beyond its own text


class Unreadable(ValueError):
    """Text that is not YAML, or exceeds a bound. `line` and `column` count from 1; 0: unknown."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        self.problem, self.line, self.column = problem, line, column
        super().__init__(problem)


class Chunk(NamedTuple):
    """The text of one document, its `---` included, and the line (from 1) at which it begins."""

    line: int
    text: bytes


class Document(NamedTuple):
    """The value of one document, and the line (from 1) of its first node."""

    line: int
    value: Any


_MARKER = re.compile(rb"^---(?=[ \t\n]|\Z)", re.M)
_EMPTY = re.compile(rb"(?:---)?(?:[ ]*(?:#[^\n]*)?\n)*[ ]*(?:#[^\n]*)?")
# Directives, document ends, and line breaks other than LF. A file with one of them is one chunk.
_UNSPLIT = (b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\n%", b"\n...")


def split(data: bytes) -> list[Chunk]:
    """The documents of a file in order, without those that hold only comments.

    `data` is UTF-8, with or without a byte order mark. A file that cannot be split at its `---`
    lines alone is one chunk of all its documents.
    """
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if data.startswith((b"%", b"...")) or any(mark in data for mark in _UNSPLIT):
        return [Chunk(1, data)]
    chunks = []
    line, start = 1, 0
    for end in [*(found.start() for found in _MARKER.finditer(data)), len(data)]:
        text = data[start:end]
        if not _EMPTY.fullmatch(text):
            chunks.append(Chunk(line, text))
        line += text.count(b"\n")
        start = end
    return chunks


def read(chunk: Chunk, max_nodes: int = MAX_NODES) -> list[Document]:
    """The documents of one chunk that are not null. Raises Unreadable."""
    first = chunk.line
    try:
        text = chunk.text.decode()
        return [
            one for one in _Builder(text, first, max_nodes).documents() if one.value is not None
        ]
    except UnicodeDecodeError as error:
        raise _at_octet("is not UTF-8 text", chunk, error.start) from error
    except yaml.reader.ReaderError as error:
        raise _at_octet(error.reason, chunk, error.position) from error
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "is not YAML"
        if error.context and error.problem:
            problem = f"{error.problem} ({error.context})"
        line, column = (first + mark.line, mark.column + 1) if mark else (0, 0)
        raise Unreadable(problem, line, column) from error


def _at_octet(problem: str, chunk: Chunk, position: int) -> Unreadable:
    """The error for a character at an offset in octets."""
    before = chunk.text[:position].decode(errors="replace")
    return Unreadable(problem, chunk.line + before.count("\n"), len(before) - before.rfind("\n"))


_TAG = "tag:yaml.org,2002:"
_TAGS = {str: "str", int: "int", float: "float", bool: "bool", type(None): "null"}
_TEXT_TAGS, _MAP_TAGS, _LIST_TAGS = ((None, "!", _TAG + kind) for kind in ("str", "map", "seq"))
_UNFINISHED = object()  # the value of an anchor whose node is still being read


class _Builder:
    """Builds the documents of one text from libyaml's events."""

    def __init__(self, text: str, first_line: int, max_nodes: int) -> None:
        self._next: Callable[[], Any] = CParser(text).get_event
        self._first, self._max_nodes = first_line, max_nodes

    def documents(self) -> Iterator[Document]:
        self._next()  # the start of the stream
        while type(self._next()) is DocumentStartEvent:
            self._anchors: dict[str, tuple[Any, int]] = {}  # value, and nodes it stands for
            self._nodes = self._aliased = 0
            event = self._next()
            yield Document(self._first + event.start_mark.line, self._node(event, 0))
            self._next()  # the end of the document

    def _refuse(self, problem: str, event: Any) -> Unreadable:
        mark = event.start_mark
        return Unreadable(problem, self._first + mark.line, mark.column + 1)

    def _node(self, event: Any, depth: int) -> Any:
        """The value of the node that begins with `event`, read to its end."""
        kind = type(event)
        if kind is AliasEvent:
            return self._alias(event)
        self._nodes += 1
        if self._nodes > self._max_nodes:
            raise self._refuse(f"has more than {self._max_nodes} nodes in one document", event)
        if kind is ScalarEvent:
            return self._scalar(event)
        if depth >= MAX_DEPTH:
            raise self._refuse(f"is nested deeper than {MAX_DEPTH} levels", event)
        if event.tag not in (_MAP_TAGS if kind is MappingStartEvent else _LIST_TAGS):
            raise self._refuse(f"tag {event.tag} is not supported", event)
        read = self._mapping if kind is MappingStartEvent else self._list
        if not event.anchor:
            return read(depth + 1)
        before, self._anchors[event.anchor] = self._nodes, (_UNFINISHED, 0)
        value = read(depth + 1)
        self._anchors[event.anchor] = value, self._nodes - before + 1
        return value

    def _scalar(self, event: Any) -> Any:
        tag, value = event.tag, event.value
        if tag is None:
            if event.implicit[0]:
                value = resolve(value)
        elif tag not in _TEXT_TAGS:
            value = resolve(value)
            if tag != _TAG + _TAGS[type(value)]:
                raise self._refuse(f"tag {tag} does not apply to {event.value!r}", event)
        if event.anchor:
            self._anchors[event.anchor] = value, 1
        return value

    def _list(self, depth: int) -> list[Any]:
        next_event, node = self._next, self._node
        values = []
        while type(event := next_event()) is not SequenceEndEvent:
            values.append(node(event, depth))
        return values

    def _mapping(self, depth: int) -> dict[Any, Any]:
        next_event, node = self._next, self._node
        mapping: dict[Any, Any] = {}
        merged: list[dict[Any, Any]] = []
        while (kind := type(event := next_event())) is not MappingEndEvent:
            key = node(event, depth)
            if kind is not ScalarEvent and isinstance(key, dict | list):
                raise self._refuse("a mapping or a list cannot be a key", event)
            value_event = next_event()
            value = node(value_event, depth)
            if key == "<<" and kind is ScalarEvent and event.implicit[0]:
                merged += self._merged(value, value_event)
            else:
                mapping[key] = value
        for each in merged:
            for key, value in each.items():
                mapping.setdefault(key, value)
        return mapping

    def _merged(self, value: Any, event: Any) -> list[dict[Any, Any]]:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, dict) for one in values):
            raise self._refuse("'<<' takes a mapping or a list of mappings", event)
        return values

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._refuse(f"alias *{event.anchor} has no anchor", event)
        value, size = self._anchors[event.anchor]
        if value is _UNFINISHED:
            raise self._refuse(f"alias *{event.anchor} lies inside its own anchor", event)
        self._nodes += size
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise self._refuse(f"aliases stand for more than {MAX_ALIASED} nodes", event)
        return value


# ---------------------------------------------------------------------------------------
# Plain scalars.

_WORDS: dict[str, bool | float | None] = {
    form: value
    for words, value in (
        ("true yes on", True),
        ("false no off", False),
        ("null ~", None),
        (".inf +.inf .Inf +.Inf", float("inf")),
        ("-.inf -.Inf", float("-inf")),
        (".nan .NaN", float("nan")),
    )
    for word in words.split()
    for form in (word, word.capitalize(), word.upper())
} | {"": None}
_FIRSTS = frozenset("+-.0123456789")
_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAX_DIGITS = 40  # far more than 64 bits need


def resolve(text: str) -> Any:
    """What a plain (unquoted) scalar means: None, bool, int, float, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRSTS or len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _integer(text: str) -> int | str:
    """An integer of YAML 1.1: `0777` and `0o777` are octal, `_` may separate digits."""
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").replace("_", "")
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base) if len(digits) > 2 else text
    return sign * int(digits, 8 if digits[0] == "0" else 10)


# ---------------------------------------------------------------------------------------
# Positions.


class Locator:
    """Finds the fields of a chunk's one document in its text, for error messages.

    The constructor parses the whole text again, so make one for all errors of a chunk.
    """

    def __init__(self, chunk: Chunk) -> None:
        self._first = chunk.line
        self._root: yaml.Node | None = None
        with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError, RecursionError):
            self._root = yaml.compose(chunk.text.decode(), Loader=yaml.CSafeLoader)

    def find(self, path: str) -> tuple[int, int]:
        """Line and column of the value at `path` (`spec.ports[0].port`), from 1.

        If the path does not exist (a missing field), those of the nearest ancestor. (0, 0) if the
        text could not be parsed.
        """
        node = self._root
        if node is None:
            return 0, 0
        mark: Any = node.start_mark
        for step in re.findall(r"[^.\[\]]+", path):
            key, below = _child(node, step)
            if below is None:
                break
            node, mark = below, (key or below).start_mark
        return self._first + mark.line, mark.column + 1


def _child(node: yaml.Node, step: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The nodes of the key (None in a sequence) and the value; None if they do not exist."""
    if isinstance(node, yaml.MappingNode):
        return next((pair for pair in node.value if pair[0].value == step), (None, None))
    if isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        return None, node.value[int(step)]
    return None, None
