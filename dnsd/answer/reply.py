"""The complete way: one query, read in full, and the reply it gets.

What is looked up here is looked up in the same table as in the engine's short cut, and what
comes out is the same octets. What only this way knows: chaos names, ANY, the apex's SOA,
chains of CNAMEs, pod names by form, every EDNS option, a table that is not ready, names that
are not ours.
"""

from __future__ import annotations

from struct import pack

from dnsd.answer.outcome import (
    ANSWERED,
    NODATA,
    OUTCOME_OF,
    Counters,
    EngineConfig,
    Forward,
    counter_index,
)
from dnsd.answer.pods import address_of
from dnsd.answer.table import Table, ZoneRef
from dnsd.answer.transport import Transport
from dnsd.dns.message import (
    AA,
    CH,
    HEADER,
    QR,
    RA,
    RD,
    TC,
    Ede,
    Option,
    Query,
    Rcode,
    ede,
    opt_record,
    option,
)
from dnsd.dns.names import Name
from dnsd.dns.types import Type
from dnsd.zone.frame import NOT_READY, PODS, STALE

MAX_CHAIN = 10  # CNAMEs followed for one question
_POINTER_LIMIT = 0x3FFF
_OPT = len(opt_record(0, False))
_QUESTION = b"\xc0\x0c"  # owner of an answer: the question's name
_A, _AAAA, _CNAME = b"\x00\x01\x00\x01", b"\x00\x1c\x00\x01", b"\x00\x05\x00\x01"


