"""Reads one manifest file: its octets, and the objects and problems in them.

In `sources/manifests/` (control plane: objects from files). Change here: how files are read.

A file holds documents (YAML separated by `---`, or JSON texts). A document holds one object or a
list of objects (`kind: List`, `ServiceList`, ...). Each object of a kind that dnsd reads becomes a
`Manifest`. Objects of other kinds are counted. Each error is a `Problem` with line and column.

Rules
* If a text as a whole cannot be read (broken YAML, a bound exceeded), the file keeps the objects of
  its last good version.
* The first hundred problems of a file are listed, the others are counted.
* A bad object does not affect the others. It keeps its own last good version, if it had one.
* The origin of an object is `relative/path.yaml#2` (the second document that is not empty), or
  `relative/path.yaml#2[7]` for `items[7]` of a list. It is not the line, because an edit above
  would then change the origin of all objects that follow.
* A document whose text is unchanged is not parsed again, so that one edit in a file of 10,000
  documents is cheap.
* An `apiVersion` of another group makes a Service another kind (`serving.knative.dev/v1`). If it is
  missing, the right one is assumed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dnsd.cluster.objects import (
    CLUSTER_SCOPED,
    KINDS,
    TABLE,
    BadObject,
    Key,
    Object,
    from_json,
    from_plain,
)
from dnsd.sources.manifests import yaml
from dnsd.sources.manifests.manifest import Manifest, manifest_of, origin_of
from dnsd.sources.manifests.problems import Problem
from dnsd.sources.manifests.yaml import Chunk, Unreadable

SUFFIXES = (".yaml", ".yml", ".json")
_LISTS = {f"{kind}List" for kind in KINDS} | {"List"}
_MAX_NESTED_LISTS = 4  # lists within lists; kubectl writes none
_MAX_DIGITS = 40  # of an integer; far more than 64 bits need
_MAX_PROBLEMS = 100  # of a file that are listed one by one
_MAX_LOCATED = 1 << 20  # octets; a problem in a larger document has the line of the document


class _Part(Struct, frozen=True):
    """The content of one chunk of the file, and where the chunk stood when it was parsed."""

    digest: int
    number: int  # of its first document
    line: int
    documents: int
    manifests: tuple[Manifest, ...] = ()
    problems: tuple[Problem, ...] = ()  # the first _MAX_PROBLEMS, and one more
    faults: int = 0  # all problems
    bad: tuple[Key, ...] = ()  # keys of refused objects
    skipped: dict[str, int] = {}


class ManifestFile(Struct, frozen=True):
    """The content of a file. `good`: the file as a whole is readable (objects may still be bad)."""

    path: str
    manifests: tuple[Manifest, ...] = ()
    problems: tuple[Problem, ...] = ()
    skipped: dict[str, int] = {}  # objects by kind that dnsd does not read
    documents: int = 0
    good: bool = True
    parts: tuple[_Part, ...] = ()


def failed(path: str, previous: ManifestFile | None, error: Unreadable) -> ManifestFile:
    """The file if it cannot be read: its previous content, and the problem."""
    problem = Problem(path, error.line, error.column, text=error.problem)
    return replace(previous or ManifestFile(path), problems=(problem,), good=False)


def parse(path: str, data: bytes, previous: ManifestFile | None = None) -> ManifestFile:
    """The content of the file at `path`, given its octets and its last good content.

    Never raises for any octets: what is wrong is in `problems`.
    """
    try:
        parts = _parts(path, _chunks(path, data), previous)
    except Unreadable as error:
        return failed(path, previous, error)
    if len(parts) == 1:
        manifests = parts[0].manifests  # shared, because most files are one part
    else:
        manifests = tuple([manifest for part in parts for manifest in part.manifests])
    bad = {key for part in parts for key in part.bad}
    if bad and previous:
        good = {manifest.key for manifest in manifests}
        manifests += tuple(
            manifest
            for manifest in previous.manifests
            if manifest.key not in good and _concerns(bad, manifest.key)
        )
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    documents = sum(part.documents for part in parts)
    problems = _first_problems(parts)
    return ManifestFile(path, manifests, problems, dict(skipped), documents, True, tuple(parts))


def _first_problems(parts: list[_Part]) -> tuple[Problem, ...]:
    """The first problems of a file, and one that counts the others."""
    problems = list(islice((one for part in parts for one in part.problems), _MAX_PROBLEMS + 1))
    if len(problems) > _MAX_PROBLEMS:
        more = sum(part.faults for part in parts) - _MAX_PROBLEMS
        text = f"{more} more problem{'s' if more != 1 else ''} from here on"
        problems.append(replace(problems.pop(), object="", field="", text=text))
    return tuple(problems)


def _concerns(bad: set[Key], key: Key) -> bool:
    """Whether `key` is one of `bad`, or a slice made of an Endpoints object that is."""
    if key in bad:
        return True
    first, _, rest = key.name.partition("/")
    return first == "endpoints" and Key("Endpoints", key.namespace, rest.partition("/")[0]) in bad


# ---------------------------------------------------------------------------------------
# From octets to chunks, each of which is JSON or YAML.


def _chunks(path: str, data: bytes) -> list[Chunk]:
    if path.endswith(".json"):
        return _json_chunks(data)
    chunks = yaml.split(data)
    if len(chunks) == 1 and _is_json(chunks[0].text):
        # `kubectl get -o json > all.yaml`: JSON is YAML, and much faster to read as JSON.
        try:
            return _json_chunks(data)
        except Unreadable:
            return chunks
    return chunks


def _is_json(text: bytes) -> bool:
    return text.lstrip()[:1] == b"{"


def _json_chunks(data: bytes) -> list[Chunk]:
    """The JSON texts of a file: usually one. Raises Unreadable."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    text = data.strip()
    if not text:
        return []
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except msgspec.DecodeError:
        return _json_stream(data)
    return [Chunk(1 + data[: data.index(text)].count(b"\n"), text)]


