"""The objects of a `Store` that one request selects: pages, and the lines of a watch.

The texts of refusals are those of the real server.
"""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

from msgspec import Struct

from tests.fakekube.store import (
    Match,
    Place,
    Plain,
    Store,
    Stored,
    TooOld,
    encode,
    selector,
    watch_event,
)

# The fields of a bookmark beside its metadata: the zero value of the Go struct.
ZERO: dict[str, Plain] = {
    "Namespace": {"spec": {}, "status": {}},
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "EndpointSlice": {"addressType": "", "endpoints": None, "ports": None},
    "Pod": {"spec": {"containers": None}, "status": {}},
    "Node": {"spec": {}, "status": {}},
    "Ingress": {"spec": {}, "status": {"loadBalancer": {}}},
}
INITIAL_END = {"k8s.io/initial-events-end": "true"}


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, code: int, status: Plain, headers: dict[str, str] | None = None) -> None:
        self.code, self.status, self.headers = code, status, headers or {}
        super().__init__(status["message"])


def failure(code: int, reason: str, message: str, **more: Any) -> Plain:
    """A Status object as the server writes it, with its order of keys."""
    status: Plain = {"kind": "Status", "apiVersion": "v1", "metadata": more.pop("metadata", {})}
    status |= {"status": "Failure", "message": message}
    if reason:
        status["reason"] = reason
    return status | more | {"code": code}


class Start(Struct):
    """The start of a watch: the first lines, and the revision after which events follow."""

    lines: list[bytes]
    revision: int
    over: bool = False


class Selection:
    """A resource, in a namespace or all, filtered."""

    def __init__(
        self,
        store: Store,
        kind: str,
        api: str,
        plural: str,
        namespace: str,
        query: dict[str, str],
    ) -> None:
        self.store, self.kind, self.api, self.plural = store, kind, api, plural
        self.namespace, self.query = namespace, query
        self.bookmarks = query.get("allowWatchBookmarks", "") in ("true", "1")
        self.filtered = bool(query.get("labelSelector") or query.get("fieldSelector"))
        try:
            match = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        except ValueError as error:
            raise Refused(400, failure(400, "BadRequest", str(error))) from error
        self.match: Match = lambda plain: (
            namespace in ("", plain["metadata"].get("namespace", "")) and match(plain)
        )

    def objects(self, revision: int) -> list[tuple[Place, Stored]]:
        at = self.store.at(self.plural, revision).items()
        return sorted((pair for pair in at if self.match(pair[1].plain)), key=lambda pair: pair[0])

    # -- list ---------------------------------------------------------------------------

    def page(self) -> bytes:
        """The list, or one page of it."""
        limit = int(self.query.get("limit") or 0)
        revision, after = self._from()
        try:
            objects = self.objects(self.store.revision if revision < 0 else revision)
        except TooOld:
            raise Refused(410, self._too_old(after)) from None
        rest = [stored for place, stored in objects if after is None or _path(place) > after]
        shown = rest[:limit] if limit else rest
        meta: Plain = {"resourceVersion": str(self.store.revision if revision < 0 else revision)}
        if len(rest) > len(shown):
            last = _path(_place(shown[-1]))
            meta["continue"] = token(int(meta["resourceVersion"]), "/" + last + "\0")
            if not self.filtered:
                meta["remainingItemCount"] = len(rest) - len(shown)
        head = {"kind": self.kind + "List", "apiVersion": self.api, "metadata": meta}
        items = b",".join(one.item for one in shown)
        return encode(head)[:-1] + b',"items":[' + items + b"]}"

    def _from(self) -> tuple[int, str | None]:
        """The revision to list at (-1: now) and the path after which to begin."""
        if found := self.query.get("continue"):
            try:
                plain = json.loads(base64.urlsafe_b64decode(found + "=" * (-len(found) % 4)))
                return plain["rv"], plain["start"].lstrip("/").rstrip("\0")
            except (ValueError, KeyError) as error:
                message = "continue key is not valid"
                raise Refused(400, failure(400, "BadRequest", message)) from error
        version = self._version()
        exact = self.query.get("resourceVersionMatch") == "Exact"
        return (version if exact and version else self.store.revision), None

    def _version(self) -> int:
        text = self.query.get("resourceVersion", "")
        if text and not text.isdigit():
            problem = (
                f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}":'
                " invalid syntax"
            )
            raise Refused(500, failure(500, "", problem))
        return int(text or 0)

    def _too_old(self, after: str | None) -> Plain:
        if after is None:
            message = "The resourceVersion for the provided list is too old."
            return failure(410, "Expired", message)
        message = (
            "The provided continue parameter is too old to display a consistent list result. You "
            "can start a new list without the continue parameter, or use the continue token in "
            "this response to retrieve the remainder of the results. Continuing with the provided "
            "token results in an inconsistent list - objects that were created, modified, or "
            "deleted between the time the first chunk was returned and now may show up in the list."
        )
        return failure(410, "Expired", message, metadata={"continue": token(-1, after + "\0")})

    # -- watch --------------------------------------------------------------------------

    def start(self, watch_list: str) -> Start:
        """The start of the watch. Raises Refused."""
        version, store = self._version(), self.store
        initial = self.query.get("sendInitialEvents")
        if initial and watch_list != "ignored":
            self._check_watch_list(watch_list)
            if watch_list == "error":
                return Start([line("ERROR", encode(NO_PROGRESS))], 0, over=True)
        if initial == "true" or version == 0:
            lines = [line("ADDED", one.raw) for _, one in self.objects(store.revision)]
            if self.bookmarks and watch_list != "ignored":
                lines.append(self.bookmark(store.revision, INITIAL_END))
            return Start(lines, store.revision)
        if version < store.compacted:
            return Start([self.too_old(version)], 0, over=True)
        return Start([], version)

    def too_old(self, version: int) -> bytes:
        message = f"too old resource version: {version} ({self.store.compacted})"
        return line("ERROR", encode(failure(410, "Expired", message)))

    def _check_watch_list(self, watch_list: str) -> None:
        if watch_list == "invalid":
            why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is on"
            raise Refused(422, invalid("sendInitialEvents", why))
        if watch_list == "bad":
            raise Refused(400, failure(400, "BadRequest", "unknown parameter sendInitialEvents"))
        if self.query.get("resourceVersionMatch") != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise Refused(422, invalid("resourceVersionMatch", why))

    def event(self, write: Any) -> bytes | None:
        if write.plural != self.plural or write.lost:
            return None
        event = watch_event(write, self.match)
        return line(*event) if event else None

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        meta: Plain = {"resourceVersion": str(revision)}
        if annotations:
            meta["annotations"] = annotations
        plain = {"kind": self.kind, "apiVersion": self.api, "metadata": meta} | ZERO.get(
            self.kind, {}
        )
        return line("BOOKMARK", encode(plain))


