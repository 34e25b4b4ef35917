"""Records pinned by hand, in the zone and on disk.

In `admin/` (control plane: the HTTP API). Change here: rules and storage of pinned records.

A pinned record is an RRset. Its contributor is `Key("Record", ZONE, "NAME/TYPE")`, so it is
explained, planned, recorded, and counted like the records of any other contributor. Values are
zone-file text (RFC 1035 5) with names relative to the zone, of any type that dnslib can write; all
other types use the generic form of RFC 3597 (`\\# 4 c0000207`).

* Text that is not a record is refused with the value and the reason (`BadRecord`).
* A name that belongs to an object, or to the zone itself, is refused (`Conflict`) unless forced.
  Then the zone serves the records of both, and `explain`, `plan`, and `records` report it. A CNAME
  is never combined with other records (RFC 2181 10.1).
* The records are in one JSON file in the state directory. It is replaced atomically. If dnsd
  cannot read the file, it does not start: otherwise it would serve without the pinned records, and
  overwrite them at the next change. An entry that is no longer valid is logged and left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.dns.names import BadName, Name, is_below, name_from_text, text_of
from dnsd.dns.rdata import BadRecord, rdata_from_text, type_number
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.text import values_of
from dnsd.dns.types import Type, type_text
from dnsd.zone.change import Cause
from dnsd.zone.merge import APEX_KEY
from dnsd.zone.zone import Zone

log = structlog.get_logger(__name__)

FILE = "records.json"
KIND = "Record"
MAX_RECORDS = 10_000
MAX_VALUES = 500  # of one RRset
MAX_TTL = 2**31 - 1  # RFC 2181 8
_MAX_FILE = 64 << 20  # bytes


class Conflict(ValueError):
    """The name belongs to other contributors. `forceable`: force=true pins the record anyway."""

    def __init__(self, message: str, contributors: Iterable[Key], forceable: bool = True) -> None:
        super().__init__(message)
        self.contributors, self.forceable = tuple(contributors), forceable


class Record(Struct, frozen=True):
    """A pinned RRset. `zone` and `name` are absolute text; values are as given."""

    zone: str
    name: str
    type: str
    ttl: int  # seconds
    values: tuple[str, ...]
    forced: bool = False
    by: str = ""  # the name of the token
    at: float = 0.0  # seconds since the epoch

    @property
    def key(self) -> Key:
        return key_of(self.zone, self.name, self.type)


Place = Callable[[Key, list[RRset], Cause], object]  # ControlPlane.place


class Records:
    """The pinned records of a dnsd, in the zone and on disk."""

    def __init__(self, directory: str) -> None:
        """Read the file in `directory` ("": memory only). Raises BadRecord."""
        self.path = Path(directory, FILE) if directory else None
        self._records: dict[Key, Record] = {one.key: one for one in _load(self.path)}

    def all(self) -> list[Record]:
        """All records, by name and type."""
        return [self._records[key] for key in sorted(self._records)]

    def get(self, key: Key) -> Record | None:
        return self._records.get(key)

    def apply(self, place: Place) -> None:
        """Put all records into the zone, at the start."""
        for record in self.all():
            try:
                made = parsed(record)
            except BadRecord as error:
                log.warning(
                    "a pinned record is invalid and left out",
                    record=str(record.key),
                    problem=str(error),
                )
                continue
            place(record.key, [made], Cause(record.key, origin="pinned", at=record.at))

    def put(self, record: Record, zone: Zone, place: Place) -> None:
        """Pin a record, and replace the one of its name and type.

        Raises BadRecord, Conflict, or OSError if the file cannot be saved (then the record is not
        pinned).
        """
        made = parsed(record)
        _check(record, made, zone)
        if record.key not in self._records and len(self._records) >= MAX_RECORDS:
            raise BadRecord(f"{MAX_RECORDS} records are pinned already; delete one first")
        self._save({**self._records, record.key: record})
        place(record.key, [made], Cause(record.key, record.by, "pinned", record.at))

    def delete(self, key: Key, by: str, at: float, place: Place) -> None:
        """Remove a record. Raises KeyError if it is not pinned; OSError as `put`."""
        left = dict(self._records)
        del left[key]
        self._save(left)
        place(key, [], Cause(key, by, "unpinned", at))

    def _save(self, records: dict[Key, Record]) -> None:
        """Write all records, and hold them only after that succeeds."""
        if self.path is not None:
            encoded = msgspec.json.encode([records[key] for key in sorted(records)])
            new = self.path.with_suffix(".new")
            flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                file.write(msgspec.json.format(encoded))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        self._records = records


def conflicts(zone: Zone, record: Record) -> list[Key]:
    """The contributors at the name of a record that are not pinned records."""
    contributors = zone.contributors(name_from_text(record.name))
    return [one for one in contributors if one.kind != KIND]


def _check(record: Record, made: RRset, zone: Zone) -> None:
    """Raises Conflict if the record cannot be pinned beside the other contributors."""
    others = [one for one in zone.contributors(made.name) if one != record.key]
    objects = [one for one in others if one.kind != KIND]
    alias = made.type == Type.CNAME
    aliases = [one for one in others if alias or _has_alias(zone, one, made.name)]
    if aliases and not objects:
        raise Conflict(
            f"{record.name} has {_listed(aliases)}, and a CNAME must be the only record"
            " (RFC 2181 10.1); delete the other one first",
            aliases,
            forceable=False,
        )
    if APEX_KEY in others and (alias or zone.rrset(made.name, made.type)):
        raise Conflict(
            f"dnsd itself generates {record.name} {record.type}", [APEX_KEY], forceable=False
        )
    objects = [one for one in objects if one != APEX_KEY]
    if objects and not record.forced:
        raise Conflict(
            f"{record.name} belongs to {_listed(objects)}; with force=true, dnsd serves the"
            " records of both",
            objects,
        )


def _has_alias(zone: Zone, contributor: Key, name: Name) -> bool:
    rrsets = zone.contribution(contributor)
    return any(one.name == name and one.type == Type.CNAME for one in rrsets)


def _listed(contributors: Iterable[Key]) -> str:
    return ", ".join(
        f"the pinned record {one.name}" if one.kind == KIND else str(one) for one in contributors
    )


def _load(path: Path | None) -> list[Record]:
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadRecord(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return msgspec.json.decode(data[:_MAX_FILE], type=list[Record])
    except msgspec.DecodeError as error:
        raise BadRecord(
            f"{path}: is damaged ({error}); repair it, or move it away to start without records"
        ) from error


def key_of(zone: str, name: str, type_: str) -> Key:
    """The contributor of a pinned record, from absolute names."""
    return Key(KIND, zone, f"{name}/{type_}")


def record_of(
    zone: Name, name: str, type_: str, ttl: int, values: Iterable[str], **more: Any
) -> Record:
    """A record from the API. `name` is absolute, or relative to the zone. Raises BadRecord."""
    owner, known = text_of(name_in(zone, name)), type_number(type_)[1]
    return Record(text_of(zone), owner, known, ttl, tuple(values), **more)


def name_in(zone: Name, text: str) -> Name:
    """A name in a zone from absolute text, or from text relative to the zone. Raises BadRecord."""
    try:
        name = name_from_text(text, zone)
    except (BadName, IndexError) as error:
        raise BadRecord(f"{text!r} is not a domain name: {error}") from error
    if not is_below(name, zone):
        raise BadRecord(f"{text} is not in the zone {text_of(zone)}")
    return name


def parsed(record: Record) -> RRset:
    """The RRset of a record. Raises BadRecord with the value and the reason."""
    zone, number = name_from_text(record.zone), type_number(record.type)[0]
    name = name_in(zone, record.name)
    if not 0 <= record.ttl <= MAX_TTL:
        raise BadRecord(f"ttl {record.ttl} is not in 0 to {MAX_TTL} seconds")
    if not 0 < len(record.values) <= MAX_VALUES:
        raise BadRecord(f"{len(record.values)} values; give 1 to {MAX_VALUES}")
    if number == Type.CNAME and len(set(record.values)) > 1:
        raise BadRecord("a CNAME has one value")
    rdatas = [rdata_from_text(number, value, zone) for value in record.values]
    return rrset(name, number, record.ttl, rdatas)


def shown(one: RRset) -> dict[str, object]:
    """An RRset as the API shows it."""
    return {
        "name": text_of(one.name),
        "type": type_text(one.type),
        "ttl": one.ttl,
        "values": values_of(one),
    }


def shown_cause(cause: Cause) -> dict[str, str]:
    """The cause of a Change as the API shows it."""
    return {**cause.key._asdict(), "version": cause.version, "origin": cause.origin}