def _json_stream(data: bytes) -> list[Chunk]:
    """Several JSON texts after each other. Also finds the position of an error."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("is not UTF-8 text", 1 + data[: error.start].count(b"\n")) from error
    decoder, position, line = json.JSONDecoder(), 0, 1
    chunks: list[Chunk] = []
    while position < len(text):
        if text[position].isspace():
            line += text[position] == "\n"
            position += 1
            continue
        try:
            _, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise Unreadable(f"is not JSON: {error.msg}", error.lineno, error.colno) from error
        except (RecursionError, ValueError) as error:
            raise Unreadable("is nested too deeply or has a number too long", line, 1) from error
        chunks.append(Chunk(line, text[position:end].encode()))
        line += text.count("\n", position, end)
        position = end
    return chunks


# ---------------------------------------------------------------------------------------
# From chunks to manifests.


def _parts(path: str, chunks: list[Chunk], previous: ManifestFile | None) -> list[_Part]:
    known = {part.digest: part for part in previous.parts} if previous else {}
    parts: list[_Part] = []
    number = 1
    for chunk in chunks:
        digest = hash(chunk.text)
        part = known.get(digest)
        if part is not None:
            part = _moved(part, number, chunk.line)
        else:
            try:
                part = _Reader(path, chunk, number).part(digest)
            except RecursionError as error:
                # The decoders' own bound. It includes the frames of the caller, so a text that
                # `_json_chunks` read can be too deep here.
                raise Unreadable("is nested too deeply", chunk.line, 1) from error
        parts.append(part)
        number += part.documents
    return parts


def _moved(part: _Part, number: int, line: int) -> _Part:
    """The part of an unchanged chunk, at its present place in the file."""
    down, later = line - part.line, number - part.number
    if not down and not later:
        return part
    manifests = []
    for old in part.manifests:
        document, line_now = old.document + later, old.line + down
        if later:
            thing = replace(old.object, origin=origin_of(old.file, document, old.item))
            manifests.append(manifest_of(thing, old.file, document, old.item, line_now))
        else:
            manifests.append(replace(old, line=line_now))
    problems = tuple(
        replace(problem, line=problem.line + down, document=problem.document + later)
        for problem in part.problems
    )
    return replace(part, number=number, line=line, manifests=tuple(manifests), problems=problems)


class _JSONHead(Struct, rename="camel"):
    """The fields that identify a JSON object."""

    kind: Any = None
    api_version: Any = None
    items: msgspec.Raw = msgspec.Raw()


_decode_head = msgspec.json.Decoder(_JSONHead).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Reader:
    """Reads one chunk: collects manifests, problems, and skipped kinds."""

    def __init__(self, path: str, chunk: Chunk, number: int) -> None:
        self._path, self._chunk, self._first = path, chunk, number
        self._manifests: list[Manifest] = []
        self._problems: list[Problem] = []
        self._faults = 0
        self._locator: yaml.Locator | None = None
        self._bad: list[Key] = []
        self._skipped: dict[str, int] = {}
        self._document, self._line = number - 1, chunk.line
        self._list_kind = ""  # of the items of the present list, which may leave it out

    def part(self, digest: int) -> _Part:
        """The content of the chunk. Raises Unreadable."""
        for line, value in self._values():
            self._document, self._line = self._document + 1, line
            self._object(value, "", -1, 0)
        return _Part(
            digest,
            self._first,
            self._chunk.line,
            self._document + 1 - self._first,
            tuple(self._manifests),
            tuple(self._problems),
            self._faults,
            tuple(self._bad),
            self._skipped,
        )

    def _values(self) -> Iterator[tuple[int, Any]]:
        must_be_json = self._path.endswith(".json")
        if must_be_json or _is_json(self._chunk.text):
            try:
                yield self._chunk.line, msgspec.json.decode(self._chunk.text, type=msgspec.Raw)
                return
            except RecursionError:
                if must_be_json:
                    raise
            except msgspec.DecodeError as error:
                if must_be_json:
                    raise Unreadable(f"is not JSON: {error}", self._chunk.line, 1) from error
        yield from yaml.read(self._chunk)

    def _object(self, value: Any, field: str, item: int, nested: int) -> None:
        """Read one object: the document itself, or (`field`) an item of its list."""
        kind, api_version, items = _head(value)
        if kind is None and _is_object(value):
            kind = self._list_kind or None  # the API leaves it out in the items of a ServiceList
        group = _group(api_version)
        if not isinstance(kind, str) or not kind:
            self._report("", f"{field}.kind".lstrip("."), _no_kind(value, kind))
        elif kind in _LISTS:
            self._list(kind, items, field, nested)
        elif kind not in KINDS:
            self._skipped[kind] = self._skipped.get(kind, 0) + 1
        elif group is not None and group != TABLE[kind].group:
            self._skipped[f"{kind}.{group}"] = self._skipped.get(f"{kind}.{group}", 0) + 1
        else:
            self._strip(kind, value, field, item)

    def _list(self, kind: str, items: list[Any] | None, field: str, nested: int) -> None:
        if nested >= _MAX_NESTED_LISTS:
            self._report("", field, "has lists nested too deeply; put the objects into one list")
            return
        if items is None:
            self._report(kind, f"{field}.items".lstrip("."), "is not a list")
            return
        outer, self._list_kind = self._list_kind, kind.removesuffix("List")
        for index, value in enumerate(items):
            # The items of a nested list share the number of their list in the outer one.
            self._object(value, f"{field}.items[{index}]".lstrip("."), index, nested + 1)
        self._list_kind = outer

    def _strip(self, kind: str, value: Any, field: str, item: int) -> None:
        origin = origin_of(self._path, self._document, item)
        try:
            if isinstance(value, dict):
                objects = from_plain({**value, "kind": kind}, origin)
            else:
                objects = _from_raw(kind, value, origin)
        except BadObject as bad:
            space = "" if kind in CLUSTER_SCOPED else bad.namespace or "default"
            if bad.name:
                self._bad.append(Key(kind, space, bad.name))
            name = str(Key(kind, space, bad.name)).rstrip("/ ")
            self._report(name, f"{field}.{bad.field}".strip("."), bad.problem)
            return
        for one in objects:
            self._manifests.append(manifest_of(one, self._path, self._document, item, self._line))

    def _report(self, name: str, field: str, text: str) -> None:
        self._faults += 1
        if len(self._problems) > _MAX_PROBLEMS:
            return
        line, column = 0, 0
        if len(self._chunk.text) <= _MAX_LOCATED:
            self._locator = self._locator or yaml.Locator(self._chunk)
            line, column = self._locator.find(field)
        self._problems.append(
            Problem(self._path, line or self._line, column or 1, self._document, name, field, text)
        )


def _head(value: Any) -> tuple[Any, Any, list[Any] | None]:
    """kind, apiVersion, and items of an object; None for each that it lacks."""
    if isinstance(value, dict):
        items = value.get("items")
        kind, api_version = value.get("kind"), value.get("apiVersion")
        return kind, api_version, items if isinstance(items, list) else None
    if not isinstance(value, msgspec.Raw):
        return None, None, None
    try:
        head = _decode_head(value)
    except msgspec.ValidationError:
        return None, None, None
    return head.kind, head.api_version, _items(head.items) if head.items else None


def _items(value: msgspec.Raw) -> list[msgspec.Raw] | None:
    try:
        return _decode_items(value)
    except msgspec.ValidationError:
        return None


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, msgspec.Raw) and _is_json(bytes(value)))


def _no_kind(value: Any, kind: Any) -> str:
    if _is_object(value):
        return "is missing; is this a Kubernetes manifest?" if kind is None else "is not text"
    return "is not an object with a kind; is this a Kubernetes manifest?"


def _group(api_version: Any) -> str | None:
    """The API group: `discovery.k8s.io` of `discovery.k8s.io/v1`, empty for the core group.

    None if `api_version` is not text.
    """
    if not isinstance(api_version, str):
        return None
    group, slash, _ = api_version.partition("/")
    return group if slash else ""


def _from_raw(kind: str, value: msgspec.Raw, origin: str) -> list[Object]:
    """Like from_json, with the name of the object in every error."""
    try:
        return from_json(kind, value, origin)
    except msgspec.ValidationError:
        # json, because msgspec refuses a number of 5,000 digits, wherever it is.
        plain = json.loads(bytes(value), parse_int=_integer)
        return from_plain({**plain, "kind": kind}, origin)


def _integer(digits: str) -> int | float:
    """An integer. Python converts none of more than 4,300 digits."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)
