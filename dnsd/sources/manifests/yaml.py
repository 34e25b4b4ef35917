"""YAML text to plain objects, within bounds.

PyYAML's own constructor is neither bounded nor quick: nine lines of aliases to aliases make a
structure of a billion nodes, deep nesting recurses in C, and a third of its time goes into
nodes and marks nobody reads. Here libyaml's *events* are built straight into dicts and lists:

* the text is split into documents first (a `---` at the beginning of a line is a document's
  start wherever it stands, YAML 1.1 9.1.2), so that a caller can skip what it has seen;
* depth, nodes, and nodes reached through aliases are counted as they come, and whoever goes
  over a bound gets `Unreadable` with line and column, not a dead process;
* an alias shares the object it names (nothing is copied), one to a node that is not finished
  yet is refused, and `<<` merges as YAML 1.1 has it.

What plain scalars mean is in cluster/yamlscalar.py; tags other than the core ones are refused.
Documents written in the simple style of tools are read by cluster/yamlblock.py, much faster.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml
from yaml._yaml import CParser

from dnsd.sources.manifests import yamlblock
from dnsd.sources.manifests.yamlscalar import resolve

MAX_DEPTH = 100  # a CustomResourceDefinition reaches about 40
MAX_NODES = 4_000_000  # a document: a List of 10,000 Services and 50,000 endpoints has 1 million
MAX_ALIASED = 200_000  # nodes reached through aliases: what anchors add to the text's own size


class Unreadable(ValueError):
    """Text that is no YAML, or too much of it. `line` and `column` count from 1; 0: unknown."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        self.problem, self.line, self.column = problem, line, column
        super().__init__(problem)


class Chunk(NamedTuple):
    """One document's text, its `---` included, and the line (from 1) that it begins at."""

    line: int
    text: bytes


class Plain(NamedTuple):
    """One document that holds something: dicts, lists and scalars; `line` of its first node."""

    line: int
    value: Any