class Reply:
    """One query and what is needed to answer it. `ra`: whether we would resolve for the client."""

    __slots__ = ("client", "config", "packet", "query", "ra", "table", "tally", "transport")

    def __init__(
        self,
        config: EngineConfig,
        table: Table,
        tally: Counters,
        packet: bytes,
        query: Query,
        client: bytes,
        transport: Transport,
        ra: bool,
    ) -> None:
        self.config, self.table, self.tally = config, table, tally
        self.packet, self.query, self.client = packet, query, client
        self.transport, self.ra = transport, ra

    def make(self) -> bytes | Forward:
        """Finds the answer: chaos, not ours, not ready, or from the table."""
        query, table = self.query, self.table
        if query.cls == CH:
            return self._chaos()
        zone_ref = table.zone_of(query.name)
        unknown = table.state == NOT_READY and (zone_ref is not None or not table.zone_refs)
        if unknown:  # nothing is known, or, before the first frame, not even what is ours
            return self.send(Rcode.SERVFAIL, extended=Ede.NOT_READY)
        if zone_ref is None:
            return self._not_ours()
        if query.type == Type.ANY and self._has_records(query.name, zone_ref):
            return self._any(zone_ref)
        if query.name in table.alias and query.type != Type.CNAME:
            return self._chase()
        return self._from_table(zone_ref)

    # the kinds of answers

    def _chaos(self) -> bytes:
        """version.bind and its like (RFC 4892)."""
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

    def _not_ours(self) -> bytes | Forward:
        if not self.config.forwarding or not self.query.rd:
            return self.send(Rcode.REFUSED, extended=Ede.NOT_AUTHORITATIVE)
        if not self.ra:
            return self.send(Rcode.REFUSED, extended=Ede.PROHIBITED)
        return self._ask(self.query.name)

    def _any(self, zone_ref: ZoneRef) -> bytes:
        """One RRset, or HINFO where there is no telling which (RFC 8482 4.2)."""
        found = self._find(self.query.name, _CNAME)
        if found is not None:
            return self.send(Rcode.NOERROR, aa=True, answer=found[0], answers=1)
        body = _QUESTION + pack("!HHIH", Type.HINFO, 1, zone_ref.apex.ttl, 9) + b"\x07RFC8482\x00"
        return self.send(Rcode.NOERROR, aa=True, answer=body, answers=1)

    def _from_table(self, zone_ref: ZoneRef) -> bytes:
        name, kind = self.query.name, self.query.question[-4:]
        if self.query.type == Type.SOA and name == zone_ref.name:
            return self.send(Rcode.NOERROR, True, zone_ref.soa(), 1)
        found = self._find(name, kind)
        if found is not None:
            return self.send(Rcode.NOERROR, True, *found[:2], b"", 0, *found[2:])
        rcode = Rcode.NOERROR if self._exists(name) else Rcode.NXDOMAIN
        if rcode == Rcode.NXDOMAIN and self.table.may_exist(name):
            return self.send(Rcode.SERVFAIL, extended=Ede.NOT_READY)
        return self.send(rcode, True, authority=zone_ref.negative(len(name)), authorities=1)

    def _chase(self) -> bytes | Forward:
        """The CNAME, and what is found behind it (RFC 1034 3.6.2, 4.3.2 step 3a)."""
        query, table = self.query, self.table
        kind = query.question[-4:]
        answer, count = b"", 0
        name, owner = query.name, _QUESTION
        for _ in range(MAX_CHAIN):
            target = table.alias.get(name)
            if target is None:
                break
            found = self._find(name, _CNAME)
            assert found is not None  # noqa: S101 - the table keeps alias and CNAME together
            answer += _reowned(found[0], owner)
            count += 1
            name = target.lower()
            offset = HEADER + len(query.question) + len(answer) - len(target)
            owner = pack("!H", 0xC000 | offset) if offset <= _POINTER_LIMIT else target
        else:
            if name in table.alias:
                return self.send(Rcode.SERVFAIL)
        zone_ref = table.zone_of(name)
        if zone_ref is None:
            if self.ra and query.rd:
                return self._ask(name, answer, count)
            return self.send(Rcode.NOERROR, True, answer, count)
        found = self._find(name, kind)
        if found is not None:
            body, answers = _reowned(found[0], owner), found[1]
            return self.send(Rcode.NOERROR, True, answer + body, count + answers)
        rcode = Rcode.NOERROR if self._exists(name) else Rcode.NXDOMAIN
        if rcode == Rcode.NXDOMAIN and table.may_exist(name):
            return self.send(Rcode.SERVFAIL, extended=Ede.NOT_READY)
        if len(owner) == 2:  # the apex is the end of the target
            owner = pack("!H", int.from_bytes(owner, "big") + len(name) - len(zone_ref.name))
        else:
            owner = zone_ref.name
        return self.send(rcode, True, answer, count, zone_ref.denial(owner), 1)

    def _find(self, name: Name, kind: bytes) -> tuple[bytes, int, bytes, int] | None:
        """The records of a name and a type, and the additional ones, each with their count.

        The address of a pod name by form is made on the spot.
        """
        record = self.table.record(name, kind)
        if record is not None:
            return record, 1, b"", 0
        entry = self.table.entry(name, kind)
        if entry is not None:
            form = entry.form
            body = form.head[len(kind) :] + self.table.turned(entry)
            return body, form.answers, entry.extras(name), form.extra
        address = self._pod_address(name)
        if address is not None and kind == (_A if len(address) == 4 else _AAAA):
            zone_ref = self.table.names[name[1 + name[0] :]]
            fixed = kind + pack("!IH", zone_ref.apex.ttl, len(address))
            return _QUESTION + fixed + address, 1, b"", 0
        return None

    def _exists(self, name: Name) -> bool:
        return self.table.exists(name) or self._pod_address(name) is not None

    def _has_records(self, name: Name, zone_ref: ZoneRef) -> bool:
        """Whether there is anything at a name, and not below it only."""
        return (
            name == zone_ref.name
            or self.table.owns_records(name)
            or self._pod_address(name) is not None
        )

    def _pod_address(self, name: Name) -> bytes | None:
        """The address a name spells, if it lies right below a namespace of pods by form."""
        if not name[0]:
            return None
        zone_ref = self.table.names.get(name[1 + name[0] :])
        if zone_ref is None or zone_ref.kind != PODS or self.table.exists(name):
            return None
        return address_of(name[1 : 1 + name[0]])

    # the ways out

    def _ask(self, name: Name, chain: bytes = b"", chained: int = 0) -> Forward:
        query, edns = self.query, self.query.edns
        self.tally.asked += 1
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
            options=self._options(None),
            ours=chained > 0,
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
        """The reply of these sections: OPT as the query's, cut to what the client can take."""
        query, table = self.query, self.table
        edns = query.edns
        opt = b""
        if edns is not None:
            if extended is None and aa and table.state == STALE and query.cls != CH:
                extended = Ede.STALE_NXDOMAIN if rcode == Rcode.NXDOMAIN else Ede.STALE
            opt = opt_record(self.config.udp_size, edns.do, rcode >> 4, self._options(extended))
        limit = self.config.limit(self.transport, edns.size if edns else None)
        room = limit - HEADER - len(query.question) - len(answer) - len(authority) - len(opt)
        first = QR | opcode | (AA if aa else 0) | (RD if query.rd else 0)
        outcome = OUTCOME_OF.get(rcode, ANSWERED if answers else NODATA)
        if room < len(additional):
            additional, additionals = b"", 0
        if room < 0:
            first |= TC
            answer, answers, authority, authorities = b"", 0, b"", 0
            self.tally.truncated += 1
        self.tally.count(query.question[-4:], counter_index(self.transport, outcome))
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
        """The options of the reply's OPT, by what the query's asked for.

        The name of the server is left out where it would not even fit behind the question:
        a longest name leaves 230 octets of 512 for options.
        """
        query, config = self.query, self.config
        edns, options = query.edns, b""
        if edns is None:
            return options
        if edns.keepalive and self.transport.keepalive:
            options += option(Option.TCP_KEEPALIVE, pack("!H", config.tcp_keepalive))
        if extended is not None:
            options += ede(extended)
        if edns.nsid and config.nsid:
            room = config.limit(self.transport, edns.size) - HEADER - len(query.question) - _OPT
            if len(config.nsid) + 4 + len(options) <= room:
                options = option(Option.NSID, config.nsid) + options
        return options


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
