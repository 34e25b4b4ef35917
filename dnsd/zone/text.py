"""The zone as zone-file text (RFC 1035 5), for people and for other name servers.

Text is an edge: nothing in dnsd reads it back. Names are absolute, records come in
canonical order (RFC 4034 6.1), the SOA first, so that two zones with the same records have
the same text and `diff` is of use.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from

from dnsd.dns.addresses import address_text
from dnsd.dns.names import Name, labels_of, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type, type_text
from dnsd.zone.zone import Zone


def zone_text(zone: Zone, apex: Name) -> Iterator[str]:
    """The lines of one zone, each with its newline, SOA first; none if it does not exist."""
    if apex not in zone.apexes():
        return
    mine = [one for one in zone.rrsets() if zone.zone_of(one.name) == apex]
    mine.sort(key=lambda one: (one.type != Type.SOA, canonical(one.name), one.type))
    for one in mine:
        yield from rrset_text(one)


def rrset_text(rrset: RRset) -> Iterator[str]:
    """The lines of one RRset, each with its newline."""
    head = f"{text_of(rrset.name)}\t{rrset.ttl}\tIN\t{type_text(rrset.type)}\t"
    for rdata in rrset.rdatas:
        yield head + rdata_text(rrset.type, rdata) + "\n"


def canonical(name: Name) -> tuple[bytes, ...]:
    """A sort key that puts names in canonical order: by labels, the rightmost first."""
    return tuple(reversed(tuple(labels_of(name))))


def rdata_text(type_: int, rdata: bytes) -> str:
    """One rdata in presentation form; the generic form (RFC 3597 5) for what is unknown.

    `rdata` is uncompressed wire form, as everywhere in the zone.
    """
    if type_ in (Type.A, Type.AAAA):
        return address_text(rdata)
    if type_ in (Type.NS, Type.CNAME, Type.PTR):
        return text_of(rdata)
    if type_ == Type.SRV:
        priority, weight, port = unpack_from(">HHH", rdata)
        return f"{priority} {weight} {port} {text_of(rdata[6:])}"
    if type_ == Type.SOA:
        mname, at = _name_at(rdata, 0)
        rname, at = _name_at(rdata, at)
        numbers = " ".join(map(str, unpack_from(">IIIII", rdata, at)))
        return f"{text_of(mname)} {text_of(rname)} {numbers}"
    if type_ == Type.TXT:
        return " ".join(_strings(rdata))
    return _unusual(type_, rdata)


def _name_at(rdata: bytes, start: int) -> tuple[Name, int]:
    """The uncompressed name that begins at `start`, and where it ends."""
    end = start
    while rdata[end]:
        end += 1 + rdata[end]
    return rdata[start : end + 1], end + 1


def _strings(rdata: bytes) -> Iterator[str]:
    """The character strings of a TXT, quoted and escaped (RFC 1035 5.1)."""
    at = 0
    while at < len(rdata):
        piece = rdata[at + 1 : at + 1 + rdata[at]]
        at += 1 + rdata[at]
        yield '"' + "".join(map(_quoted_octet, piece)) + '"'


def _quoted_octet(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 32 <= octet < 127 else f"\\{octet:03d}"


def _unusual(type_: int, rdata: bytes) -> str:
    # dnslib knows the presentation of every other type. Imported here because a server that
    # is never asked for the text of one should not carry it.
    from dnslib import QTYPE, RDMAP, DNSBuffer, DNSError

    kind = RDMAP.get(QTYPE.forward.get(type_, ""))
    if kind is not None:
        try:
            return str(kind.parse(DNSBuffer(rdata), len(rdata)))
        except DNSError:
            pass  # not what its type says: the generic form holds anything
    return f"\\# {len(rdata)} {rdata.hex()}".rstrip()
