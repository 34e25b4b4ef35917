"""The Change: what one edit of the zone did to what is served.

In `zone/` (control plane: the names that exist). Change here: what its consumers receive.

Answer tables, journal, history, event stream, and metrics all consume the same Changes.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.dns.names import Name
from dnsd.dns.rrset import RRset


class Cause(Struct, frozen=True, gc=False):
    """The reason for a Change: the object, its resourceVersion, and its manifest.

    `at`: when the event was received, in seconds of the caller's clock.
    """

    key: Key
    version: str = ""
    origin: str = ""
    at: float = 0.0


class Change(Struct, frozen=True, gc=False):
    """The effect of one edit on what is served; `serial` is the serial after it.

    RRsets are as served, merged. A changed RRset is in `removed` with its old content and in
    `added` with its new one. SOA records are in neither, because they follow from the serial,
    `zones_born`, and `zones_died`. `born` and `died` are the names that began and ceased to
    exist, with or without records.
    """

    serial: int
    contributor: Key
    removed: tuple[RRset, ...]
    added: tuple[RRset, ...]
    born: tuple[Name, ...]
    died: tuple[Name, ...]
    zones_born: tuple[Name, ...]
    zones_died: tuple[Name, ...]
    cause: Cause


class Edit:
    """The effects of one `replace` so far; becomes a Change."""

    __slots__ = ("added", "born", "died", "removed", "zones_born", "zones_died")

    def __init__(self) -> None:
        self.removed: list[RRset] = []
        self.added: list[RRset] = []
        self.born: list[Name] = []
        self.died: list[Name] = []
        self.zones_born: list[Name] = []
        self.zones_died: list[Name] = []

    def served(self, before: tuple[RRset, ...], after: tuple[RRset, ...]) -> None:
        """Notes that a name served `before` and now serves `after`."""
        if not before:
            self.added += after
        elif before != after:
            self.removed += [rrset for rrset in before if rrset not in after]
            self.added += [rrset for rrset in after if rrset not in before]

    def change(self, serial: int, contributor: Key, cause: Cause) -> Change | None:
        """The Change; None if what is served is the same."""
        if not (self.removed or self.added or self.born or self.died):
            return None
        rrsets = tuple(self.removed), tuple(self.added)
        names = tuple(self.born), tuple(self.died), tuple(self.zones_born), tuple(self.zones_died)
        return Change(serial, contributor, *rrsets, *names, cause)


def newer(serial: int, than: int) -> bool:
    """Whether a serial comes after another, in serial number arithmetic (RFC 1982 3.2)."""
    return 0 < (serial - than) % 2**32 < 2**31
