"""One manifest file: its bytes, and what they say.

A file holds documents (YAML, parted by `---`; JSON, one or several after each other), a
document one object or a list of them (`kind: List`, `ServiceList` …). Of each object whose
kind dnsd reads there is an `Entry`; the other kinds are counted; whatever is wrong is a
`Problem` with line and column.

Rules
* Text that cannot be read as a whole (broken YAML, over a bound) says nothing: the file goes
  on saying what it said when it was last good.
* The first hundred problems of a file are told, the others counted.
* One bad object does not lose the others; its own last good version stays, if it had one.
* An object's origin is `relative/path.yaml#2`, the second document that holds anything, or
  `relative/path.yaml#2[7]` for `items[7]` of a list. Not the line: an edit above would change
  the origin of all that follows.
* A document whose text is as it was is not parsed again, which is what makes one edit in a
  file of 10,000 documents cheap.
* An `apiVersion` of another group makes a Service another kind (`serving.knative.dev/v1`);
  a missing one is taken for the right one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from sys import intern
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
    Service,
    from_json,
    from_plain,
)
from dnsd.cluster.store import Packed, kind_of, pack, unpack
from dnsd.sources.manifests import yaml
from dnsd.sources.manifests.yaml import Chunk, Unreadable

SUFFIXES = (".yaml", ".yml", ".json")
_ONE_FAMILY = ((), ("IPv4",), ("IPv6",))  # spec.ipFamilies that ask for no more than one
_LISTS = {f"{kind}List" for kind in KINDS} | {"List"}
_MAX_NESTED_LISTS = 4  # lists within lists; kubectl writes none
_MAX_DIGITS = 40  # of a whole number; as in YAML, far more than 64 bits
_PROBLEMS = 100  # of a file that are told one by one; the rest is counted
_LOCATE_BYTES = 1 << 20  # a larger document's problems name its first line


class Entry(Struct, frozen=True, gc=False):
    """One object as one file states it, packed; made by `stated`.

    `document` counts from 1, `item` from 0 (-1: no list). `claims`: the addresses that a
    Service states (at most two, run together, IPv4 first), if it needs neither those nor node
    ports given and may have what it states; None: what it needs takes a closer look.
    """

    packed: Packed
    namespace: str
    name: str
    claims: bytes | None
    file: str
    document: int
    item: int
    line: int

    @property
    def object(self) -> Object:
        """The object itself, a new one each time."""
        return unpack(self.packed)

    @property
    def key(self) -> Key:
        return Key(kind_of(self.packed), self.namespace, self.name)

    @property
    def place(self) -> tuple[str, int, int]:
        """What puts entries in order: by path, then as they stand in the file."""
        return self.file, self.document, self.item

    @property
    def origin(self) -> str:
        return origin(self.file, self.document, self.item)


def stated(thing: Object, file: str, document: int, item: int, line: int) -> Entry:
    """The entry of an object."""
    claims = _claims(thing) if isinstance(thing, Service) else b""
    space, name = intern(thing.namespace), intern(thing.name)
    return Entry(pack(thing), space, name, claims, file, document, item, line)


def _claims(service: Service) -> bytes | None:
    """`Entry.claims` of a Service."""
    if service.headless or service.type == "ExternalName":
        return b""
    plain = service.type == "ClusterIP" and not service.ip_family_policy.endswith("DualStack")
    ips = service.cluster_ips
    if plain and service.ip_families in _ONE_FAMILY:
        if len(ips) == 1:
            return ips[0]
        if sorted(map(len, ips)) == [4, 16]:
            four, sixteen = sorted(ips, key=len)
            return four + sixteen
    return None


class Problem(Struct, frozen=True, order=True):
    """Something that is wrong now. `line` and `column` count from 1, 0: does not apply.

    `object` ("Service default/web") and `field` ("spec.ports[0].port") are empty when the
    file as a whole is meant.
    """

    file: str
    line: int = 0
    column: int = 0
    document: int = 0
    object: str = ""
    field: str = ""
    text: str = ""

    def __str__(self) -> str:
        where = self.file
        if self.line:
            where += f":{self.line}"
            if self.column:
                where += f":{self.column}"
        return ": ".join(part for part in (where, self.object, self.field, self.text) if part)


class _Part(Struct, frozen=True):
    """What one chunk of the file says, and where the chunk stood when it was parsed."""

    digest: int
    number: int  # of its first document
    line: int
    documents: int
    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()  # the first _PROBLEMS, and one more
    faults: int = 0  # all problems
    bad: tuple[Key, ...] = ()  # keys of refused objects
    skipped: dict[str, int] = {}


class ManifestFile(Struct, frozen=True):
    """What a file says. `good`: it could be read as a whole (single objects may be bad)."""

    path: str
    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()
    skipped: dict[str, int] = {}  # kinds that dnsd does not read, counted
    documents: int = 0
    good: bool = True
    parts: tuple[_Part, ...] = ()


def origin(path: str, document: int, item: int) -> str:
    """`path#2`, or `path#2[7]` for an item of a list."""
    return f"{path}#{document}" + (f"[{item}]" if item >= 0 else "")


def failed(path: str, previous: ManifestFile | None, error: Unreadable) -> ManifestFile:
    """The file when it cannot be read: what it said before, and why it says no more."""
    problem = Problem(path, error.line, error.column, text=error.problem)
    last = previous or ManifestFile(path)
    return replace(last, problems=(problem,), good=False)


def parse(path: str, data: bytes, previous: ManifestFile | None = None) -> ManifestFile:
    """What the bytes of the file at `path` say, given what they said when last good.

    Never raises for any bytes: what is wrong is in `problems`.
    """
    try:
        chunks = _chunks(path, data)
        parts = _parts(path, chunks, previous)
    except Unreadable as error:
        return failed(path, previous, error)
    # Most files are one part: then both hold the same tuple.
    entries = parts[0].entries if len(parts) == 1 else _joined(parts)
    bad = {key for part in parts for key in part.bad}
    if bad and previous:
        there = {entry.key for entry in entries}
        entries += tuple(
            entry
            for entry in previous.entries
            if entry.key not in there and _concerns(bad, entry.key)
        )
    skipped: dict[str, int] = {}
    for part in parts:
        for kind, count in part.skipped.items():
            skipped[kind] = skipped.get(kind, 0) + count
    return ManifestFile(
        path,
        entries,
        _told(parts),
        skipped,
        sum(part.documents for part in parts),
        True,
        tuple(parts),
    )


def _told(parts: list[_Part]) -> tuple[Problem, ...]:
    """The first problems of a file, and one that counts the others."""
    problems = list(islice((one for part in parts for one in part.problems), _PROBLEMS + 1))
    if len(problems) > _PROBLEMS:
        count = sum(part.faults for part in parts) - _PROBLEMS
        first = problems.pop()
        text = f"{count} more problem{'s' if count != 1 else ''} from here on"
        problems.append(replace(first, object="", field="", text=text))
    return tuple(problems)


def _joined(parts: list[_Part]) -> tuple[Entry, ...]:
    return tuple([entry for part in parts for entry in part.entries])


def _concerns(bad: set[Key], key: Key) -> bool:
    """Whether `key` is one of `bad`, or a slice made of an Endpoints object that is."""
    if key in bad:
        return True
    first, _, rest = key.name.partition("/")
    return first == "endpoints" and Key("Endpoints", key.namespace, rest.partition("/")[0]) in bad


# ---------------------------------------------------------------------------------------
# From bytes to chunks, each of which is JSON or YAML.


def _chunks(path: str, data: bytes) -> list[Chunk]:
    if path.endswith(".json"):
        return _json_chunks(data)
    chunks = yaml.split(data)
    if len(chunks) == 1 and _is_json(chunks[0].text):
        # `kubectl get -o json > all.yaml`: JSON is YAML, and much faster read as what it is.
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
    if not data.strip():
        return []
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except msgspec.DecodeError:
        return _json_stream(data)
    return [Chunk(1 + data[: len(data) - len(data.lstrip())].count(b"\n"), data.strip())]


def _json_stream(data: bytes) -> list[Chunk]:
    """Several JSON texts after each other; also says where broken JSON is broken."""
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
            raise Unreadable(f"is no JSON: {error.msg}", error.lineno, error.colno) from error
        except (RecursionError, ValueError) as error:
            raise Unreadable("is no JSON that can be read", line, 1) from error
        chunks.append(Chunk(line, text[position:end].encode()))
        line += text.count("\n", position, end)
        position = end
    return chunks


# ---------------------------------------------------------------------------------------
# From chunks to entries.


def _parts(path: str, chunks: list[Chunk], previous: ManifestFile | None) -> list[_Part]:
    known = {part.digest: part for part in previous.parts} if previous else {}
    parts = []
    number = 1
    for chunk in chunks:
        digest = hash(chunk.text)
        part = known.get(digest)
        if part is None:
            part = _part(path, chunk, number, digest)
        else:
            part = _moved(part, number, chunk.line)
        parts.append(part)
        number += part.documents
    return parts


def _part(path: str, chunk: Chunk, number: int, digest: int) -> _Part:
    try:
        return _Reader(path, chunk, number).part(digest)
    except RecursionError as error:
        # The decoders' own bound. It counts the caller's frames too: what `_json_chunks` could
        # just read may be too deep here.
        raise Unreadable("is nested too deeply", chunk.line, 1) from error


def _moved(part: _Part, number: int, line: int) -> _Part:
    """The part of an unchanged chunk that may stand elsewhere in its file now."""
    down, later = line - part.line, number - part.number
    if not down and not later:
        return part
    entries = []
    for entry in part.entries:
        document, line_now = entry.document + later, entry.line + down
        if later:
            where = origin(entry.file, document, entry.item)
            thing = replace(entry.object, origin=where)
            entries.append(stated(thing, entry.file, document, entry.item, line_now))
        else:
            entries.append(replace(entry, line=line_now))
    problems = [
        replace(problem, line=problem.line + down, document=problem.document + later)
        for problem in part.problems
    ]
    return replace(part, number=number, line=line, entries=tuple(entries), problems=tuple(problems))


class _JSONHead(Struct, rename="camel"):
    """What tells what a JSON object is."""

    kind: Any = None
    api_version: Any = None
    items: msgspec.Raw = msgspec.Raw()


_decode_head = msgspec.json.Decoder(_JSONHead).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Reader:
    """Reads one chunk: collects entries, problems, and kinds that are skipped."""

    def __init__(self, path: str, chunk: Chunk, number: int) -> None:
        self._path, self._chunk, self._first = path, chunk, number
        self._entries: list[Entry] = []
        self._problems: list[Problem] = []
        self._faults = 0
        self._locator: yaml.Locator | None = None
        self._bad: list[Key] = []
        self._skipped: dict[str, int] = {}
        self._documents = 0
        self._document, self._line = number, chunk.line

    def part(self, digest: int) -> _Part:
        """What the chunk says. Raises Unreadable."""
        for line, value in self._values():
            self._document, self._line = self._first + self._documents, line
            self._documents += 1
            self._object(value, "", -1, 0)
        return _Part(
            digest,
            self._first,
            self._chunk.line,
            self._documents,
            tuple(self._entries),
            tuple(self._problems),
            self._faults,
            tuple(self._bad),
            self._skipped,
        )

    def _values(self) -> Iterator[tuple[int, Any]]:
        if self._path.endswith(".json") or _is_json(self._chunk.text):
            try:
                yield self._chunk.line, msgspec.json.decode(self._chunk.text, type=msgspec.Raw)
                return
            except RecursionError:
                if self._path.endswith(".json"):
                    raise
            except msgspec.DecodeError as error:
                if self._path.endswith(".json"):
                    raise Unreadable(f"is no JSON: {error}", self._chunk.line, 1) from error
        yield from yaml.read(self._chunk)

    def _object(self, value: Any, field: str, item: int, nested: int) -> None:
        """Take in one object, which is the document itself or (`field`) an item of its list."""
        kind, api, items = _head(value)
        if kind is None and field and self._list_kind and _is_object(value):
            kind = self._list_kind  # the API leaves it out in the items of a ServiceList
        if not isinstance(kind, str) or not kind:
            self._report("", f"{field}.kind".lstrip("."), _no_kind(value, kind))
        elif kind in _LISTS and (nested or not field or kind not in KINDS):
            self._list(kind, items, field, nested)
        elif kind not in KINDS or (isinstance(api, str) and _group(api) != TABLE[kind].group):
            known = f"{kind}.{_group(api)}" if kind in KINDS else kind
            self._skipped[known] = self._skipped.get(known, 0) + 1
        else:
            self._strip(kind, value, field, item)

    _list_kind = ""

    def _list(self, kind: str, items: list[Any] | None, field: str, nested: int) -> None:
        if nested >= _MAX_NESTED_LISTS:
            self._report("", field, "lists within lists within lists are not read")
            return
        if items is None:
            self._report(kind, f"{field}.items".lstrip("."), "is not a list")
            return
        outer, self._list_kind = self._list_kind, kind.removesuffix("List")
        for index, value in enumerate(items):
            at = f"{field}.items[{index}]".lstrip(".")
            # Items of a nested list share the number of the outer list's item.
            self._object(value, at, index, nested + 1)
        self._list_kind = outer

    def _strip(self, kind: str, value: Any, field: str, item: int) -> None:
        where = origin(self._path, self._document, item)
        try:
            if isinstance(value, dict):
                stripped = from_plain({**value, "kind": kind}, where)
            else:
                stripped = _from_raw(kind, value, where)
        except BadObject as bad:
            space = "" if kind in CLUSTER_SCOPED else bad.namespace or "default"
            if bad.name:
                self._bad.append(Key(kind, space, bad.name))
            who = f"{kind} {space}/{bad.name}" if space else f"{kind} {bad.name}"
            self._report(who.rstrip("/ "), f"{field}.{bad.field}".strip("."), bad.problem)
            return
        for one in stripped:
            self._entries.append(stated(one, self._path, self._document, item, self._line))

    def _report(self, who: str, field: str, text: str) -> None:
        self._faults += 1
        if len(self._problems) > _PROBLEMS:
            return
        line, column = self._line, 1
        if len(self._chunk.text) <= _LOCATE_BYTES:
            self._locator = self._locator or yaml.Locator(self._chunk)
            found = self._locator.find(field)
            line, column = found if found[0] else (line, column)
        self._problems.append(Problem(self._path, line, column, self._document, who, field, text))


def _head(value: Any) -> tuple[Any, Any, list[Any] | None]:
    """kind, apiVersion, items of an object; (None, None, None) when it is none."""
    if isinstance(value, dict):
        items = value.get("items")
        return value.get("kind"), value.get("apiVersion"), items if _is_list(items) else None
    if not isinstance(value, msgspec.Raw):
        return None, None, None
    try:
        head = _decode_head(value)
    except msgspec.ValidationError:
        return None, None, None
    if not head.items:
        return head.kind, head.api_version, None
    try:
        items = _decode_items(head.items)
    except msgspec.DecodeError:  # no list
        items = None
    return head.kind, head.api_version, items


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, msgspec.Raw) and _is_json(bytes(value)))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _no_kind(value: Any, kind: Any) -> str:
    if _is_object(value):
        return "is missing; is this a Kubernetes manifest?" if kind is None else "is not text"
    return "is not an object with a kind; is this a Kubernetes manifest?"


def _group(api_version: Any) -> str:
    """The API group: `discovery.k8s.io` of `discovery.k8s.io/v1`, empty for the core group."""
    group, slash, _ = str(api_version).partition("/")
    return group if slash else ""


def _from_raw(kind: str, value: msgspec.Raw, where: str) -> list[Object]:
    """Like from_json, with the object's name in every error."""
    try:
        return from_json(kind, value, where)
    except msgspec.ValidationError:
        # json, because msgspec refuses a number of 5,000 digits, wherever it is.
        plain = json.loads(bytes(value), parse_int=_number)
        return from_plain({**plain, "kind": kind}, where)


def _number(digits: str) -> int | float:
    """A whole number; Python makes none of more than 4,300 digits."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)
