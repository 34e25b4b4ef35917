"""answer(query, client) -> reply | "ask upstream" | drop. Pure: bytes in, bytes out.

Read it as an outline:

1. `answer_batch` and `answer`: the short cut. A usual query is a header and an OPT of a
   known `shape`, with one question between them. If the question is then found in the table
   octet for octet, the packet has been proven to be well-formed, and the reply is a
   concatenation: id + header + name as asked + what all records of the type begin with (the
   question's end first) + rdata + OPT. All of it but the id is remembered with the packet it
   answers, until the table changes in any way: half of the engine's time for a name that is
   asked again.
2. `_miss`: the rest of what is usual: sets of records, NODATA, NXDOMAIN, other case.
3. `_slow`: everything else, through the gate and the complete parser (`reply.py`).

1 and 2 give exactly what 3 would give (a property test says so). They change together.

The engine never raises, whatever the bytes, and keeps no reference to what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dnsd.answer.gate import Refusal, admit, is_dropped
from dnsd.answer.outcome import (
    ANSWERED,
    NODATA,
    NXDOMAIN,
    OUTCOME_OF,
    Counters,
    EngineConfig,
    Forward,
    counter_index,
    counter_names,
)
from dnsd.answer.reply import Reply
from dnsd.answer.shape import AND_AN_OPT, NO_SHAPES, ONE_QUESTION, Shape, Shapes, shapes_of
from dnsd.answer.table import Entry, Table, ZoneRef
from dnsd.answer.transport import Transport
from dnsd.dns.message import OPCODE, QR, RD, Query
from dnsd.dns.names import MAX_NAME, Name
from dnsd.dns.networks import Networks
from dnsd.zone.frame import ALIAS, APEX, PODS

__all__ = ["Engine", "EngineConfig", "Forward", "counter_names"]

_REMEMBERED_CLIENTS = 10_000
# Replies remembered, 300 octets each or so. Once full it stays as it is until the table
# changes: what is asked most is likely to be among the first, and a query that is not there
# pays for one lookup only. Nothing a client makes up gets in, only names of the table.
_REMEMBERED_REPLIES = 16_384
# Labels walked in the short cut to find an NXDOMAIN's closest encloser. Longer names take
# the complete way, which does not look anything up a label.
_WALK = 4


class Engine:
    """Answers for one table. One engine a process; not for use by several threads."""

    def __init__(self, config: EngineConfig, transports: Iterable[Transport]) -> None:
        """`transports`: all that it answers over, each at its index."""
        self.config, self.transports = config, tuple(transports)
        self.table = Table()
        self._may_ask = Networks(config.allow_query)
        self._may_recurse = Networks(config.allow_recursion)
        # False: transports may pass b"" as client, and need not find out who asks.
        self.needs_client = not self._may_ask.everyone or (
            config.forwarding and not self._may_recurse.everyone
        )
        # Replies of upstreams that are kept, when there are any: their key (name, type and
        # class, `Shape.kept`), packet, question as asked, EDNS, room -> the reply, or None.
        self.kept: Callable[[bytes, bytes, bytes, bool, int], bytes | None] | None = None
        self.tally = Counters(len(self.transports))
        self._clients: dict[bytes, bool] = {}
        self._recursive: dict[bytes, bool] = {}
        # By the index of their shapes, with where a transport counts answers.
        self._replies: tuple[tuple[dict[bytes, tuple[bytes, list[int]]], int], ...] = ()
        self._seen = self._shaped_for = -1  # version and state of the table
        self._shapes: tuple[Shapes, ...] = ()

    # -- the short cut ---------------------------------------------------------------------

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> list[bytes | Forward | None]:
        """Replies to packets of one transport that lie `stride` apart in `blob`, in their order.

        Packet i is blob[i * stride : i * stride + lengths[i]]; `clients` may be None unless
        `needs_client`.
        """
        if self._seen != self.table.version:
            self._renew()
        shared = transport.index
        if clients is not None and self.needs_client:
            if (shared := self._shared_shapes(clients, shared)) < 0:
                return [
                    self.answer(blob[i * stride : i * stride + length], clients[i], transport)
                    for i, length in enumerate(lengths)
                ]
        else:
            clients = None
        plain, with_opt = self._shapes[shared]
        types, other = self.table.types, self.tally.other
        tally_of, join = self.tally.of, b"".join
        known, answered = self._replies[shared]
        recall, room = known.get, _REMEMBERED_REPLIES - len(known)
        replies: list[bytes | Forward | None] = []
        append = replies.append
        begin = 0
        for i, length in enumerate(lengths):
            key = blob[begin + 2 : begin + length]
            reply = recall(key)
            if reply is not None:
                tail, tally = reply
                tally[answered] += 1
                append(blob[begin : begin + 2] + tail)
                begin += stride
                continue
            packet = blob[begin : begin + length]
            begin += stride
            head = packet[2:12]
            shape = plain.get(head)
            if shape is not None:
                name, kind = packet[12:-4], packet[-4:]
            else:
                tails = with_opt.get(head)
                if tails is None or (shape := tails.get(packet[-11:])) is None:
                    append(self._slow(packet, clients[i] if clients else b"", transport))
                    continue
                name, kind = packet[12:-15], packet[-15:-11]
            sets = types.get(kind)
            if sets is None:
                append(self._slow(packet, clients[i] if clients else b"", transport))
                continue
            rdata = sets[0].get(name)
            if rdata is not None:
                head = sets[1][len(rdata)]
            elif (rdata := sets[2].get(name)) is not None:
                head = kind  # the whole record, in fact
            else:
                client = clients[i] if clients else b""
                append(self._miss(packet, client, transport, shape, name, kind, sets[3], name))
                continue
            tally = tally_of.get(kind, other)
            tally[answered] += 1
            tail = join((shape.hit, name, head, rdata, shape.opt))
            append(packet[:2] + tail)
            if room > 0:
                room -= 1
                known[key] = tail, tally
        return replies

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> bytes | Forward | None:
        """The reply to one packet; None when there is to be none, `Forward` to ask upstream.

        `client`: packed address of the peer, b"" unless `needs_client`.
        """
        if self._seen != self.table.version:
            self._renew()
        plain, with_opt = (
            self._shapes_for(client, transport)
            if self.needs_client
            else self._shapes[transport.index]
        )
        head = packet[2:12]
        shape = plain.get(head)
        if shape is not None:
            name, kind = packet[12:-4], packet[-4:]
        else:
            tails = with_opt.get(head)
            if tails is None or (shape := tails.get(packet[-11:])) is None:
                return self._slow(packet, client, transport)
            name, kind = packet[12:-15], packet[-15:-11]
        return self._found(packet, client, transport, shape, name, kind, name)

    def _found(
        self,
        packet: bytes,
        client: bytes,
        transport: Transport,
        shape: Shape,
        asked: bytes,
        kind: bytes,
        name: Name,
    ) -> bytes | Forward | None:
        """The reply to a usual query; for `asked` and `name` see `_miss`."""
        sets = self.table.types.get(kind)
        if sets is None:
            return self._slow(packet, client, transport)
        one, heads, own, many = sets
        rdata = one.get(name)
        if rdata is not None:
            head = heads[len(rdata)]
        elif (rdata := own.get(name)) is not None:
            head = kind
        else:
            return self._miss(packet, client, transport, shape, asked, kind, many, name)
        tally = self.tally
        tally.of.get(kind, tally.other)[shape.tally + ANSWERED] += 1
        return b"".join((packet[:2], shape.hit, asked, head, rdata, shape.opt))

    def _miss(
        self,
        packet: bytes,
        client: bytes,
        transport: Transport,
        shape: Shape,
        asked: bytes,
        kind: bytes,
        many: dict[Name, Entry],
        name: Name,
    ) -> bytes | Forward | None:
        """A usual query whose answer is not one record.

        `asked`: the name as it is in the packet; `name`: the same, or in lower case.
        """
        table = self.table
        entry = many.get(name)
        if entry is not None:
            return self._several(packet, shape, asked, kind, entry)
        zone_ref = table.names.get(name)
        if zone_ref is not None:
            if zone_ref.kind in (APEX, ALIAS):
                return self._slow(packet, client, transport)
        else:
            for leaves in table.leaves:
                if name in leaves:
                    zone_ref = table.zone_above(name)
                    break
        if zone_ref is not None:
            tally = self.tally
            tally.of.get(kind, tally.other)[shape.tally + NODATA] += 1
            negative = zone_ref.negative(len(name))
            return b"".join((packet[:2], shape.nodata, asked, kind, negative, shape.opt))
        if name is asked:
            lower = name.lower()
            if lower != name:
                return self._found(packet, client, transport, shape, asked, kind, lower)
        if self.kept is not None and shape.kept:
            # Found there octet for octet: well-formed, and no name of ours.
            key = b"".join((name, kind, shape.kept))
            reply = self.kept(key, packet, asked + kind, shape.edns, shape.room)
            if reply is not None:
                self.tally.asked += 1
                return reply
        zone_ref = self._encloser(name)
        if zone_ref is None or zone_ref.kind == PODS or table.unknown:
            return self._slow(packet, client, transport)
        tally = self.tally
        tally.of.get(kind, tally.other)[shape.tally + NXDOMAIN] += 1
        negative = zone_ref.negative(len(name))
        return b"".join((packet[:2], shape.nxdomain, asked, kind, negative, shape.opt_nx))

    def _several(
        self, packet: bytes, shape: Shape, asked: bytes, kind: bytes, entry: Entry
    ) -> bytes:
        """The reply of an entry, with as much of it as the client can take."""
        form = entry.form
        body = self.table.turned(entry) if form.unit else entry.body
        tally = self.tally
        tally.of.get(kind, tally.other)[shape.tally + ANSWERED] += 1
        room = shape.room - len(asked) - len(form.head) - len(body)
        if room >= form.led + len(entry.additional):
            return b"".join(
                (
                    packet[:2],
                    shape.flags,
                    form.full_opt if shape.edns else form.full,
                    asked,
                    form.head,
                    body,
                    form.leads[len(asked)],
                    entry.additional,
                    shape.opt,
                )
            )
        if room >= 0:
            counts = form.bare_opt if shape.edns else form.bare
            return b"".join((packet[:2], shape.flags, counts, asked, form.head, body, shape.opt))
        self.tally.truncated += 1
        counts = AND_AN_OPT if shape.edns else ONE_QUESTION
        return b"".join((packet[:2], shape.flags_tc, counts, asked, kind, shape.opt))

    def _encloser(self, name: bytes) -> ZoneRef | None:
        """The home of the closest name above octets that may be a name, leaves left out.

        None unless that proves them to be well-formed: what is behind the labels walked is
        a name of the table. (A leaf lies in the same zone as what is above it.)
        """
        if len(name) > MAX_NAME:
            return None
        find = self.table.names.get
        position = 0
        try:
            for _ in range(_WALK):
                length = name[position]
                if not 0 < length < 64:
                    return None
                position += 1 + length
                zone_ref = find(name[position:])
                if zone_ref is not None:
                    return zone_ref
        except IndexError:
            pass
        return None

    # -- shapes ----------------------------------------------------------------------------

    def _renew(self) -> None:
        """Forgets what was derived from the table as it was."""
        self._seen = self.table.version
        self._replies = tuple(
            ({}, counter_index(transport, ANSWERED)) for transport in self.transports * 2
        )
        if self._shaped_for == self.table.state:
            return
        state = self._shaped_for = self.table.state
        # Every transport without RA, then every one with it.
        always = self.config.forwarding and self._may_recurse.everyone
        self._shapes = tuple(
            shapes_of(self.config, state, transport, ra)
            for ra in (always, True)
            for transport in self.transports
        )

    # -- clients ---------------------------------------------------------------------------

    def _shared_shapes(self, clients: Sequence[bytes], index: int) -> int:
        """The index of the shapes that all these clients share; -1 when none is known.

        `index`: that of their transport.

        The usual batch comes from clients that were here before and may all do the same.
        """
        if not self._may_ask.everyone:
            return -1
        kinds = set(map(self._recursive.get, clients))
        if len(kinds) != 1 or None in kinds:
            return -1
        return index + len(self.transports) if True in kinds else index

    def _shapes_for(self, client: bytes, transport: Transport) -> Shapes:
        """The shapes for one client; none for those who may not ask."""
        recursive = self._remember(self._recursive, client, self._resolves_for)
        if not self._may_ask.everyone and not self._remember(
            self._clients, client, self._may_ask.__contains__
        ):
            return NO_SHAPES
        return self._shapes[transport.index + (len(self.transports) if recursive else 0)]

    @staticmethod
    def _remember(memory: dict[bytes, bool], client: bytes, judge: Callable[[bytes], bool]) -> bool:
        found = memory.get(client)
        if found is None:
            if len(memory) >= _REMEMBERED_CLIENTS:
                memory.clear()
            found = memory[client] = judge(client)
        return found

    def _resolves_for(self, client: bytes) -> bool:
        """Whether names that are not ours are resolved for a client: what RA says."""
        return self.config.forwarding and (
            self._may_recurse.everyone or client in self._may_recurse
        )

    # -- the complete way ------------------------------------------------------------------

    def _slow(self, packet: bytes, client: bytes, transport: Transport) -> bytes | Forward | None:
        if is_dropped(packet):
            self.tally.dropped += 1
            return None
        try:
            query = admit(packet, client, self._may_ask)
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
        self.tally.count(b"", counter_index(transport, OUTCOME_OF[refusal.rcode]))
        return packet[:2] + bytes((QR | packet[2] & (OPCODE | RD), refusal.rcode)) + bytes(8)

    def _reply(self, packet: bytes, query: Query, client: bytes, transport: Transport) -> Reply:
        ra = self._resolves_for(client)
        return Reply(self.config, self.table, self.tally, packet, query, client, transport, ra)

    def counters(self) -> tuple[int, ...]:
        """Totals since the start, in the order of `counter_names`."""
        return self.tally.totals()
