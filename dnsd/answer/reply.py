"""The complete path: parses a query in full, and makes its reply.

In `answer/` (pure: query bytes to reply bytes). Change here: the reply to an unusual query.

It uses the same table as the fast path of the engine, and makes the same octets. Only the
complete path handles chaos names, ANY, the SOA of an apex, chains of CNAMEs, pod names by form,
the EDNS options of `options.py`, a table that is not ready, and external names.
"""

from __future__ import annotations

from struct import pack

from dnsd.answer.gate import RESOLVES
from dnsd.answer.options import reply_options
from dnsd.answer.outcome import ANSWERED, NODATA, RESULT_OF, Forward, counter_index
from dnsd.answer.pods import address_of
from dnsd.answer.shared import Shared
from dnsd.answer.table import Found, Table
from dnsd.answer.transport import Transport
from dnsd.answer.zones import ZoneRef
from dnsd.dns.message import AA, CH, HEADER, QR, RA, RD, TC, Ede, Query, Rcode, ede, opt_record
from dnsd.dns.names import Name
from dnsd.dns.types import Type
from dnsd.zone.frame import NOT_READY, PODS, STALE

MAX_CHAIN = 10  # CNAMEs followed for one question
_POINTER_LIMIT = 0x3FFF
_OPT = len(opt_record(0, False))
_QUESTION = b"\xc0\x0c"  # owner of an answer: the question's name
_A, _AAAA, _CNAME = b"\x00\x01\x00\x01", b"\x00\x1c\x00\x01", b"\x00\x05\x00\x01"


