"""Shapes: what replies to queries of the same form have in common, computed beforehand.

Of a usual query everything but id, question and client is one of a few dozen octet strings:
the header behind the id, and the OPT record if there is one. A shape is found by looking
those up, and holds all that the reply needs besides question and records.

Shapes depend on the state of the table (a stale one says so in each OPT) and on whether the
client is offered recursion, so there is a set of them for each.
"""

from __future__ import annotations

from struct import pack

from msgspec import Struct

from dnsd.answer.outcome import EngineConfig, counter_index
from dnsd.answer.transport import Transport
from dnsd.dns.message import AA, AD, CD, HEADER, QR, RA, RD, TC, Ede, Rcode, ede, opt_record
from dnsd.zone.frame import NOT_READY, STALE


class Shape(Struct, frozen=True, gc=False):
    """`hit`, `nodata`, `nxdomain`: octets 2 to 11 of the reply's header, for one answer and
    for one authority record; `flags`, `flags_tc`: octets 2 and 3 alone. `opt` and `opt_nx`
    end the reply. `room`: octets for question and records. `tally`: the transport's index.
    `kept`: how a reply of an upstream to such a query is kept (DO and CD, see
    upstream/cache.py), empty where none is asked on the client's behalf (no RD, or no RA).
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
    tally: int
    kept: bytes


# (header octets 2 to 11 -> shape, header octets 2 to 11 -> OPT record -> shape)
Shapes = tuple[dict[bytes, Shape], dict[bytes, dict[bytes, Shape]]]
NO_SHAPES: Shapes = ({}, {})

ONE_QUESTION = b"\x00\x01\x00\x00\x00\x00\x00\x00"
AND_AN_OPT = b"\x00\x01\x00\x00\x00\x00\x00\x01"
# Flags and sizes that clients use. Others are as legal, and take the complete way.
_FLAGS = tuple(bytes((first, second)) for first in (0, RD) for second in (0, AD, CD, AD | CD))
_SIZES = (512, 1220, 1232, 1280, 1400, 1410, 1440, 1452, 1472, 1680, 2048, 4096, 8192, 65535)


def shapes_of(config: EngineConfig, state: int, transport: Transport, ra: bool) -> Shapes:
    """The shapes of all usual queries; none while the table is not ready."""
    if state == NOT_READY:
        return NO_SHAPES
    plain: dict[bytes, Shape] = {}
    with_opt: dict[bytes, dict[bytes, Shape]] = {}
    for flags in _FLAGS:
        plain[flags + ONE_QUESTION] = _shape(config, state, transport, flags, ra, None, False)
        with_opt[flags + AND_AN_OPT] = {
            opt_record(size, do): _shape(config, state, transport, flags, ra, size, do)
            for size in _SIZES
            for do in (False, True)
        }
    return plain, with_opt


def _shape(
    config: EngineConfig,
    state: int,
    transport: Transport,
    flags: bytes,
    ra: bool,
    size: int | None,
    do: bool,
) -> Shape:
    rd = flags[0] & RD
    first, second = QR | AA | rd, RA if ra else 0
    opt = opt_nx = b""
    if size is not None:
        stale = state == STALE
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
        tally=counter_index(transport, 0),
        kept=bytes((do << 1 | bool(flags[1] & CD),)) if rd and ra else b"",
    )
