"""The engine: a packet and a client's address in, an outcome out. Pure: bytes in, bytes out.

In `answer/` (pure: query bytes to reply bytes). Change here: how a usual query is answered.

Read it as an outline:

1. `answer_batch` and `answer`: the fast path. A usual query is a header and an OPT record of a
   known `Shape`, with one question between them. If the table has the question octet for octet,
   the packet is well-formed, and the reply is a concatenation: id + header + name as in the query
   + what all records of the type begin with (the end of the question first) + rdata + OPT. All
   octets but the id are remembered by the packet that they answer, until the next frame changes
   the table; this halves the time for a name that is queried again. A query with EDNS options
   that dnsd ignores is remembered by the octets before these options.
2. `_miss`: the rest of the fast path: RRsets of several records, NODATA, NXDOMAIN, upper case.
3. `_complete`: the complete path for all other queries: the gate, and the parser (`reply.py`).

1 and 2 make the octets that 3 would make (a property test verifies it). They change together.

The engine never raises, whatever the bytes, and keeps no reference to its arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

from dnsd.answer.fast import (
    AND_AN_OPT,
    BEFORE_OPT,
    ONE_IGNORED,
    ONE_QUESTION,
    OPT_FIXED,
    TO_OPTIONS,
    Shape,
    are_ignored,
)
from dnsd.answer.gate import Refusal, admit, is_dropped
from dnsd.answer.outcome import (
    ANSWERED,
    NODATA,
    NXDOMAIN,
    RESULT_OF,
    Forward,
    Outcome,
    counter_index,
)
from dnsd.answer.reply import Reply
from dnsd.answer.rrsets import CompiledRRset
from dnsd.answer.shared import Shared
from dnsd.answer.stages import answer_by_group
from dnsd.answer.table import Table
from dnsd.answer.transport import Transport
from dnsd.answer.zones import Sets
from dnsd.dns.message import OPCODE, OPT, QR, RD, Query
from dnsd.dns.names import MAX_NAME, Name
from dnsd.zone.frame import ALIAS, APEX, PODS

# Labels that `_miss` removes to find the closest encloser of an NXDOMAIN. Names with more labels in
# front of it take the complete path, which does not look up each label.
_WALK = (0, 1, 2, 3)

# Packet without id -> reply without id, and the counters of the type.
Replies = dict[bytes, tuple[bytes, list[int]]]
# What the fast path reads for clients with the same rights over one transport, in one tuple, so
# that a batch of one query looks it up once: the two parts of the shape table, the types of the
# table, the counters of each type and of other types, the position of ANSWERED in them, the
# remembered replies to whole packets, and those to packets with options that dnsd ignores. A key
# of the latter ends before the length of the options.
FastPath = tuple[
    dict[bytes, Shape],
    dict[bytes, dict[bytes, Shape]],
    dict[bytes, Sets],
    dict[bytes, list[int]],
    list[int],
    int,
    Replies,
    Replies,
]


class Engine:
    """Answers from one table. Not for use by several threads."""

    __slots__ = (
        "_access",
        "_counters",
        "_paths",
        "_rights",
        "_rights_of",
        "_seen",
        "_unknown",
        "_width",
        "needs_client",
        "shared",
        "table",
    )

    def __init__(self, shared: Shared) -> None:
        self.shared, self.table = shared, Table()
        self._access, self._counters = shared.access, shared.counters
        self._rights, self._rights_of = self._access.rights, self._access.remembered
        self.needs_client = self._access.needs_client  # see `Stage`
        self._width = len(shared.transports)  # shapes for each sum of rights
        self._paths: list[FastPath | None] = [None] * len(shared.shapes)  # see `_fast_path`
        self._seen = -1  # version of the table
        self._unknown = False  # whether some names may exist without being in the table

    def apply(self, frame: bytes) -> None:
        """Applies one frame to the table. Raises msgspec.DecodeError."""
        self.table.apply(frame)

    # -- the fast path -----------------------------------------------------------------------

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> list[Outcome]:
        """See `Stage`."""
        rights = self._rights
        if not self.needs_client:
            clients = None
        elif clients:
            rights_of = list(map(self._rights_of.__getitem__, clients))
            rights = rights_of[0]
            if rights_of.count(rights) != len(rights_of):
                stages = dict.fromkeys(rights_of, self)
                return answer_by_group(rights_of, stages, blob, lengths, stride, clients, transport)
        if self._seen != self.table.version:
            self._renew()
        index = rights * self._width + transport.index
        path = self._paths[index] or self._fast_path(index)
        plain, with_opt, types, counters_of, other, answered, known, with_options = path
        shared, recall, join = self.shared, known.get, b"".join
        outcomes: list[Outcome] = []
        append = outcomes.append
        for i, length in enumerate(lengths):
            begin = i * stride
            key = blob[begin + 2 : begin + length]
            reply = recall(key)
            if reply is None:
                head, memory = key[:10], known
                shape = plain.get(head)
                if shape is not None:
                    name, kind = key[10:-4], key[-4:]
                elif (shapes := with_opt.get(head)) is not None:
                    shape = shapes.get(key[-11:])
                    if shape is not None:
                        name, kind = key[10:-15], key[-15:-11]
                    else:
                        at = key.find(OPT, BEFORE_OPT) + TO_OPTIONS
                        usual = ONE_IGNORED.get(key[at : at + 6]) == len(key) - at
                        if usual or are_ignored(key, at):
                            key, memory = key[:at], with_options
                            reply = with_options.get(key)
                            if reply is None:
                                shape = shapes.get(key[-OPT_FIXED:])
                                name, kind = key[10:-13], key[-13:-OPT_FIXED]
            if reply is None:
                packet, client = blob[begin : begin + length], clients[i] if clients else b""
                if shape is None or (sets := types.get(kind)) is None:
                    append(self._complete(packet, client, transport))
                    continue
                singles, heads, whole, rrsets = sets
                if (rdata := singles.get(name)) is not None:
                    head = heads[len(rdata)]
                elif (rdata := whole.get(name)) is not None:
                    head = kind
                else:
                    outcome = self._miss(packet, shape, name, kind, rrsets, name)
                    append(outcome or self._complete(packet, client, transport))
                    continue
                reply = (
                    join((shape.hit, name, head, rdata, shape.opt)),
                    counters_of.get(kind, other),
                )
                if shared.budget > 0:
                    shared.budget -= 1
                    memory[key] = reply
            tail, counter = reply
            counter[answered] += 1
            append(blob[begin : begin + 2] + tail)
        return outcomes

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        """See `Stage`."""
        if self._seen != self.table.version:
            self._renew()
        rights = self._rights_of[client] if self.needs_client else self._rights
        index = rights * self._width + transport.index
        path = self._paths[index] or self._fast_path(index)
        plain, with_opt = path[0], path[1]
        query = packet[2:]
        head = query[:10]
        shape = plain.get(head)
        if shape is not None:
            name, kind = query[10:-4], query[-4:]
        elif (shapes := with_opt.get(head)) is not None:
            shape = shapes.get(query[-11:])
            if shape is not None:
                name, kind = query[10:-15], query[-15:-11]
            elif are_ignored(query, at := query.find(OPT, BEFORE_OPT) + TO_OPTIONS):
                shape = shapes.get(query[at - OPT_FIXED : at])
                name, kind = query[10 : at - 13], query[at - 13 : at - OPT_FIXED]
        reply = self._found(packet, shape, name, kind, name) if shape is not None else None
        return reply or self._complete(packet, client, transport)

    def _found(
        self, packet: bytes, shape: Shape, queried: bytes, kind: bytes, name: Name
    ) -> bytes | None:
        """The reply to a usual query; for the parameters and None see `_miss`."""
        sets = self.table.types.get(kind)
        if sets is None:
            return None
        singles, heads, whole, rrsets = sets
        if (rdata := singles.get(name)) is not None:
            head = heads[len(rdata)]
        elif (rdata := whole.get(name)) is not None:
            head = kind
        else:
            return self._miss(packet, shape, queried, kind, rrsets, name)
        counters = self._counters
        counters.of.get(kind, counters.other)[shape.counter + ANSWERED] += 1
        return b"".join((packet[:2], shape.hit, queried, head, rdata, shape.opt))

    def _miss(
        self,
        packet: bytes,
        shape: Shape,
        queried: bytes,
        kind: bytes,
        rrsets: dict[Name, CompiledRRset],
        name: Name,
    ) -> bytes | None:
        """The reply to a usual query whose answer is not one record; None: take the complete path.

        `queried`: the name as it is in the packet; `name`: the same, or in lower case.
        """
        rrset = rrsets.get(name)
        if rrset is not None:
            return self._several(packet, shape, queried, kind, rrset)
        table, counters = self.table, self._counters
        zone_ref = table.names.get(name)
        if zone_ref is not None:
            if zone_ref.kind in (APEX, ALIAS):
                return None
        else:
            a, srv, ptr, aaaa = table.leaves
            if name in a or name in srv or name in ptr or name in aaaa:
                zone_ref = table.zone_above(name)
        if zone_ref is not None:
            counters.of.get(kind, counters.other)[shape.counter + NODATA] += 1
            negative = zone_ref.negative(len(name))
            return b"".join((packet[:2], shape.nodata, queried, kind, negative, shape.opt))
        if name is queried:
            lower = name.lower()
            if lower != name:
                return self._found(packet, shape, queried, kind, lower)
        kept = self.shared.kept
        if kept is not None and shape.kept:
            # The cache has it octet for octet, so it is well-formed, and an external name.
            key = b"".join((name, kind, shape.kept))
            reply = kept(key, packet, queried + kind, shape.edns, shape.room)
            if reply is not None:
                counters.forwarded += 1
                return reply
        # The closest encloser is a name of the table, and the octets in front of it are labels, so
        # all of these octets are a name. (A leaf lies in the zone of the name above it.)
        find, encloser, position, length = table.names.get, None, 0, len(name)
        try:
            for _ in _WALK:
                octets = name[position]
                if not 0 < octets < 64:
                    break
                position += 1 + octets
                encloser = find(name[position:])
                if encloser is not None:
                    break
        except IndexError:
            pass
        if encloser is None or encloser.kind == PODS or length > MAX_NAME or self._unknown:
            return None
        counters.of.get(kind, counters.other)[shape.counter + NXDOMAIN] += 1
        negative = encloser.negatives.get(length) or encloser.negative(length)
        return b"".join((packet[:2], shape.nxdomain, queried, kind, negative, shape.opt_nx))

    def _several(
        self, packet: bytes, shape: Shape, queried: bytes, kind: bytes, rrset: CompiledRRset
    ) -> bytes:
        """The reply of an RRset, with as much of it as the client can take."""
        layout, counters = rrset.layout, self._counters
        body = self.table.rotated(rrset) if layout.unit else rrset.body
        counters.of.get(kind, counters.other)[shape.counter + ANSWERED] += 1
        room = shape.room - len(queried) - len(layout.head) - len(body)
        if room >= layout.additional_octets + len(rrset.additional):
            return b"".join(
                (
                    packet[:2],
                    shape.flags,
                    layout.full_opt if shape.edns else layout.full,
                    queried,
                    layout.head,
                    body,
                    layout.additional[len(queried)],
                    rrset.additional,
                    shape.opt,
                )
            )
        if room >= 0:
            counts = layout.bare_opt if shape.edns else layout.bare
            return b"".join(
                (packet[:2], shape.flags, counts, queried, layout.head, body, shape.opt)
            )
        counters.truncated += 1
        counts = AND_AN_OPT if shape.edns else ONE_QUESTION
        return b"".join((packet[:2], shape.flags_tc, counts, queried, kind, shape.opt))

    def _renew(self) -> None:
        """Drops what was derived from the previous version of the table."""
        self._seen = self.table.version
        self.forget()
        self._unknown = bool(self.table.claim.unknown)

    def _fast_path(self, index: int) -> FastPath:
        """The fast path of clients and transport with this index of shapes, made if it is new."""
        plain, with_opt = self.shared.shapes.of(self.table.claim.state)[index]
        counters = self._counters
        path = self._paths[index] = (
            plain,
            with_opt,
            self.table.types,
            counters.of,
            counters.other,
            counter_index(self.shared.transports[index % self._width], ANSWERED),
            {},
            {},
        )
        return path

    def forget(self) -> None:
        """Drops the remembered replies; the budget may be used for others."""
        remembered = (path[6:] for path in self._paths if path is not None)
        self.shared.budget += sum(len(replies) for pair in remembered for replies in pair)
        self._paths = [None] * len(self._paths)

    # -- the complete path -------------------------------------------------------------------

    def _complete(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        self._counters.complete += 1
        if is_dropped(packet):
            self._counters.dropped += 1
            return None
        try:
            query = admit(packet, self._access.of(client))
        except Refusal as refusal:
            return self._refused(packet, refusal, client, transport)
        return self._reply(packet, query, client, transport).make()

    def _refused(
        self, packet: bytes, refusal: Refusal, client: bytes, transport: Transport
    ) -> bytes:
        query = refusal.query
        if query is not None:
            reply = self._reply(packet, query, client, transport)
            return reply.send(refusal.rcode, extended=refusal.extended, opcode=packet[2] & OPCODE)
        self._counters.count(b"", counter_index(transport, RESULT_OF[refusal.rcode]))
        return packet[:2] + bytes((QR | packet[2] & (OPCODE | RD), refusal.rcode)) + bytes(8)

    def _reply(self, packet: bytes, query: Query, client: bytes, transport: Transport) -> Reply:
        return Reply(self.shared, self.table, packet, query, client, transport)

    def forward_denied(self, packet: bytes, client: bytes, transport: Transport) -> Forward | None:
        """The `Forward` for a query that `answer` denied (NXDOMAIN).

        None for a query that the gate refuses.
        """
        try:
            query = admit(packet, self._access.of(client))
        except Refusal:
            return None
        return self._reply(packet, query, client, transport).forward_denied()

    def counters(self) -> tuple[int, ...]:
        """The counters, in the order of `counter_names`."""
        return self._counters.totals()
