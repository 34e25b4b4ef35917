"""Tables of queries in zone-file text, and the cluster that they query.

In `tests/cases/` (query tables). Change here: the notation of the tables.

`cluster.py` makes the manifests. Each `*.txt` beside it is a table:

    ;; the rule that this case verifies
    Q web.prod.svc.cluster.local. A +edns
    NOERROR aa rd
    AN web.prod.svc.cluster.local. 5 IN A 10.96.0.10

* `Q NAME TYPE [CLASS] [options]`: the query. RD is set, except with `-rd`. Options: `+edns` or
  `+edns=SIZE`, `+do`, `+nsid`, `+keepalive`, `+ad`, `+cd`; `udp` or `tcp`: the case is only for
  transports with datagrams (udp) or with streams (tcp).
* Next, the response code and the set flags of aa tc rd ra ad cd. `+opt`: the reply has an OPT
  record; without it, the reply has no OPT record. `ede=N`: the reply has this extended error.
  `size<=N`: the message has at most N octets.
* `AN`, `NS`, `AR`: the records of a section, as a set; a section without a line is empty. `*` in
  place of the serial matches each serial. `AN #N` matches any N records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode

from dnsd.answer.transport import Transport

HERE = Path(__file__).parent


@dataclass(slots=True)
class Case:
    """One query and its expected reply."""

    title: str
    where: str
    question: str
    options: tuple[str, ...]
    rcode: str = ""
    flags: tuple[str, ...] = ()
    sections: dict[str, list[str]] = field(default_factory=dict)

    def query(self) -> dns.message.Message:
        """The query, with a new ID."""
        name, type_, *rest = self.question.split()
        message = dns.message.make_query(name, type_, rest[0] if rest else "IN")
        for option in self.options:
            if option == "-rd":
                message.flags &= ~dns.flags.RD
            elif option in ("+ad", "+cd"):
                message.flags |= dns.flags.from_text(option[1:].upper())
        edns = [option for option in self.options if option.startswith("+edns")]
        codes = {"+nsid": dns.edns.OptionType.NSID, "+keepalive": 11}
        options = [
            dns.edns.GenericOption(codes[option], b"") for option in self.options if option in codes
        ]
        if edns or options or "+do" in self.options:
            size = int(edns[0].partition("=")[2] or 1232) if edns else 1232
            flags = dns.flags.DO if "+do" in self.options else 0
            message.use_edns(0, flags, size, options=options)
        return message

    def runs_over(self, transport: Transport) -> bool:
        """Whether this case is for the transport."""
        only = {"udp", "tcp"} & set(self.options)
        return not only or ("udp" if transport.datagram else "tcp") in only

    def check(self, query: dns.message.Message, wire: bytes) -> None:
        """Fail with the difference, in the notation of the tables."""
        reply = dns.message.from_wire(wire)
        assert reply.id == query.id
        assert [q.to_text() for q in reply.question] == [q.to_text() for q in query.question]
        assert self.found(reply, wire) == self.expected(), f"{self.where}: {self.title}"

    def expected(self) -> list[str]:
        """The expected reply, in the notation of the tables."""
        flags = [flag for flag in self.flags if not flag.startswith("size<=")]
        lines = [" ".join([self.rcode, *sorted(flags)])]
        for section in ("AN", "NS", "AR"):
            lines += sorted(
                f"{section} {' '.join(r.split())}" for r in self.sections.get(section, [])
            )
        return lines

    def found(self, reply: dns.message.Message, wire: bytes) -> list[str]:
        """The reply in the notation of the tables, as far as the case states it."""
        flags = dns.flags.to_text(reply.flags & ~dns.flags.QR).lower().split()
        if reply.edns >= 0:
            flags.append("+opt")
        flags += [
            f"ede={option.code}"
            for option in reply.options
            if option.otype == dns.edns.OptionType.EDE
        ]
        for flag in self.flags:
            if flag.startswith("size<="):
                assert len(wire) <= int(flag[6:]), f"{self.where}: {len(wire)} octets"
        lines = [" ".join([dns.rcode.to_text(reply.rcode()), *sorted(flags)])]
        for section, rrsets in (
            ("AN", reply.answer),
            ("NS", reply.authority),
            ("AR", reply.additional),
        ):
            records = [line for rrset in rrsets for line in rrset.to_text().splitlines()]
            wanted = self.sections.get(section, [])
            if wanted and wanted[0].startswith("#"):
                records = [f"#{len(records)}"]
            lines += sorted(f"{section} {_without_serial(record)}" for record in records)
        return lines


def _without_serial(record: str) -> str:
    words = record.split()
    if len(words) > 3 and words[3] == "SOA":
        words[6] = "*"
    return " ".join(words)


def read(path: Path) -> Iterator[Case]:
    """The cases of one table. Raises ValueError with file and line."""
    case: Case | None = None
    title = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        where = f"{path.name}:{number}"
        if not text or (text.startswith(";") and not text.startswith(";;")):
            continue
        head, _, rest = text.partition(" ")
        if head == ";;":
            title = rest
        elif head == "Q":
            if case is not None:
                yield case
            words = rest.split()
            options = [word for word in words if word[0] in "+-" or word in ("udp", "tcp")]
            question = " ".join(word for word in words if word not in options)
            case = Case(title, where, question, tuple(options))
        elif case is None:
            raise ValueError(f"{where}: {text!r} before the first Q")
        elif head in ("AN", "NS", "AR"):
            case.sections.setdefault(head, []).append(rest.strip())
        elif not case.rcode:
            case.rcode, case.flags = head, tuple(rest.split())
        else:
            raise ValueError(f"{where}: cannot read {text!r}")
    if case is not None:
        yield case


def tables() -> list[Case]:
    """All cases of all tables."""
    return [case for path in sorted(HERE.glob("*.txt")) for case in read(path)]
