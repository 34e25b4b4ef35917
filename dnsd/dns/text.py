"""RRsets as zone-file text (RFC 1035 5), for people and for other name servers.

In `dns/` (wire format, no I/O). Change here: how records are printed. `rdata.py` reads text.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from

from dnsd.dns.addresses import address_text
from dnsd.dns.names import Name, labels_of, name_end, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type, type_text


def rrset_text(rrset: RRset) -> Iterator[str]:
    """The lines of one RRset, each with its newline. Names are absolute."""
    head = f"{text_of(rrset.name)}\t{rrset.ttl}\tIN\t{type_text(rrset.type)}\t"
    for rdata in rrset.rdatas:
        yield head + rdata_text(rrset.type, rdata) + "\n"


def canonical(name: Name) -> tuple[bytes, ...]:
    """A sort key for canonical order (RFC 4034 6.1): by labels, the rightmost first."""
    return tuple(labels_of(name))[::-1]


def values_of(rrset: RRset) -> tuple[str, ...]:
    """The values of an RRset in presentation form."""
    return tuple(rdata_text(rrset.type, rdata) for rdata in rrset.rdatas)


def rdata_text(type_: int, rdata: bytes) -> str:
    """One uncompressed rdata in presentation form; the generic form of RFC 3597 5 if unknown."""
    if type_ in (Type.A, Type.AAAA):
        return address_text(rdata)
    if type_ in (Type.NS, Type.CNAME, Type.PTR):
        return text_of(rdata)
    if type_ == Type.SRV:
        priority, weight, port = unpack_from(">HHH", rdata)
        return f"{priority} {weight} {port} {text_of(rdata[6:])}"
    if type_ == Type.SOA:
        rname = name_end(rdata, 0)
        end = name_end(rdata, rname)
        numbers = " ".join(map(str, unpack_from(">IIIII", rdata, end)))
        return f"{text_of(rdata[:rname])} {text_of(rdata[rname:end])} {numbers}"
    if type_ == Type.TXT:
        return " ".join(_strings(rdata))
    return _by_dnslib(type_, rdata)


def _strings(rdata: bytes) -> Iterator[str]:
    """The character strings of a TXT record, quoted and escaped (RFC 1035 5.1)."""
    at = 0
    while at < len(rdata):
        piece = rdata[at + 1 : at + 1 + rdata[at]]
        at += 1 + rdata[at]
        yield '"' + "".join(map(_quoted_octet, piece)) + '"'


def _quoted_octet(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 32 <= octet < 127 else f"\\{octet:03d}"


def _by_dnslib(type_: int, rdata: bytes) -> str:
    # dnslib has the presentation of every other type. It is imported here, so that a server
    # that never prints such a type does not load it.
    from dnslib import QTYPE, RDMAP, DNSBuffer, DNSError

    kind = RDMAP.get(QTYPE.forward.get(type_, ""))
    if kind is not None:
        try:
            return str(kind.parse(DNSBuffer(rdata), len(rdata)))
        except DNSError:
            pass  # the data is not what its type requires: the generic form holds any data
    return f"\\# {len(rdata)} {rdata.hex()}".rstrip()
