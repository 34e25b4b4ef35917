"""CNAME chains: which records of a reply are kept, and where the chain ends.

In `upstream/` (data plane: external names). Change here: what is accepted from a reply.

An upstream server may put anything into its answer section. dnsd keeps the records that the
question leads to: the CNAMEs from the name of the question on, and the records of the queried type
at the end of the chain (RFC 1034 3.6.2, RFC 2181 5.4.1). With DO it also keeps the signatures over
these, the DNAMEs that the CNAMEs were synthesized from (RFC 6672 5.2.1), and the proofs in the
authority section. All other records (additional records, NS sets, records of other names) are
dropped before they reach a cache.

A chain may leave the names that this upstream server was queried for: into the zones of dnsd, to a
pinned name, or to another forward rule. The reply is not trusted from there on: the chain is cut
at that name, and `leads_to` is the name to continue with.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from dnsd.dns.message import Rcode
from dnsd.dns.names import Name, is_below
from dnsd.dns.records import Record, Reply
from dnsd.dns.types import Type
from dnsd.upstream.errors import Unusable

MAX_CHAIN = 10  # CNAMEs followed for one question, from all sources
_RRSIG, _NSEC, _DNAME, _NSEC3 = 46, 47, 39, 50
_PROOFS = (_RRSIG, _NSEC, _NSEC3)


class Answer(Struct, frozen=True):
    """The answer of one source (an upstream server, the zones of dnsd, the pinned names).

    `leads_to`: the lower-cased name at which another source continues; empty if complete.
    `authority`: the SOA of a negative answer and, with DO, the proofs.
    `negative`: the chain ends without records of the queried type. `errors`: extended errors.
    """

    rcode: int
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    leads_to: Name = b""
    errors: tuple[tuple[int, str], ...] = ()
    negative: bool = False

    @property
    def aliases(self) -> int:
        """The number of CNAMEs."""
        return sum(record.type == Type.CNAME for record in self.answer)

    @property
    def negative_ttl(self) -> int | None:
        """Seconds to cache a negative answer: min(SOA TTL, minimum); None without an SOA.

        RFC 2308 5.
        """
        for record in self.authority:
            if record.type == Type.SOA:
                return min(record.ttl, int.from_bytes(record.rdata[-4:], "big"))
        return None


def along_chain(
    reply: Reply, name: Name, type_: int, do: bool, in_route: Callable[[Name], bool]
) -> Answer:
    """The records of `reply` on the chain of (name, type_), and where the chain ends.

    `name` is in lower case. `in_route`: whether a CNAME's target has the same forward rule.
    Raises `Unusable` for CNAMEs that loop, and for more than `MAX_CHAIN` of them.
    """
    sets = _by_owner(reply.answer)
    kept: list[Record] = []
    seen = {name}
    while True:
        here = sets.get(name, {})
        found = _wanted(here, type_)
        if found:
            kept += found
            kept += _signatures(here, type_, do)
            return _answer(reply, name, kept, do, negative=False)
        aliases = here.get(Type.CNAME, [])
        if not aliases:
            break
        if do:
            kept += _dname_above(sets, name)
        kept.append(aliases[0])  # a name has one CNAME (RFC 2181 10.1): the first one counts
        kept += _signatures(here, Type.CNAME, do)
        name = aliases[0].rdata.lower()
        if name in seen or len(seen) > MAX_CHAIN:
            raise Unusable(f"the upstream's CNAMEs loop, or are more than {MAX_CHAIN}")
        seen.add(name)
        if not in_route(name):
            return Answer(Rcode.NOERROR, tuple(kept), leads_to=name)
    answer = _answer(reply, name, kept, do, negative=True)
    if kept and reply.rcode == Rcode.NOERROR and answer.negative_ttl is None:
        # Neither records nor an SOA at the end: not NODATA, the server just stopped there.
        return Answer(Rcode.NOERROR, tuple(kept), leads_to=name, errors=reply.errors)
    return answer


_Sets = dict[Name, dict[int, list[Record]]]


def _by_owner(records: tuple[Record, ...]) -> _Sets:
    out: _Sets = {}
    for record in records:
        out.setdefault(record.key, {}).setdefault(record.type, []).append(record)
    return out


def _wanted(here: dict[int, list[Record]], type_: int) -> list[Record]:
    if type_ == Type.ANY:
        return [record for records in here.values() for record in records]
    return here.get(type_, [])


def _signatures(here: dict[int, list[Record]], type_: int, do: bool) -> list[Record]:
    """The RRSIGs over one type (RFC 4034 3.1.1: the type covered comes first)."""
    if not do or type_ in (Type.ANY, _RRSIG):
        return []
    covered = type_.to_bytes(2, "big")
    return [record for record in here.get(_RRSIG, []) if record.rdata[:2] == covered]


def _dname_above(sets: _Sets, name: Name) -> list[Record]:
    """The DNAME (and its signatures) that the CNAME at `name` was synthesized from."""
    for owner, here in sets.items():
        if _DNAME in here and owner != name and is_below(name, owner):
            return [*here[_DNAME][:1], *_signatures(here, _DNAME, True)]
    return []


def _answer(reply: Reply, end: Name, kept: list[Record], do: bool, negative: bool) -> Answer:
    """The answer that ends at the name `end`, with the SOA and proofs that support it."""
    authority = []
    for record in reply.authority:
        soa = negative and record.type == Type.SOA and is_below(end, record.key)
        if soa or (do and record.type in _PROOFS):
            authority.append(record)
    rcode = reply.rcode if negative else Rcode.NOERROR
    return Answer(rcode, tuple(kept), tuple(authority), errors=reply.errors, negative=negative)