JSON = {"Content-Type": "application/json"}
NO_PROGRESS = failure(
    500,
    "InternalError",
    "a watch stream was requested by the client but the required storage feature"
    " RequestWatchProgress is disabled",
)


def headers() -> dict[str, str]:
    return {"Audit-Id": str(uuid.uuid4()), "Cache-Control": "no-cache, private"}


def line(kind: str, raw: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"' + kind.encode() + b'","object":' + raw + b"}\n"


def token(revision: int, start: str) -> str:
    plain = {"v": "meta.k8s.io/v1", "rv": revision, "start": start}
    return base64.urlsafe_b64encode(encode(plain)).decode().rstrip("=")


def invalid(field: str, why: str) -> Plain:
    message = f'ListOptions.meta.k8s.io "" is invalid: {field}: Forbidden: {why}'
    cause = {"reason": "FieldValueForbidden", "message": f"Forbidden: {why}", "field": field}
    details = {"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]}
    return failure(422, "Invalid", message, details=details)


def forbidden(verb: str, plural: str, group: str) -> Plain:
    full = f"{plural}.{group}" if group else plural
    message = (
        f'{full} is forbidden: User "reader" cannot {verb} resource "{plural}" in API group'
        f' "{group}" at the cluster scope'
    )
    details = ({"group": group} if group else {}) | {"kind": plural}
    return failure(403, "Forbidden", message, details=details)


def _path(place: Place) -> str:
    return "/".join(part for part in place if part)


def _place(one: Stored) -> Place:
    meta = one.plain["metadata"]
    return meta.get("namespace", ""), meta["name"]
