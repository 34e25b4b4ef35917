"""The forms of usual queries: shapes, computed before any query arrives.

In `answer/` (pure: query bytes to reply bytes). Change here: which queries take the fast path.

A usual query is its id, its question, and two octet strings of which there are a few dozen: the
header behind the id, and the OPT record if there is one. The engine looks these two up to find the
shape, which holds all that the reply needs besides question and records. EDNS options that dnsd
ignores, such as cookies and padding, do not change the shape (`are_ignored`).

Shapes depend on the configuration, on the state of the data (stale data adds an extended error
to each OPT), on the transport, and on whether dnsd resolves external names for the client. All
engines of a process share one set of them (`Shapes`, 100 KiB for each transport).
"""

from __future__ import annotations

from itertools import product
from struct import Struct as Packing
from struct import pack

from msgspec import Struct

from dnsd.answer.gate import REFUSED, RESOLVES
from dnsd.answer.options import OPTIONS
from dnsd.answer.outcome import counter_index
from dnsd.answer.settings import EngineConfig
from dnsd.answer.transport import Transport
from dnsd.dns.message import (
    AA,
    AD,
    CD,
    HEADER,
    QR,
    RA,
    RD,
    TC,
    Ede,
    Option,
    Rcode,
    ede,
    opt_record,
)
from dnsd.zone.frame import NOT_READY, STALE


class Shape(Struct, frozen=True, gc=False):
    """What replies to queries of one shape share.

    `hit`, `nodata`, `nxdomain`: octets 2 to 11 of the reply's header, for one answer and
    for one authority record; `flags`, `flags_tc`: octets 2 and 3 alone. `opt` and `opt_nx`
    end the reply. `room`: octets for question and records. `counter`: where a list of
    `Counters` begins for the transport. `kept`: the flags (DO and CD) by which the upstream
    cache keeps replies to such a query, see `upstream/cache.py`; empty if dnsd does not resolve
    external names for it (no RD, or no RA).
    """

    hit: bytes
    opt: bytes
    edns: bool
    flags: bytes
    flags_tc: bytes
    nodata: bytes
    nxdomain: bytes
    opt_nx: bytes
    room: int
    counter: int
    kept: bytes


# (header octets 2 to 11 -> shape, header octets 2 to 11 -> octets of an OPT record -> shape).
# Those octets: an OPT record without options (11), and the octets before the length of the
# options (9).
ShapeTable = tuple[dict[bytes, Shape], dict[bytes, dict[bytes, Shape]]]
NO_SHAPES: ShapeTable = ({}, {})

ONE_QUESTION = b"\x00\x01\x00\x00\x00\x00\x00\x00"
AND_AN_OPT = b"\x00\x01\x00\x00\x00\x00\x00\x01"
# Flags and sizes that clients use. A query with others takes the complete path.
_FLAGS = tuple(bytes((first, second)) for first in (0, RD) for second in (0, AD, CD, AD | CD))
_SIZES = (512, 1220, 1232, 1280, 1400, 1410, 1440, 1452, 1472, 1680, 2048, 4096, 8192, 65535)

OPT_FIXED = 9  # octets of an OPT record before the length of its options
BEFORE_OPT = HEADER - 2 + 5 + 2  # octets before the type OPT at least, in a query without its id
TO_OPTIONS = OPT_FIXED - 2  # octets from there to the length of the options
_MOST_OPTIONS = (0, 1, 2, 3)  # a query with more options takes the complete path
_option = Packing("!HH").unpack_from  # code, length
# The only option of a usual query that has one: a cookie (RFC 7873 4) or padding to a multiple of
# 128 octets (RFC 8467 4.1). Length of the options, code, and length -> octets of these and the
# data. `are_ignored` gives the same, for any query, and takes longer.
ONE_IGNORED = {
    pack("!HHH", 4 + length, code, length): 6 + length
    for code in (Option.COOKIE, Option.PADDING)
    if code not in OPTIONS
    for length in range(128)
}


class Shapes:
    """The shape tables of a process, for one state of the data at a time.

    They are ordered by the rights of a client (`gate.Access`), and then by transport.
    """

    __slots__ = ("_config", "_none", "_state", "_tables", "_transports")

    def __init__(self, config: EngineConfig, transports: tuple[Transport, ...]) -> None:
        self._config, self._transports = config, transports
        self._none = self._tables = (NO_SHAPES,) * (4 * len(transports))
        self._state = NOT_READY

    def __len__(self) -> int:
        """The number of shape tables."""
        return len(self._none)

    def of(self, state: int) -> tuple[ShapeTable, ...]:
        """The tables for this state; empty ones while it is NOT_READY."""
        if state == NOT_READY:
            return self._none
        if state != self._state:
            self._state = state
            self._tables = tuple(
                NO_SHAPES
                if rights & REFUSED
                else _shapes(self._config, state, transport, bool(rights & RESOLVES))
                for rights in range(4)
                for transport in self._transports
            )
        return self._tables


def are_ignored(query: bytes, at: int) -> bool:
    """Whether a query has EDNS options, and dnsd ignores all of them. Their length is at `at`.

    `query` is without its id. False also if the options do not end with the query, and if there
    are more of them than `_MOST_OPTIONS` counts.
    """
    position, end = at + 2, len(query)
    if position + 4 > end or query[at] << 8 | query[at + 1] != end - position:
        return False
    for _ in _MOST_OPTIONS:
        code, length = _option(query, position)
        position += 4 + length
        if code in OPTIONS or position + 4 > end:
            return code not in OPTIONS and position == end
    return False


def _shapes(config: EngineConfig, state: int, transport: Transport, ra: bool) -> ShapeTable:
    stale = state == STALE

    def shape(flags: bytes, size: int | None, do: bool) -> Shape:
        rd = flags[0] & RD
        first, second = QR | AA | rd, RA if ra else 0
        opt = opt_nx = b""
        if size is not None:
            opt = opt_record(config.udp_size, do, 0, ede(Ede.STALE) if stale else b"")
            opt_nx = opt_record(config.udp_size, do, 0, ede(Ede.STALE_NXDOMAIN) if stale else b"")
        one_answer = pack("!HHHH", 1, 1, 0, 1 if opt else 0)
        one_authority = pack("!HHHH", 1, 0, 1, 1 if opt else 0)
        return Shape(
            hit=bytes((first, second)) + one_answer,
            opt=opt,
            edns=size is not None,
            flags=bytes((first, second)),
            flags_tc=bytes((first | TC, second)),
            nodata=bytes((first, second)) + one_authority,
            nxdomain=bytes((first, second | Rcode.NXDOMAIN)) + one_authority,
            opt_nx=opt_nx,
            room=config.limit(transport, size) - HEADER - len(opt),
            counter=counter_index(transport, 0),
            kept=bytes((do << 1 | bool(flags[1] & CD),)) if rd and ra else b"",
        )

    plain = {flags + ONE_QUESTION: shape(flags, None, False) for flags in _FLAGS}
    with_opt: dict[bytes, dict[bytes, Shape]] = {}
    for flags in _FLAGS:
        by_opt = with_opt[flags + AND_AN_OPT] = {}
        for size, do in product(_SIZES, (False, True)):
            opt = opt_record(size, do)
            by_opt[opt] = by_opt[opt[:OPT_FIXED]] = shape(flags, size, do)
    return plain, with_opt
