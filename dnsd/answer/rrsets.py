"""RRsets of several records, or with additional records, as replies contain them.

In `answer/` (pure: query bytes to reply bytes). Change here: how such an RRset is stored.

A large zone has hundreds of thousands of small objects, and their number is the memory of a
table. So RRsets of the same layout share one `Layout`, and the single SRV record with a single
address, which every port of every endpoint has, is stored as target and address only: both are
in the table anyway. Rotation and the offsets of the additional section are rules of
`zone/compile.py`.
"""

from __future__ import annotations

from functools import lru_cache
from struct import pack

from msgspec import Struct

from dnsd.dns.message import HEADER
from dnsd.dns.names import MAX_NAME, Name
from dnsd.dns.types import Type
from dnsd.zone.frame import RRsetBody

RECORD_HEAD = 12  # octets: owner pointer, type, class, TTL, length of the rdata
_SRV_HEAD = RECORD_HEAD + 6  # priority, weight, port
_SRV = int(Type.SRV)


class Layout(Struct, frozen=True, gc=False):
    """What RRsets of one layout share.

    `unit`, `answers`, and `extra` are `unit`, `count`, and `extra` of `RRsetBody`. `full` to
    `bare_opt`: the four counts of the header, with the additional records (`full`) and without
    (`bare`), each without and with an OPT record. `head`: the octets before the body; they begin
    with type and class of the question. `additional[len(name)]`: the octets before the
    additional section, `additional_octets` of them.
    """

    unit: int
    answers: int
    extra: int
    full: bytes
    full_opt: bytes
    bare: bytes
    bare_opt: bytes
    head: bytes
    additional: tuple[bytes, ...]
    additional_octets: int


class CompiledRRset(Struct, frozen=True, gc=False):
    """One RRset. `body` and `additional` follow what the layout puts before each of them."""

    layout: Layout
    body: bytes
    additional: bytes

    def additional_section(self, name: Name) -> bytes:
        """The additional section of a reply to a query for `name`."""
        return self.layout.additional[len(name)] + self.additional


class Compiler:
    """Makes the RRsets of one frame; equal RRsets and equal octets become one object.

    `shared`: octets -> the object that represents them, names of the frame included.
    """

    __slots__ = ("_srv", "share")

    def __init__(self, shared: dict[bytes, bytes]) -> None:
        self.share = shared.setdefault
        self._srv: dict[bytes, CompiledRRset] = {}

    def rrset(self, rrset: RRsetBody, name: Name) -> CompiledRRset:
        """The RRset of `name`."""
        kind = kind_of(rrset.type)
        body, additional = rrset.body, rrset.additional
        if rrset.type == _SRV and rrset.count == rrset.extra == 1:
            target, fixed = body[_SRV_HEAD:], additional[2:RECORD_HEAD]
            if additional.startswith(_additional(fixed)[len(name)]):
                return self._single_srv(
                    kind + body[:_SRV_HEAD], target, fixed, additional[RECORD_HEAD:]
                )
        layout = _layout(rrset.unit, rrset.count, rrset.extra, kind, b"")
        return CompiledRRset(layout, self.share(body, body), additional)

    def _single_srv(self, head: bytes, target: Name, fixed: bytes, address: bytes) -> CompiledRRset:
        key = b"".join((head, target, fixed, address))
        rrset = self._srv.get(key)
        if rrset is None:
            layout = _layout(0, 1, 1, head, fixed)
            share = self.share
            rrset = CompiledRRset(layout, share(target, target), share(address, address))
            self._srv[key] = rrset
        return rrset


@lru_cache(maxsize=256)
def kind_of(type_: int) -> bytes:
    """Type and class IN as they end a question."""
    return pack("!HH", type_, 1)


_NO_ADDITIONAL = (b"",) * (MAX_NAME + 1)


@lru_cache(maxsize=4096)
def _layout(unit: int, answers: int, extra: int, head: bytes, fixed: bytes) -> Layout:
    """`fixed`: octets 2 to 11 of the additional record, b"" if the RRset holds it whole."""
    return Layout(
        unit,
        answers,
        extra,
        pack("!HHHH", 1, answers, 0, extra),
        pack("!HHHH", 1, answers, 0, extra + 1),
        pack("!HHHH", 1, answers, 0, 0),
        pack("!HHHH", 1, answers, 0, 1),
        head,
        _additional(fixed) if fixed else _NO_ADDITIONAL,
        2 + len(fixed) if fixed else 0,
    )


@lru_cache(maxsize=64)
def _additional(fixed: bytes) -> tuple[bytes, ...]:
    """The head of an additional record that the target of a single SRV record owns.

    Its pointer to the target depends on the length of the question's name.
    """
    return tuple(
        pack("!H", 0xC000 | (HEADER + length + 4 + _SRV_HEAD)) + fixed
        for length in range(MAX_NAME + 1)
    )
