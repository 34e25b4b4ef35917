"""Records pinned by hand: an RRset each, part of the zone like any contributor's.

The contributor of one is `Key("Record", ZONE, "NAME/TYPE")`, so it is explained, planned, recorded
and counted like everything else. Values are zone-file text (RFC 1035 5), names in them
relative to the zone unless they end with a dot, of any type that dnslib can write; all
other types take the generic form of RFC 3597 (`\\# 4 c0000207`).

* What cannot be a record is refused with the value and the reason (`BadRecord`).
* A name that belongs to a Service (or to the zone itself) is refused too (`Conflict`), unless
  forced. Then the records are joined, as the zone joins those of all contributors, and everyone
  who looks is told. A CNAME beside other records is never joined (RFC 2181 10.1).
* They live in one JSON file in the state directory, written aside and renamed. A file that
  cannot be read keeps dnsd from starting: to serve without a record that somebody pinned,
  and to overwrite it with the next one, would be worse. An entry in it that is no record any
  more is left out and logged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.dns.names import BadName, Name, is_below, name_from_text, text_of
from dnsd.dns.rdata import BadRecord
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.text import rdata_text
from dnsd.dns.types import Type, type_text
from dnsd.zone.change import Cause, Change
from dnsd.zone.merge import APEX
from dnsd.zone.zone import Zone

log = structlog.get_logger(__name__)

FILE = "records.json"
KIND = "Record"
MAX_RECORDS = 10_000
MAX_VALUES = 500  # of one RRset
MAX_TTL = 2**31 - 1  # RFC 2181 8
_MAX_FILE = 64 << 20


class Conflict(ValueError):
    """A name that belongs to somebody else. `forceable`: whether force helps."""

    def __init__(self, message: str, contributors: Iterable[Key], forceable: bool = True) -> None:
        super().__init__(message)
        self.contributors, self.forceable = tuple(contributors), forceable


class Record(Struct, frozen=True):
    """A pinned RRset as it was given: `zone` and `name` absolute text, values as written."""

    zone: str
    name: str
    type: str
    ttl: int
    values: tuple[str, ...]
    forced: bool = False
    by: str = ""  # the token's name
    at: float = 0.0  # seconds since the epoch

    @property
    def key(self) -> Key:
        return key_of(self.zone, self.name, self.type)


Place = Callable[[Key, list[RRset], Cause], Change | None]


class Records:
    """The pinned records of a dnsd: in the zone, and on disk."""

    def __init__(self, directory: str) -> None:
        """Reads what is there ("": nothing is kept). Raises BadRecord when it cannot."""
        self.path = Path(directory, FILE) if directory else None
        self._records: dict[Key, Record] = {one.key: one for one in _load(self.path)}

    def all(self) -> list[Record]:
        """Every record, by name and type."""
        return [self._records[key] for key in sorted(self._records)]

    def get(self, key: Key) -> Record | None:
        return self._records.get(key)

    def apply(self, place: Place) -> None:
        """Puts every record into the zone, at the start."""
        for record in self.all():
            try:
                made = parsed(record)
            except BadRecord as error:
                log.warning(
                    "a pinned record is left out", record=str(record.key), problem=str(error)
                )
                continue
            place(record.key, [made], Cause(record.key, origin="pinned", at=record.at))

    def put(self, record: Record, zone: Zone, place: Place) -> tuple[Change | None, list[Key]]:
        """Pins a record, instead of the one of its name and type: the Change, and who shares
        the name.

        Raises BadRecord, Conflict; OSError when it cannot be kept (then it is not pinned).
        """
        made = parsed(record)
        others = self._check(record, made, zone)
        if record.key not in self._records and len(self._records) >= MAX_RECORDS:
            raise BadRecord(f"there are {MAX_RECORDS} pinned records already, which is the limit")
        self._keep({**self._records, record.key: record})
        return place(record.key, [made], Cause(record.key, record.by, "pinned", record.at)), others

    def delete(self, key: Key, by: str, at: float, place: Place) -> Change | None:
        """Takes a record back. Raises KeyError when there is none; OSError as `put`."""
        left = dict(self._records)
        del left[key]
        self._keep(left)
        return place(key, [], Cause(key, by, "unpinned", at))

    def conflicts(self, zone: Zone, key: Key) -> list[Key]:
        """Who else owns records at the name of this one, by now."""
        record = self._records.get(key)
        name = name_from_text(record.name) if record else b""
        return (
            [contributor for contributor in zone.contributors(name) if contributor.kind != KIND]
            if name
            else []
        )

    def _check(self, record: Record, made: RRset, zone: Zone) -> list[Key]:
        """Who shares the name. Raises Conflict when that must not be."""
        others = [
            contributor for contributor in zone.contributors(made.name) if contributor != record.key
        ]
        foreign = [contributor for contributor in others if contributor.kind != KIND]
        alias = made.type == Type.CNAME
        with_alias = [
            contributor
            for contributor in others
            if alias or _has_alias(zone, contributor, made.name)
        ]
        if with_alias and not foreign:
            raise Conflict(
                f"{record.name} has {_listed(with_alias)}, and a CNAME stands alone (RFC 2181"
                " 10.1); delete it first",
                with_alias,
                forceable=False,
            )
        if APEX in others and (alias or zone.rrset(made.name, made.type)):
            raise Conflict(
                f"{record.name} {record.type} is made by dnsd itself", [APEX], forceable=False
            )
        foreign = [contributor for contributor in foreign if contributor != APEX]
        if foreign and not record.forced:
            raise Conflict(
                f"{record.name} belongs to {_listed(foreign)}; with force=true the records are"
                " joined",
                foreign,
            )
        return foreign

    def _keep(self, records: dict[Key, Record]) -> None:
        """Writes all records, and only then holds them."""
        if self.path is not None:
            data = msgspec.json.format(
                msgspec.json.encode([records[key] for key in sorted(records)])
            )
            new = self.path.with_suffix(".new")
            with os.fdopen(
                os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb"
            ) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        self._records = records


def _has_alias(zone: Zone, contributor: Key, name: Name) -> bool:
    return any(
        one.name == name and one.type == Type.CNAME for one in zone.contribution(contributor)
    )


def _listed(contributors: Iterable[Key]) -> str:
    return ", ".join(
        f"the pinned record {contributor.name}" if contributor.kind == KIND else str(contributor)
        for contributor in contributors
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
            f"{path}: is damaged ({error}); mend it, or move it away to begin without"
        ) from error


def key_of(zone: str, name: str, type_: str) -> Key:
    """The contributor of a pinned record, from absolute names."""
    return Key(KIND, zone, f"{name}/{type_}")


def record_of(
    zone: Name, name: str, type_: str, ttl: int, values: Iterable[str], **more: object
) -> Record:
    """A record as the API gets it: `name` relative to the zone or absolute. Raises BadRecord."""
    from dnsd.dns.rdata import type_number  # who has no records does without dnslib

    owner = name_in(zone, name)
    return msgspec.convert(
        {
            "zone": text_of(zone),
            "name": text_of(owner),
            "type": type_number(type_)[1],
            "ttl": ttl,
            "values": tuple(values),
            **more,
        },
        Record,
    )


def name_in(zone: Name, text: str) -> Name:
    """The name `text` in a zone: relative, or absolute with its dot. Raises BadRecord."""
    try:
        name = name_from_text(text, zone)
    except (BadName, IndexError) as error:
        raise BadRecord(f"{text!r} is no domain name: {error}") from error
    if not is_below(name, zone):
        raise BadRecord(f"{text} does not lie in {text_of(zone)}")
    return name


def parsed(record: Record) -> RRset:
    """The RRset of a record. Raises BadRecord with the value and the reason."""
    from dnsd.dns.rdata import rdata_from_text, type_number

    zone, number = name_from_text(record.zone), type_number(record.type)[0]
    name = name_in(zone, record.name)
    if not 0 <= record.ttl <= MAX_TTL:
        raise BadRecord(f"ttl {record.ttl} is not in 0 to {MAX_TTL}")
    if not 0 < len(record.values) <= MAX_VALUES:
        raise BadRecord(f"{len(record.values)} values, must be 1 to {MAX_VALUES}")
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
        "values": [rdata_text(one.type, rdata) for rdata in one.rdatas],
    }
