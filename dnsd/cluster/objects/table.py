"""The table of kinds, and the decoders of objects of any kind.

In `cluster/objects/` (control plane: one file per kind of object). Change here: which kinds dnsd
reads.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from dnsd.cluster.objects import (
    dnsendpoint,
    endpointslice,
    gateway,
    ingress,
    namespace,
    node,
    pod,
    service,
)
from dnsd.cluster.objects.kind import Dated, Object
from dnsd.cluster.validation import BadObject, Check

# The position of a kind is its tag in a packed object. Add a kind at the end: a position that
# changes invalidates the snapshots.
TABLE = {
    kind.name: kind
    for kind in (
        service.KIND,
        endpointslice.KIND,
        endpointslice.ENDPOINTS,
        namespace.KIND,
        pod.KIND,
        node.KIND,
        ingress.KIND,
        gateway.KIND,
        dnsendpoint.KIND,
        *gateway.ROUTES,
    )
}
KINDS = tuple(TABLE)
RESOURCES = {name: kind for name, kind in TABLE.items() if kind.stripped}  # kinds that are kept
CLUSTER_SCOPED = tuple(name for name, kind in TABLE.items() if not kind.namespaced)
CONTRIBUTOR_KINDS = tuple(
    name for name, kind in TABLE.items() if kind.contributes and kind.stripped
)

_DATED = {
    name for name, kind in TABLE.items() if kind.stripped and issubclass(kind.stripped, Dated)
}
_DECODERS = {name: msgspec.json.Decoder(kind.raw) for name, kind in TABLE.items()}


def _strip(kind: str, raw: Any, origin: str) -> list[Object]:
    row = TABLE[kind]
    check = Check(kind, raw.metadata, origin, row.namespaced, row.name_rule)
    if kind in _DATED:
        check.metadata["created"] = raw.metadata.creation_timestamp or ""
    stripped = row.strip(raw, check)
    return stripped if isinstance(stripped, list) else [stripped]


def from_json(kind: str, data: bytes | msgspec.Raw, origin: str = "") -> list[Object]:
    """The stripped objects of one JSON object of a kind in `KINDS`.

    One object, except for Endpoints: one EndpointSlice for each subset. Raises `BadObject`, and
    `msgspec.DecodeError` if the bytes are not JSON.
    """
    return _strip(kind, _DECODERS[kind].decode(data), origin)


def from_plain(plain: dict[str, Any], origin: str = "") -> list[Object]:
    """The stripped objects of one document of parsed YAML or JSON whose kind is in `KINDS`.

    Raises `BadObject` with the path of the field, for a wrong type and for a wrong value.
    """
    kind = plain["kind"]
    meta = plain.get("metadata")
    try:
        raw = msgspec.convert(plain, TABLE[kind].raw)
    except msgspec.ValidationError as error:
        known = meta if isinstance(meta, dict) else {}
        space, name = str(known.get("namespace") or ""), str(known.get("name") or "")
        raise BadObject(kind, space, name, *_wrong_type(plain, str(error))) from error
    return _strip(kind, raw, origin)


_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def _wrong_type(plain: dict[str, Any], error: str) -> tuple[str, str]:
    """The field and the problem, from the message of msgspec about a wrong type.

    The message ends in "at `$.spec`", in "at `$.metadata.labels[...]`" for a value under some key,
    or in "at `key` in `$.spec`" for a key. It does not name that key, so it is searched for here.
    """
    problem, _, path = error.rstrip("`").partition(" - at `")
    of_key, path = path.startswith("key`"), path.removeprefix("key` in `")
    inside: Any = plain
    for name, index in _STEP.findall(path):
        inside = inside[int(index)] if index else inside.get(name)
    if of_key:
        key = next((key for key in inside if not isinstance(key, str)), None)
        problem = f"the key {msgspec.json.encode(key).decode()} is not text; put it in quotes"
    elif path.endswith("[...]"):
        key = next((key for key, value in inside.items() if not isinstance(value, str)), "...")
        path = f"{path[:-5]}[{key}]"
    return path.removeprefix("$").removeprefix("."), problem
