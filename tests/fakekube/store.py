"""A model of etcd and the watch cache, as far as a client can observe them.

One revision counts every write of every resource. The resourceVersion of an object is the revision
of its last write. Watches are served from a log of writes. `compact` removes the log up to a
revision; a request for an older revision raises `TooOld`.
"""

from __future__ import annotations

import asyncio
import bisect
import copy
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

Plain = dict[str, Any]
Match = Callable[[Plain], bool]
Place = tuple[str, str]  # namespace, name


class TooOld(Exception):
    """The requested revision has been compacted."""


class Stored(Struct):
    """An object: as data, and as the API writes it in a watch (`raw`) and in a list (`item`)."""

    plain: Plain
    raw: bytes
    item: bytes


class Write(Struct):
    """One entry of the log: the object before and after the write (None: it does not exist)."""

    revision: int
    plural: str
    place: Place
    before: Stored | None
    after: Stored | None
    lost: bool = False  # a fault: watches do not get it


class Store:
    """Objects by resource (`services` ...), and their history."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.objects: dict[str, dict[Place, Stored]] = {}
        self.log: list[Write] = []
        self.more = asyncio.Event()  # set by the next write, and then replaced
        self._losing: dict[str, int] = {}

    def put(self, plural: str, plain: Plain, *, exact: bool = False) -> Plain:
        """Create or replace an object. `exact` keeps its own resourceVersion."""
        plain = copy.deepcopy(plain)
        meta = plain["metadata"]
        if exact:
            self.revision = max(self.revision, int(meta["resourceVersion"]))
        else:
            self.revision += 1
            meta["resourceVersion"] = str(self.revision)
        place = (meta.get("namespace", ""), meta["name"])
        before = self.objects.setdefault(plural, {}).get(place)
        if not meta.get("uid"):
            meta["uid"] = before.plain["metadata"]["uid"] if before else str(uuid.uuid4())
        meta.setdefault("creationTimestamp", "2026-11-23T00:58:59Z")
        after = stored(plain)
        self.objects[plural][place] = after
        self._write(plural, place, before, after)
        return plain

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        """Delete an object. Raises KeyError if it does not exist."""
        place = (namespace, name)
        before = self.objects.get(plural, {}).pop(place)
        self.revision += 1
        self._write(plural, place, before, None)

    def compact(self, revision: int | None = None) -> None:
        """Remove the log up to and including `revision` (default: everything)."""
        self.compacted = self.revision if revision is None else revision
        self.log = [write for write in self.log if write.revision > self.compacted]

    def lose(self, plural: str, count: int = 1) -> None:
        """The next `count` writes of a resource never reach a watch."""
        self._losing[plural] = self._losing.get(plural, 0) + count

    def at(self, plural: str, revision: int) -> dict[Place, Stored]:
        """The objects of a resource as they were at `revision`. Raises TooOld."""
        if revision < self.compacted:
            raise TooOld
        out = dict(self.objects.get(plural, {}))
        for write in reversed(self.log):
            if write.revision <= revision:
                break
            if write.plural != plural:
                continue
            if write.before is None:
                out.pop(write.place, None)
            else:
                out[write.place] = write.before
        return out

    def since(self, revision: int) -> list[Write]:
        """The writes after `revision`."""
        return self.log[bisect.bisect_right(self.log, revision, key=lambda one: one.revision) :]

    def wake(self) -> None:
        """Wake all watches that wait for `more`."""
        self.more.set()
        self.more = asyncio.Event()

    def _write(
        self, plural: str, place: Place, before: Stored | None, after: Stored | None
    ) -> None:
        lost = self._losing.get(plural, 0) > 0
        if lost:
            self._losing[plural] -= 1
        self.log.append(Write(self.revision, plural, place, before, after, lost))
        self.wake()


def stored(plain: Plain) -> Stored:
    item = {key: value for key, value in plain.items() if key not in ("kind", "apiVersion")}
    return Stored(plain, encode(plain), encode(item))


def encode(plain: Any) -> bytes:
    """Compact JSON, as the API server writes it."""
    return json.dumps(plain, separators=(",", ":")).encode()


def watch_event(write: Write, match: Match) -> tuple[str, bytes] | None:
    """The event of a write for a watch that selects the objects that `match`.

    An object that begins or ceases to match is ADDED or DELETED (API conventions, "selectors").
    """
    was = write.before is not None and match(write.before.plain)
    now = write.after is not None and match(write.after.plain)
    if write.after is not None and now:
        return ("MODIFIED" if was else "ADDED"), write.after.raw
    if write.before is not None and was:
        gone = copy.deepcopy((write.after or write.before).plain)
        gone["metadata"]["resourceVersion"] = str(write.revision)
        return "DELETED", encode(gone)
    return None


def selector(labels: str, fields: str) -> Match:
    """The filter of a labelSelector and a fieldSelector. Raises ValueError for a malformed one.

    Supports the fields that every resource has: metadata.name and metadata.namespace.
    """
    tests: list[Match] = [_label_test(part) for part in _split(labels)]
    for part in _split(fields):
        field, _, value = part.partition("=")
        keys = field.removesuffix("!").split(".")
        if keys not in (["metadata", "name"], ["metadata", "namespace"]):
            raise ValueError(f"field label not supported: {field}")
        tests.append(_field_test(keys[1], wanted=value.lstrip("=")))
    return lambda plain: all(test(plain) for test in tests)


def _field_test(key: str, wanted: str) -> Match:
    return lambda plain: plain["metadata"].get(key) == wanted


def _split(text: str) -> Iterator[str]:
    """The requirements of a selector: commas outside of parentheses."""
    depth, start = 0, 0
    for position, char in enumerate(text + ","):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            if part := text[start:position].strip():
                yield part
            start = position + 1


def _label_test(part: str) -> Match:
    def value(plain: Plain, key: str) -> str | None:
        found: str | None = (plain["metadata"].get("labels") or {}).get(key)
        return found

    for word in (" notin ", " in "):
        key, found, rest = part.partition(word)
        if found:
            values = {one.strip() for one in rest.strip().strip("()").split(",")}
            return lambda plain: (value(plain, key.strip()) in values) == (word == " in ")
    if "!=" in part:
        key, _, wanted = part.partition("!=")
        return lambda plain: value(plain, key.strip()) != wanted.strip()
    if "=" in part:
        key, _, wanted = part.partition("=")
        return lambda plain: value(plain, key.strip()) == wanted.lstrip("=").strip()
    if part.startswith("!"):
        return lambda plain: value(plain, part[1:].strip()) is None
    return lambda plain: value(plain, part) is not None