_MARKER = re.compile(rb"^---(?=[ \t\n]|\Z)", re.M)
# Directives, document ends, and line breaks other than LF: such a file is read in one piece.
_UNSPLIT = (b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\n%", b"\n...")


def split(data: bytes) -> list[Chunk]:
    """The documents of a file, in order; chunks of nothing but comments are left out.

    `data` is UTF-8, with or without a byte order mark. A file that cannot be split by its
    `---` lines alone is one chunk of all its documents.
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


_EMPTY = re.compile(rb"(?:---)?(?:[ ]*(?:#[^\n]*)?\n)*[ ]*(?:#[^\n]*)?")


def read(chunk: Chunk, max_nodes: int = MAX_NODES) -> list[Plain]:
    """The documents of one chunk that are not null. Raises `Unreadable`."""
    quick = yamlblock.read(_text(chunk))
    if quick is not None:
        return [Plain(chunk.line + quick[0], quick[1])]
    return read_carefully(chunk, max_nodes)


def read_carefully(chunk: Chunk, max_nodes: int = MAX_NODES) -> list[Plain]:
    """Like `read`, with the real parser."""
    text = _text(chunk)
    try:
        builder = _Builder(text, chunk.line, max_nodes)
        return [one for one in builder.documents() if one.value is not None]
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "is no YAML"
        if error.context and error.problem:
            problem = f"{error.problem} ({error.context})"
        line, column = (chunk.line + mark.line, mark.column + 1) if mark else (0, 0)
        raise Unreadable(problem, line, column) from error
    except yaml.reader.ReaderError as error:
        raise _bad_character(error, text, chunk.line) from error


def _text(chunk: Chunk) -> str:
    try:
        return chunk.text.decode()
    except UnicodeDecodeError as error:
        before = chunk.text[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        line = chunk.line + before.count(b"\n")
        raise Unreadable("is not UTF-8 text", line, column) from error


def _bad_character(error: yaml.reader.ReaderError, text: str, first: int) -> Unreadable:
    """libyaml names the character (and its offset in UTF-8), not its line."""
    before = text.encode()[: error.position].decode(errors="ignore")
    line = first + before.count("\n")
    return Unreadable(f"{error.reason}", line, len(before) - before.rfind("\n"))


_NO_KEY: Any = object()
_MERGE: Any = object()


class _Frame:
    """A mapping or sequence under construction."""

    __slots__ = ("anchor", "key", "merges", "size", "value")

    def __init__(self, value: Any, anchor: str | None, size: int) -> None:
        self.value = value
        self.anchor = anchor
        self.size = size  # nodes counted before it began
        self.key: Any = _NO_KEY
        self.merges: list[Any] | None = None


class _Builder:
    """Builds plain objects from the events of one text, keeping count."""

    def __init__(self, text: str, first_line: int, max_nodes: int) -> None:
        self._parser = CParser(text)
        self._first, self._max_nodes = first_line, max_nodes
        self._reset()

    def _reset(self) -> None:
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}  # value, nodes it stands for
        self._size = 0
        self._aliased = 0

    def _refuse(self, problem: str, event: Any) -> Unreadable:
        mark = event.start_mark
        return Unreadable(problem, self._first + mark.line, mark.column + 1)

    def documents(self) -> Iterator[Plain]:
        try:
            line = 0
            get_event: Callable[[], Any] = self._parser.get_event
            while (event := get_event()) is not None:
                kind: type = type(event)
                if kind is yaml.DocumentStartEvent:
                    self._reset()
                    line = 0
                elif kind is yaml.DocumentEndEvent:
                    yield Plain(line, self._root)
                elif kind is not yaml.StreamStartEvent and kind is not yaml.StreamEndEvent:
                    line = line or self._first + event.start_mark.line
                    self._node(kind, event)
        finally:
            self._parser.dispose()

    def _node(self, kind: type, event: Any) -> None:
        self._size += 1
        if self._size > self._max_nodes:
            raise self._refuse(f"has more than {self._max_nodes} nodes in one document", event)
        if kind is yaml.ScalarEvent:
            value = self._scalar(event)
            if event.anchor:
                self._anchors[event.anchor] = value, 1
            self._add(value, event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._open({} if kind is yaml.MappingStartEvent else [], event)
        elif kind is yaml.AliasEvent:
            self._add(self._alias(event), event)
        else:
            self._close(event)

    def _open(self, value: Any, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise self._refuse(f"is nested deeper than {MAX_DEPTH} levels", event)
        if event.tag not in (None, "!", f"tag:yaml.org,2002:{_TAGS[type(value)]}"):
            raise self._refuse(f"tag {event.tag} is not known here", event)
        if event.anchor:
            self._anchors[event.anchor] = _NO_KEY, 0
        self._stack.append(_Frame(value, event.anchor, self._size))

    def _close(self, event: Any) -> None:
        self._size -= 1  # the end of a collection is no node
        frame = self._stack.pop()
        if frame.merges:
            merged: dict[Any, Any] = {}
            for one in reversed(frame.merges):
                merged.update(one)
            frame.value = {**merged, **frame.value}
        if frame.anchor:
            self._anchors[frame.anchor] = frame.value, self._size - frame.size + 1
        self._add(frame.value, event)

    def _add(self, value: Any, event: Any) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if type(frame.value) is list:
            frame.value.append(value)
        elif frame.key is _NO_KEY:
            if isinstance(value, dict | list):
                raise self._refuse("a mapping or list cannot be a key", event)
            plain_merge = value == "<<" and type(event) is yaml.ScalarEvent and event.implicit[0]
            frame.key = _MERGE if plain_merge else value
        elif frame.key is _MERGE:
            ones = value if isinstance(value, list) else [value]
            if not all(isinstance(one, dict) for one in ones):
                raise self._refuse("'<<' takes a mapping or a list of mappings", event)
            frame.merges = (frame.merges or []) + ones
            frame.key = _NO_KEY
        else:
            frame.value[frame.key] = value
            frame.key = _NO_KEY

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._refuse(f"alias *{event.anchor} has no anchor", event)
        value, size = self._anchors[event.anchor]
        if value is _NO_KEY:
            raise self._refuse(f"alias *{event.anchor} lies inside its own anchor", event)
        self._size += size - 1
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise self._refuse(f"aliases stand for more than {MAX_ALIASED} nodes", event)
        return value

    def _scalar(self, event: Any) -> Any:
        tag = event.tag
        if tag is None:
            return resolve(event.value) if event.implicit[0] else event.value
        if tag in ("!", "tag:yaml.org,2002:str"):
            return event.value
        value = resolve(event.value)
        if tag != f"tag:yaml.org,2002:{_TAGS[type(value)]}":
            raise self._refuse(f"tag {tag} does not go with {event.value!r}", event)
        return value


_TAGS: dict[type, str] = {
    dict: "map",
    list: "seq",
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    type(None): "null",
}


class Locator:
    """Finds fields of a chunk's one document in its text, for error messages.

    Making one parses the text once more, all of it: one for a chunk is enough.
    """

    def __init__(self, chunk: Chunk) -> None:
        self._first = chunk.line
        self._root: yaml.Node | None = None
        with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError, RecursionError):
            self._root = yaml.compose(chunk.text.decode(), Loader=yaml.CSafeLoader)

    def find(self, path: str) -> tuple[int, int]:
        """Line and column of the value at `path` (`spec.ports[0].port`).

        The nearest ancestor's when the path does not exist (a missing field); (0, 0) when the
        text could not be composed.
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
    """The key's node (None in a sequence) and the value's, or Nones."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key, value
    elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        return None, node.value[int(step)]
    return None, None
