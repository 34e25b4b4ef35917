"""Frames: how the answer tables of the workers change, as bytes.

In `zone/` (control plane: the names that exist). Change here: the format between control process
and workers. `compile.py` makes frames from the zone; `answer/table.py` applies them.

The unit is the *node*: one name with all its RRsets, compiled. A frame means "these names now are
this, those names are gone". So a frame can be applied twice, and the frames of `compile_all`
rebuild a table at any time.

The rules of a compiled body, which `answer/table.py` and `answer/engine.py` rely on:

* The owner of each record is the name of the question: the record begins with the pointer c00c
  (RFC 1035 4.1.4), because the question is at offset 12 in every reply.
* A and AAAA records have a fixed size (16 and 28 octets), so that a set of them can be rotated
  by slicing.
* The targets in SRV rdata are not compressed (RFC 2782). The owners of additional records point
  to them. The offsets are known, because a question is as long as the name in it.
* SOA records are not in frames. They hold the serial, which every frame carries, and the table
  makes them on demand.
* No body is longer than a message over TCP can be.

Both ends use msgpack with the types below.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from dnsd.dns.message import MAX_MESSAGE
from dnsd.dns.names import Name

# States of the tables. UNCHANGED: the frame does not change the state.
UNCHANGED, NOT_READY, FRESH, STALE = range(4)

# Node kinds: what a name is besides its records.
PLAIN, APEX, ALIAS, PODS = range(4)

# The rest of a message: header, the longest question, an OPT record with the options of dnsd.
_OVERHEAD = 12 + 255 + 4 + 300
MAX_BODY = MAX_MESSAGE - _OVERHEAD
# Single records up to this size fit every UDP reply (512 octets), whatever the question.
SMALL_BODY = 512 - 12 - 255 - 4 - 40


class RRsetBody(Struct, array_like=True, frozen=True, gc=False):
    """An RRset that is more than one small record.

    `unit`: octets of each record if all have the same size and may be rotated, else 0.
    `additional`: the `extra` records of the additional section, left out if they do not fit
    (RFC 2181 9).
    """

    type: int
    count: int
    unit: int
    body: bytes
    extra: int = 0
    additional: bytes = b""


class Node(Struct, array_like=True, frozen=True, gc=False):
    """The new state of a name. `zone` is an index into the frame's `zones`.

    `singles`: (type, body) of each RRset that is one small record. `target`: the target of the
    CNAME, for kind ALIAS.
    """

    name: Name
    zone: int
    kind: int = PLAIN
    singles: tuple[tuple[int, bytes], ...] = ()
    bodies: tuple[RRsetBody, ...] = ()
    target: Name = b""


class Apex(Struct, array_like=True, frozen=True, gc=False):
    """A zone: its SOA (RFC 1035 3.3.13) without the serial.

    `timers`: refresh to minimum, 16 octets.
    """

    name: Name
    mname: Name
    rname: Name
    timers: bytes
    ttl: int


class Frame(Struct, array_like=True, frozen=True):
    """One step of the tables, applied as a whole.

    `reset`: begin new tables beside those that answer; `complete`: answer from them now.
    `zones` are those that `nodes` refer to; `gone` are names that no longer exist, and
    `zones_gone` zones that are no longer served. `ttl`, with `reset`: the TTL of most records.
    `unknown`, with `state`: names below which the existing names are unknown.
    """

    serial: int
    state: int = UNCHANGED
    reset: bool = False
    complete: bool = False
    zones: tuple[Apex, ...] = ()
    nodes: tuple[Node, ...] = ()
    gone: tuple[Name, ...] = ()
    zones_gone: tuple[Name, ...] = ()
    ttl: int = 0
    unknown: tuple[Name, ...] = ()


encode_frame = msgspec.msgpack.Encoder().encode
decode_frame = msgspec.msgpack.Decoder(Frame).decode  # raises msgspec.DecodeError


def compile_state(state: int, serial: int = 0, unknown: tuple[Name, ...] = ()) -> bytes:
    """The frame with the state of the tables: NOT_READY, FRESH, or STALE.

    NOT_READY: SERVFAIL with extended error 14 for every name in the zones. STALE: answers
    carry extended error 3 (19 with NXDOMAIN), RFC 8914. A name that is missing in the tables and
    is at or below a name of `unknown` is answered as with NOT_READY.
    """
    return encode_frame(Frame(serial, state=state, unknown=unknown))