class Reply:
    """One query and what is needed to answer it. `ra`: whether dnsd resolves for the client."""

    __slots__ = ("client", "config", "counters", "packet", "query", "ra", "table", "transport")

    def __init__(
        self,
        shared: Shared,
        table: Table,
        packet: bytes,
        query: Query,
        client: bytes,
        transport: Transport,
    ) -> None:
        self.config, self.table, self.counters = shared.config, table, shared.counters
        self.packet, self.query, self.client = packet, query, client
        self.transport = transport
        self.ra = bool(shared.access.of(client) & RESOLVES)

    def make(self) -> bytes | Forward:
        """The reply, or `Forward` for a name that upstream servers have to answer."""
        query, table = self.query, self.table
        if query.cls == CH:
            return self._chaos()
        zone_ref = table.zone_of(query.name)
        # Before the first frame, the table has no zones either.
        if table.claim.state == NOT_READY and (zone_ref is not None or not table.zone_refs):
            return self.send(Rcode.SERVFAIL, extended=Ede.NOT_READY)
        if zone_ref is None:
            return self._external()
        if query.type == Type.ANY and self._has_records(query.name, zone_ref):
            return self._any(zone_ref)
        if query.name in table.alias and query.type != Type.CNAME:
            return self._follow_alias()
        return self._from_table(zone_ref, query.name, _QUESTION)

    # -- kinds of replies --------------------------------------------------------------------

    def _chaos(self) -> bytes:
        """version.bind and similar names (RFC 4892)."""
        query, config = self.query, self.config
        text = {
            b"\x07version\x04bind\x00": config.version_text,
            b"\x07version\x06server\x00": config.version_text,
            b"\x02id\x06server\x00": config.id_text,
            b"\x08hostname\x04bind\x00": config.id_text,
        }.get(query.name, "")
        if not text or query.type not in (Type.TXT, Type.ANY):
            return self.send(Rcode.REFUSED)
        data = text.encode()[:255]  # a string of a TXT record (RFC 1035 3.3), as in the settings
        body = _QUESTION + pack("!HHIH", Type.TXT, CH, 0, len(data) + 1)
        return self.send(
            Rcode.NOERROR, aa=True, answer=body + bytes((len(data),)) + data, answers=1
        )

    def _external(self) -> bytes | Forward:
        if not self.config.forwarding or not self.query.rd:
            return self.send(Rcode.REFUSED, extended=Ede.NOT_AUTHORITATIVE)
        if not self.ra:
            return self.send(Rcode.REFUSED, extended=Ede.PROHIBITED)
        return self._forward(self.query.name)

    def _any(self, zone_ref: ZoneRef) -> bytes:
        """The CNAME, if there is one; else a synthesized HINFO record (RFC 8482 4.1, 4.2)."""
        cname = self.table.find(self.query.name, _CNAME)
        if cname is not None:
            return self.send(Rcode.NOERROR, aa=True, answer=cname[0], answers=1)
        body = _QUESTION + pack("!HHIH", Type.HINFO, 1, zone_ref.apex.ttl, 9) + b"\x07RFC8482\x00"
        return self.send(Rcode.NOERROR, aa=True, answer=body, answers=1)

    def _follow_alias(self) -> bytes | Forward:
        """The chain of CNAMEs, and the answer at its end (RFC 1034 3.6.2, 4.3.2 step 3a)."""
        query, table = self.query, self.table
        chain, count = b"", 0
        name, owner = query.name, _QUESTION
        for _ in range(MAX_CHAIN):
            target = table.alias.get(name)
            if target is None:
                break
            cname = table.find(name, _CNAME)
            assert cname is not None  # noqa: S101 - the table keeps alias and CNAME together
            chain += _reowned(cname[0], owner)
            count += 1
            name = target.lower()
            offset = HEADER + len(query.question) + len(chain) - len(target)
            owner = pack("!H", 0xC000 | offset) if offset <= _POINTER_LIMIT else target
        else:
            if name in table.alias:
                return self.send(Rcode.SERVFAIL)
        zone_ref = table.zone_of(name)
        if zone_ref is not None:
            return self._from_table(zone_ref, name, owner, chain, count)
        if self.ra and query.rd:
            return self._forward(name, chain, count)
        return self.send(Rcode.NOERROR, True, chain, count)

    def _from_table(
        self, zone_ref: ZoneRef, name: Name, owner: bytes, chain: bytes = b"", chained: int = 0
    ) -> bytes:
        """The reply for a name of the table, behind a chain of CNAMEs.

        `owner`: the name as the owner of a record, a pointer if the reply holds the name already.
        """
        query = self.query
        if query.type == Type.SOA and name == query.name == zone_ref.name:
            return self.send(Rcode.NOERROR, True, zone_ref.soa(), 1)
        found = self._find(name, query.question[-4:])
        if found is not None:
            body, answers, additional, additionals = found
            if chained:  # the additional section has pointers to the first owner
                body, additional, additionals = _reowned(body, owner), b"", 0
            answer, answers = chain + body, chained + answers
            return self.send(Rcode.NOERROR, True, answer, answers, b"", 0, additional, additionals)
        rcode = Rcode.NOERROR if self._exists(name) else Rcode.NXDOMAIN
        if rcode == Rcode.NXDOMAIN and self.table.may_exist(name):
            return self.send(Rcode.SERVFAIL, extended=Ede.NOT_READY)
        apex = zone_ref.name
        if len(owner) == 2:  # a pointer: the apex is the end of the name
            apex = pack("!H", int.from_bytes(owner, "big") + len(name) - len(apex))
        return self.send(rcode, True, chain, chained, zone_ref.denial(apex), 1)

    def _find(self, name: Name, kind: bytes) -> Found | None:
        """As `Table.find`; makes the record of a pod name by form."""
        found = self.table.find(name, kind)
        if found is None and (address := self._pod_address(name)) is not None:
            if kind == (_A if len(address) == 4 else _AAAA):
                zone_ref = self.table.names[name[1 + name[0] :]]
                fixed = kind + pack("!IH", zone_ref.apex.ttl, len(address))
                return _QUESTION + fixed + address, 1, b"", 0
        return found

    def _exists(self, name: Name) -> bool:
        return self.table.exists(name) or self._pod_address(name) is not None

    def _has_records(self, name: Name, zone_ref: ZoneRef) -> bool:
        """Whether the name itself has records; it may also exist by the names below it."""
        return (
            name == zone_ref.name
            or self.table.owns_records(name)
            or self._pod_address(name) is not None
        )

    def _pod_address(self, name: Name) -> bytes | None:
        """The address in a pod name by form, packed; None for any other name."""
        if not name[0]:
            return None
        zone_ref = self.table.names.get(name[1 + name[0] :])
        if zone_ref is None or zone_ref.kind != PODS or self.table.exists(name):
            return None
        return address_of(name[1 : 1 + name[0]])

    # -- outcomes ----------------------------------------------------------------------------

    def _forward(self, name: Name, chain: bytes = b"", chained: int = 0) -> Forward:
        self.counters.forwarded += 1
        return self._deferred(name, self._options(None), chained > 0, chain, chained)

    def forward_denied(self) -> Forward:
        """The `Forward` for a denied name; its options are those of the negative reply."""
        stale = self.table.claim.state == STALE
        options = self._options(Ede.STALE_NXDOMAIN if stale else None)
        return self._deferred(self.query.name, options, True)

    def _deferred(
        self, name: Name, options: bytes, local: bool, chain: bytes = b"", chained: int = 0
    ) -> Forward:
        query, edns = self.query, self.query.edns
        return Forward(
            packet=self.packet,
            question=query.question,
            name=name,
            type=query.type,
            client=self.client,
            limit=self.config.limit(self.transport, edns.size if edns else None),
            rd=query.rd,
            cd=query.cd,
            do=edns is not None and edns.do,
            edns=edns is not None,
            options=options,
            local=local,
            chain=chain,
            chained=chained,
        )

    def send(
        self,
        rcode: Rcode,
        aa: bool = False,
        answer: bytes = b"",
        answers: int = 0,
        authority: bytes = b"",
        authorities: int = 0,
        additional: bytes = b"",
        additionals: int = 0,
        extended: Ede | None = None,
        opcode: int = 0,
    ) -> bytes:
        """The reply with these sections, cut to what the client can take (RFC 2181 9)."""
        query, table = self.query, self.table
        edns = query.edns
        opt = b""
        if edns is not None:
            if extended is None and aa and table.claim.state == STALE and query.cls != CH:
                extended = Ede.STALE_NXDOMAIN if rcode == Rcode.NXDOMAIN else Ede.STALE
            opt = opt_record(self.config.udp_size, edns.do, rcode >> 4, self._options(extended))
        limit = self.config.limit(self.transport, edns.size if edns else None)
        room = limit - HEADER - len(query.question) - len(answer) - len(authority) - len(opt)
        first = QR | opcode | (AA if aa else 0) | (RD if query.rd else 0)
        result = RESULT_OF.get(rcode, ANSWERED if answers else NODATA)
        if room < len(additional):
            additional, additionals = b"", 0
        if room < 0:
            first |= TC
            answer, answers, authority, authorities = b"", 0, b"", 0
            self.counters.truncated += 1
        self.counters.count(query.question[-4:], counter_index(self.transport, result))
        head = pack(
            "!BBHHHH",
            first,
            (RA if self.ra else 0) | rcode & 15,
            1,
            answers,
            authorities,
            additionals + (1 if opt else 0),
        )
        return b"".join((query.id, head, query.question, answer, authority, additional, opt))

    def _options(self, extended: Ede | None) -> bytes:
        """The options of the reply's OPT record; b"" for a query without one."""
        edns, config = self.query.edns, self.config
        if edns is None:
            return b""
        required = ede(extended) if extended is not None else b""
        limit = config.limit(self.transport, edns.size)
        room = limit - HEADER - len(self.query.question) - _OPT
        return reply_options(edns, config, self.transport, required, room)


def _reowned(body: bytes, owner: bytes) -> bytes:
    """The compiled records with another owner than the question's name."""
    if owner == _QUESTION:
        return body
    out: list[bytes] = []
    position = 0
    while position < len(body):
        behind = position + 12 + (body[position + 10] << 8 | body[position + 11])
        out += (owner, body[position + 2 : behind])
        position = behind
    return b"".join(out)
